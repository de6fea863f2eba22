"""What an operator reads and writes: dequantised activations, and constants as integers of the contract."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tinyformer.sparse_engine.frontend.errors import quoted
from tinyformer.sparse_engine.frontend.model import OnnxNode
from tinyformer.sparse_engine.ir import AnyArray, QuantParams, Shape

FloatArray = npt.NDArray[np.float32]

_WEIGHTS = "int8 or uint8 weights through DequantizeLinear, one scale or one per output channel"
_LONGEST_LABEL = 60
_QUANTIZE = "quantise with symmetric int8 weights per output channel"


def batchless(shape: Shape) -> Shape:
    """Return a file's shape as the graph has it: without a leading batch axis of 1, if there are other axes."""
    return shape[1:] if len(shape) > 1 and shape[0] == 1 else shape


@dataclass(frozen=True)
class Activation:
    """A quantised tensor of the graph under construction, as the file sees it.

    Args:
        tensor: its name in the graph; its values lie there in the file's order.
        shape: the file's, batch included.
        quant: per tensor.
        dequantized: whether this is the real value or the stored integers.
    """

    tensor: str
    shape: Shape
    quant: QuantParams
    dequantized: bool = True

    def axis(self, node: OnnxNode, axis: int) -> int:
        """Return which axis of the graph's tensor an axis of the file is.

        Raises:
            UnsupportedModelError: there is no such axis, or it is the batch.
        """
        rank = len(self.shape)
        node.require(-rank <= axis < rank, f"there is no axis {axis} in {self.shape}", f"-{rank} .. {rank - 1}")
        inner = axis % rank - (rank - len(batchless(self.shape)))
        node.require(inner >= 0, "it works along the batch axis", "any other axis", "keep the batch first")
        return inner


@dataclass(frozen=True)
class Grid:
    """How stored integers become real numbers: one scale and zero point, or one for each index of ``axis``."""

    scales: FloatArray
    zero_points: npt.NDArray[np.int64]
    axis: int | None = None

    def quant(self) -> QuantParams:
        """Return scales with zero point 0, or one scale with its zero point."""
        return QuantParams(tuple(float(scale) for scale in self.scales), int(self.zero_points[0]))


@dataclass(frozen=True)
class Constant:
    """A constant of the file.

    Args:
        name: the stored tensor's name.
        values: real numbers (or settings such as axes), or quantised integers.
        grid: of quantised integers; None for real numbers.
        dequantized: False for quantised integers that no DequantizeLinear has read yet.
    """

    name: str
    values: AnyArray
    grid: Grid | None = None
    dequantized: bool = True

    def real(self) -> FloatArray:
        """Return the values as real numbers, computed as DequantizeLinear does."""
        if self.grid is None:
            return self.values.astype(np.float32)
        along = [1] * self.values.ndim
        if self.grid.axis is not None:
            along[self.grid.axis] = -1
        steps = self.values.astype(np.int64) - self.grid.zero_points.reshape(along)
        with np.errstate(over="ignore"):
            return (steps.astype(np.float32) * self.grid.scales.reshape(along)).astype(np.float32)


@dataclass(frozen=True)
class Function:
    """Real values that depend on one activation element by element, and are not quantised yet.

    Args:
        source: the activation; the values have its shape.
        values: float64 (256,), float32 numbers, indexed by the source's integer + 128.
        operators: what computed them, in order.
        name: of the node that did last.
    """

    source: Activation
    values: npt.NDArray[np.float64]
    operators: tuple[str, ...]
    name: str

    @property
    def shape(self) -> Shape:
        """The file's shape, batch included."""
        return self.source.shape

    @property
    def label(self) -> str:
        """What a table of the values is called: its operators in order."""
        text = ", ".join(self.operators)
        return text if len(text) <= _LONGEST_LABEL else f"{text[: _LONGEST_LABEL - 3]}..."


Operand = Activation | Constant | Function


@dataclass(frozen=True)
class Output:
    """What an operator has to produce.

    Args:
        name: the file's name of the quantised tensor.
        shape: the file's, batch included.
        quant: of the QuantizeLinear.
        low: least int8 value (a fused Relu or Clip).
        high: greatest int8 value.
    """

    name: str
    shape: Shape
    quant: QuantParams
    low: int = -128
    high: int = 127


def matrix(constant: Constant) -> Constant:
    """Return a constant of shape (1, ..., I, O) as (I, O)."""
    extra, grid = constant.values.ndim - 2, constant.grid
    if grid is not None and grid.axis is not None:
        grid = replace(grid, axis=grid.axis - extra)
    return replace(constant, values=constant.values.reshape(constant.values.shape[extra:]), grid=grid)


