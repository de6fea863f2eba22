"""Lowered graphs with random constants: what the cost tables are fitted on and what kernels are measured with.

A builder appends one operator at a time and returns the name of its output. Requantisation factors are chosen so that
outputs use the whole range of int8; nothing here comes from a trained model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyformer.sparse_engine import fixed_point, ops
from tinyformer.sparse_engine.fixed_point import INT8_MAX, INT8_MIN
from tinyformer.sparse_engine.ir import DType, Graph, IntArray, Node, Operator, QuantParams, Shape, Tensor

_SCALE = 0.05
_OUTPUT_DEVIATION = 45.0
_INPUT_DEVIATION = 74.0  # of integers uniform over int8


def sparse_weights(
    generator: np.random.Generator, shape: Shape, sparsity: float = 0.0, block: int = 1
) -> npt.NDArray[np.int8]:
    """Return random weights of which whole blocks along the last axis are zero.

    Args:
        generator: the source of randomness.
        shape: canonical weight shape.
        sparsity: the share of blocks that are zero, 0 .. 1; rounded to whole blocks over the array.
        block: consecutive weights that are zero together.
    """
    weights = generator.integers(1, 128, shape) * generator.choice((-1, 1), shape)
    blocks = -(-shape[-1] // block)
    rows = prod(shape[:-1])
    zero = np.zeros(rows * blocks, bool)
    zero[generator.permutation(zero.size)[: round(sparsity * zero.size)]] = True
    mask = np.repeat(zero.reshape(rows, blocks), block, axis=1)[:, : shape[-1]]
    weights[mask.reshape(shape)] = 0
    result: npt.NDArray[np.int8] = weights.astype(np.int8)
    return result


class GraphBuilder:
    """Builds a lowered graph operator by operator.

    Args:
        input_shape: shape of the graph input, without batch.
        seed: seed of every constant and zero point.
        name: the graph's name.

    A layer with ``relu`` has its outputs' zero point at -128, where quantisers that calibrate them put it: saturation
    is then all that clamps them.
    """

    def __init__(self, input_shape: Shape, seed: int = 0, name: str = "synthetic") -> None:
        self._generator = np.random.default_rng(seed)
        self._name = name
        self._tensors: dict[str, Tensor] = {}
        self._data: dict[str, IntArray] = {}
        self._nodes: list[Node] = []
        self.input = self._activation("input", input_shape)

    def conv2d(
        self,
        x: str,
        channels: int,
        kernel: ops.Pair,
        *,
        sparsity: float = 0.0,
        block: int = 1,
        relu: bool = False,
        **attributes: Any,
    ) -> str:
        """Append a convolution; ``attributes`` are those of ``ops.Conv2D``."""
        groups = attributes.get("groups", 1)
        shape = (channels, *kernel, self._tensors[x].shape[-1] // groups)
        return self._weighted(ops.Conv2D(**attributes), x, shape, sparsity, block, relu)

    def depthwise(
        self,
        x: str,
        kernel: ops.Pair,
        *,
        sparsity: float = 0.0,
        block: int = 1,
        relu: bool = False,
        **attributes: Any,
    ) -> str:
        """Append a depthwise convolution; ``attributes`` are those of ``ops.DepthwiseConv2D``."""
        shape = (self._tensors[x].shape[-1], *kernel)
        return self._weighted(ops.DepthwiseConv2D(**attributes), x, shape, sparsity, block, relu)

    def linear(
        self,
        x: str,
        features: int,
        *,
        sparsity: float = 0.0,
        block: int = 1,
        relu: bool = False,
        **attributes: Any,
    ) -> str:
        """Append a linear layer; ``attributes`` are those of ``ops.Linear``."""
        shape = (features, self._tensors[x].shape[-1])
        return self._weighted(ops.Linear(**attributes), x, shape, sparsity, block, relu)

    def matmul(self, a: str, b: str, *, transpose_b: bool = False) -> str:
        """Append a product of two activations."""
        deviation = sqrt(self._tensors[a].shape[-1]) * _INPUT_DEVIATION**2
        multipliers, left_shift = fixed_point.quantize_multipliers([_OUTPUT_DEVIATION / deviation])
        return self._append(ops.MatMul(transpose_b, int(multipliers[0]), left_shift), (a, b))

    def add(self, a: str, b: str, *, low: int = INT8_MIN, high: int = INT8_MAX) -> str:
        """Append a sum, clamped to ``low`` .. ``high``."""
        shift, weight_a, weight_b = 14, 10000, 9000
        output = self._zero_point()
        offset = (output << shift) + (1 << (shift - 1))
        offset -= self._zero_point_of(a) * weight_a + self._zero_point_of(b) * weight_b
        return self._append(ops.Add(weight_a, weight_b, offset, shift, low, high), (a, b), output)

    def mul(self, a: str, b: str, *, low: int = INT8_MIN, high: int = INT8_MAX) -> str:
        """Append a product, element by element, clamped to ``low`` .. ``high``."""
        multipliers, left_shift = fixed_point.quantize_multipliers([1 / 120])
        return self._append(ops.Mul(int(multipliers[0]), left_shift, low, high), (a, b))

    def softmax(self, x: str, scale: float = _SCALE) -> str:
        """Append a softmax whose input counts in steps of ``scale``."""
        multiplier, exponent = fixed_point.softmax_output_multiplier(1 / 256)
        columns = self._tensors[x].shape[-1]
        op = ops.Softmax(
            fixed_point.exp_multiplier(scale), fixed_point.softmax_fraction_bits(columns), multiplier, exponent
        )
        return self._append(op, (x,), -128)

    def layer_norm(self, x: str, *, low: int = INT8_MIN, high: int = INT8_MAX) -> str:
        """Append a Scaled-LayerNorm, clamped to ``low`` .. ``high``."""
        columns = self._tensors[x].shape[-1]
        gamma = self._constant("gamma", self._generator.integers(40, 128, columns).astype(np.int16))
        beta = self._constant("beta", self._generator.integers(-4000, 4000, columns).astype(np.int32))
        multipliers, left_shift = fixed_point.quantize_multipliers([_OUTPUT_DEVIATION / (128 * 84)])
        epsilon = max(1, round(columns**2 * 1e-5 / _SCALE**2))
        return self._append(ops.LayerNorm(1e-5, epsilon, int(multipliers[0]), left_shift, low, high), (x, gamma, beta))

    def max_pool(self, x: str, kernel: ops.Pair, stride: ops.Pair, padding: ops.Pads = (0, 0, 0, 0)) -> str:
        """Append a maximum over windows."""
        return self._append(ops.MaxPool2D(kernel, stride, padding), (x,), self._zero_point_of(x))

    def avg_pool(
        self,
        x: str,
        kernel: ops.Pair,
        stride: ops.Pair,
        padding: ops.Pads = (0, 0, 0, 0),
        *,
        low: int = INT8_MIN,
        high: int = INT8_MAX,
    ) -> str:
        """Append a mean over windows, of the values inside the image, clamped to ``low`` .. ``high``."""
        op = ops.AvgPool2D(kernel, stride, padding, low=low, high=high)
        multipliers, left_shift = fixed_point.quantize_multipliers([1.2 / count for count in op.counts])
        constant = self._constant("multipliers", multipliers)
        return self._append(replace(op, left_shift=left_shift), (x, constant))

    def lookup(self, x: str) -> str:
        """Append a random table of 256 entries."""
        table = self._constant("table", self._generator.integers(-128, 128, 256).astype(np.int8))
        return self._append(ops.Lookup("synthetic"), (x, table))

    def reshape(self, x: str, shape: Shape) -> str:
        """Append a reshape."""
        return self._append(ops.Reshape(shape), (x,), self._zero_point_of(x))

    def transpose(self, x: str, permutation: Sequence[int]) -> str:
        """Append a permutation of axes."""
        return self._append(ops.Transpose(tuple(permutation)), (x,), self._zero_point_of(x))

    def slice(self, x: str, starts: Sequence[int], sizes: Sequence[int], steps: Sequence[int]) -> str:
        """Append a strided cut."""
        return self._append(ops.Slice(tuple(starts), tuple(sizes), tuple(steps)), (x,), self._zero_point_of(x))

    def concat(self, inputs: Sequence[str], axis: int) -> str:
        """Append a concatenation."""
        return self._append(ops.Concat(axis), tuple(inputs), self._zero_point_of(inputs[0]))

    def pad(self, x: str, before: Sequence[int], after: Sequence[int]) -> str:
        """Append padding with the zero point."""
        zero_point = self._zero_point_of(x)
        return self._append(ops.Pad(tuple(before), tuple(after), zero_point), (x,), zero_point)

    def constant(self, shape: Shape) -> str:
        """Return a random int8 constant, to be an operand of ``add``, ``mul`` or ``concat``."""
        values = self._generator.integers(-128, 128, shape).astype(np.int8)
        return self._constant("operand", values, QuantParams((_SCALE,), self._zero_point()))

    def finish(self, output: str) -> Graph:
        """Return the verified graph that ends in ``output``."""
        graph = Graph(self._name, self._tensors, tuple(self._nodes), self.input, output, self._data)
        graph.verify()
        return graph

    def _weighted(self, op: Any, x: str, shape: Shape, sparsity: float, block: int, relu: bool) -> str:
        weights = sparse_weights(self._generator, shape, sparsity, block)
        axes = tuple(range(1, weights.ndim))
        lengths = np.maximum(1, np.count_nonzero(weights, axes))
        real = _OUTPUT_DEVIATION / (np.sqrt(lengths) * _INPUT_DEVIATION**2)
        multipliers, left_shift = fixed_point.quantize_multipliers(real * self._generator.uniform(0.7, 1.4, shape[0]))
        bias = -self._zero_point_of(x) * weights.sum(axes, dtype=np.int64)
        bias += self._generator.integers(-3000, 3000, shape[0])
        inputs = (
            x,
            self._constant("weight", weights, QuantParams((1 / 127,) * shape[0])),
            self._constant("bias", bias.astype(np.int32)),
            self._constant("multipliers", multipliers),
        )
        zero_point = self._zero_point()  # drawn in any case: constants do not depend on activations
        return self._append(replace(op, left_shift=left_shift), inputs, INT8_MIN if relu else zero_point)

    def _append(self, op: Operator, inputs: tuple[str, ...], zero_point: int | None = None) -> str:
        shape = op.infer_shape([self._tensors[name].shape for name in inputs])
        output = self._activation(f"t{len(self._nodes)}", shape, zero_point)
        self._nodes.append(Node(f"{op.kind}_{len(self._nodes)}", op, inputs, output))
        return output

    def _activation(self, name: str, shape: Shape, zero_point: int | None = None) -> str:
        quant = QuantParams((_SCALE,), self._zero_point() if zero_point is None else zero_point)
        self._tensors[name] = Tensor(name, shape, DType.INT8, quant)
        return name

    def _constant(self, role: str, values: IntArray, quant: QuantParams | None = None) -> str:
        name = f"{role}_{len(self._data)}"
        self._tensors[name] = Tensor(name, values.shape, DType(values.dtype.name), quant, constant=True)
        self._data[name] = values
        return name

    def _zero_point(self) -> int:
        return int(self._generator.integers(-20, 21))

    def _zero_point_of(self, name: str) -> int:
        quant = self._tensors[name].quant
        return 0 if quant is None else quant.zero_point
