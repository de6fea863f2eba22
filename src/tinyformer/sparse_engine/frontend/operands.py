"""What an operator reads and writes: dequantised activations, and constants as integers of the contract."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tinyformer.sparse_engine.frontend.errors import quoted
from tinyformer.sparse_engine.frontend.model import OnnxNode
from tinyformer.sparse_engine.ir import AnyArray, QuantParams, Shape

FloatArray = npt.NDArray[np.float32]

_WEIGHTS = "int8 weights with zero point 0 (or uint8 with zero point 128), one scale or one per output channel"
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


Operand = Activation | Constant


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


def weights(node: OnnxNode, constant: Constant, channel_axis: int) -> tuple[npt.NDArray[np.int8], QuantParams]:
    """Return a constant as weights of the integer contract.

    Args:
        node: for messages.
        constant: the dequantised operand.
        channel_axis: the axis of output channels.

    Returns:
        int8 values as they lie in the file, and their scales with zero point 0.
    """
    where = f"weights {quoted(constant.name)}"
    if constant.grid is None or constant.values.dtype != np.int8:
        found = "real numbers" if constant.grid is None else str(constant.values.dtype)
        raise node.error(f"{where} are {found}", _WEIGHTS, _QUANTIZE)
    axis = constant.grid.axis
    node.require(not constant.grid.zero_points.any(), f"{where} are asymmetric", _WEIGHTS, _QUANTIZE)
    node.require(
        axis in (None, channel_axis), f"{where} have scales along axis {axis}", f"axis {channel_axis}", _QUANTIZE
    )
    return constant.values.astype(np.int8), constant.grid.quant()


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
    inside = bool(np.all(np.isfinite(steps)) and np.all(np.abs(steps) <= np.iinfo(np.int32).max))
    node.require(inside, f"{where} does not fit int32 at scale input x weight", "a smaller bias", "calibrate again")
    return np.broadcast_to(steps, (channels,)).astype(np.int32)