@dataclass(frozen=True)
class Weights:
    """Constant weights: real = scale * step.

    Args:
        steps: int16 (-255 .. 255), the zero point taken off, as they lie in the file.
        scales: float64, one or one per output channel.
    """

    steps: npt.NDArray[np.int16]
    scales: npt.NDArray[np.float64]

    def quant(self) -> QuantParams:
        """Return the scales with zero point 0."""
        return QuantParams(tuple(self.scales.tolist()))


@dataclass(frozen=True)
class Affine:
    """What follows a layer with weights, folded into it: factor * y + offset, both float64 (channels,)."""

    factor: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]

    def then(self, factor: npt.NDArray[np.float64], offset: npt.NDArray[np.float64]) -> Affine:
        """Return this, followed by another factor and offset."""
        return Affine(self.factor * factor, self.offset * factor + offset)


def weights(node: OnnxNode, constant: Constant, channel_axis: int) -> Weights:
    """Return a constant as weights, zero points taken off.

    Args:
        node: for messages.
        constant: the dequantised operand.
        channel_axis: the axis of output channels.
    """
    where = f"weights {quoted(constant.name)}"
    if constant.grid is None or constant.values.dtype != np.int8:
        found = "real numbers" if constant.grid is None else str(constant.values.dtype)
        raise node.error(f"{where} are {found}", _WEIGHTS, _QUANTIZE)
    axis = constant.grid.axis
    node.require(
        axis in (None, channel_axis), f"{where} have scales along axis {axis}", f"axis {channel_axis}", _QUANTIZE
    )
    along = [1] * constant.values.ndim
    if axis is not None:
        along[axis] = -1
    steps = constant.values.astype(np.int16) - constant.grid.zero_points.astype(np.int16).reshape(along)
    return Weights(steps, constant.grid.scales.astype(np.float64))


def folded(
    affine: Affine | None, layer: Weights, channel_axis: int, bias_steps: AnyArray, input_scale: float
) -> tuple[Weights, npt.NDArray[np.float64]]:
    """Return weights and bias (float64 whole numbers, at scale input x weight) of a layer with what follows it folded.

    A channel whose factor is 0 keeps its scale and loses its weights.
    """
    real_bias = bias_steps.astype(np.float64)
    if affine is None:
        return layer, real_bias
    dead = affine.factor == 0
    scales = layer.scales * np.where(dead, 1.0, np.abs(affine.factor))
    along = [1] * layer.steps.ndim
    along[channel_axis] = -1
    signs = np.sign(affine.factor)
    steps = layer.steps * signs.astype(np.int16).reshape(along)
    return Weights(steps, scales), np.rint(real_bias * signs + affine.offset / (input_scale * scales))


def parts(steps: npt.NDArray[np.int16]) -> tuple[npt.NDArray[np.int8], ...]:
    """Return int8 arrays whose sum the steps are: one, unless weights are asymmetric and leave int8.

    A layer reads its input once for each of them, side by side; all but the first are nearly empty.
    """
    found = []
    rest = steps
    while True:
        part = np.clip(rest, -128, 127)
        found.append(part.astype(np.int8))
        rest = rest - part
        if not rest.any():
            return tuple(found)


def bias(node: OnnxNode, constant: Constant | None, channels: int, scales: npt.NDArray[np.float64]) -> AnyArray:
    """Return a bias as int32 at scale input x weight, (channels,).

    A bias stored at another scale, or as real numbers, is rounded to that scale.

    Args:
        node: for messages.
        constant: the operand; None gives zeros.
        channels: number of output channels.
        scales: input scale x weight scale, one or one per channel.
    """
    if constant is None:
        return np.zeros(channels, np.int32)
    where, shape = f"bias {quoted(constant.name)}", constant.values.shape
    fits = constant.values.size == 1 or (constant.values.size == channels and shape[-1] == channels)
    node.require(fits, f"{where} is {shape}", f"({channels},)", "export the model again")
    grid = constant.grid
    if grid is not None and constant.values.dtype == np.int32 and np.allclose(grid.scales, scales, rtol=1e-5, atol=0):
        steps = constant.values.reshape(-1).astype(np.float64) - grid.zero_points
    else:
        steps = np.rint(constant.real().reshape(-1).astype(np.float64) / scales)
    return stored_bias(node, np.broadcast_to(steps, (channels,)), where)


def stored_bias(node: OnnxNode, steps: npt.NDArray[np.float64], where: str = "its bias") -> npt.NDArray[np.int32]:
    """Return bias steps as int32.

    Raises:
        UnsupportedModelError: they do not fit.
    """
    inside = bool(np.all(np.isfinite(steps)) and np.all(np.abs(steps) <= np.iinfo(np.int32).max))
    node.require(inside, f"{where} does not fit int32 at scale input x weight", "a smaller bias", "calibrate again")
    return steps.astype(np.int32)
