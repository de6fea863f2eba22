"""Random layers for the kernels without weights: one table of cases, run on this machine and on an emulated core."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from emulated_core import Argument, Call, EmulatedCore
from tinyformer.sparse_engine import fixed_point, ops, reference
from tinyformer.sparse_engine.ir import DType, Graph, Node, Operator, QuantParams, Tensor

GUARD = 64  # bytes around each output and scratch that a kernel must leave alone
FILL = 0x5A
Structs = Mapping[str, type[ctypes.Structure]]


@dataclass(frozen=True)
class Case:
    """A kernel, its arguments in order up to the output, and the operator that it must equal.

    ``params`` are the fields of ``params_type``; without a struct, the first is passed by value. ``scratch_bytes`` is
    None for kernels that take no scratch.
    """

    symbol: str
    params_type: str | None
    params: Mapping[str, int]
    arrays: tuple[np.ndarray, ...]
    graph: Graph
    scratch_bytes: int | None = None

    def with_first(self, values: np.ndarray) -> Case:
        """The same layer for another input."""
        return replace(self, arrays=(values, *self.arrays[1:]))

    def expected(self) -> np.ndarray:
        """The reference's output."""
        return reference.run(self.graph, self.arrays[0][np.newaxis])[0]


def run_on_host(case: Case, runtime: ctypes.CDLL, structs: Structs, *, in_place: bool = False) -> np.ndarray:
    """Call a kernel of the host library, with guards around what it writes and rubbish in its scratch."""
    shape = case.graph.tensors[case.graph.output].shape
    first: Any
    if case.params_type is None:
        first = ctypes.c_int32(next(iter(case.params.values())))
    else:
        first = ctypes.byref(structs[case.params_type](**case.params))
    output = np.full(prod(shape) + 2 * GUARD, FILL, np.int8)
    inside = output[GUARD:-GUARD]
    arrays = [np.ascontiguousarray(array) for array in case.arrays]
    if in_place:
        inside[:] = arrays[0].reshape(-1)
        arrays[0] = inside
    arguments = [first, *(ctypes.c_void_p(array.ctypes.data) for array in arrays), ctypes.c_void_p(inside.ctypes.data)]
    scratch = np.zeros(0, np.int8)
    if case.scratch_bytes is not None:
        assert getattr(runtime, f"{case.symbol}_scratch_bytes")(first) == case.scratch_bytes
        words = np.full((case.scratch_bytes + GUARD) // 8, FILL * 0x0101010101010101, np.int64)
        scratch = words.view(np.int8)
        arguments.append(ctypes.c_void_p(words.ctypes.data))
    getattr(runtime, case.symbol)(*arguments)
    assert np.all(output[:GUARD] == FILL), f"{case.symbol} wrote before its output"
    assert np.all(output[-GUARD:] == FILL), f"{case.symbol} wrote beyond its output"
    assert np.all(scratch[case.scratch_bytes :] == FILL), f"{case.symbol} wrote beyond its scratch"
    return inside.reshape(shape)


def run_on_core(case: Case, core: EmulatedCore, structs: Structs) -> tuple[np.ndarray, Call]:
    """Call a kernel on the emulated core; the memory after every array is not there."""
    output = np.full(case.graph.tensors[case.graph.output].shape, FILL, np.int8)
    first: Argument = next(iter(case.params.values()))
    if case.params_type is not None:
        first = structs[case.params_type](**case.params)
    arguments: list[Argument] = [first, *case.arrays, output]
    if case.scratch_bytes is not None:
        arguments.append(np.full(case.scratch_bytes // 8, FILL, np.int64) if case.scratch_bytes else 0)
    return output, core.call(case.symbol, *arguments)


def integers(rng: np.random.Generator, shape: tuple[int, ...] | int, low: int = -128, high: int = 127) -> np.ndarray:
    """Random int8 values, both ends included."""
    return rng.integers(low, high + 1, shape).astype(np.int8)


def softmax(
    x: np.ndarray, scale: float = 0.1, output_scale: float = 1 / 256, zero_point: int = -128, *, lazy: bool = False
) -> Case:
    """Softmax of the last axis of int8 values."""
    multiplier, exponent = fixed_point.softmax_output_multiplier(output_scale)
    op = ops.Softmax(
        exp_multiplier=fixed_point.exp_multiplier(scale),
        fraction_bits=fixed_point.softmax_fraction_bits(x.shape[-1]),
        output_multiplier=multiplier,
        output_exponent=exponent,
    )
    params = {
        "rows": prod(x.shape[:-1]),
        "columns": x.shape[-1],
        "exp_multiplier": op.exp_multiplier,
        "fraction_bits": op.fraction_bits,
        "output_multiplier": multiplier,
        "output_exponent": exponent,
        "output_zero_point": zero_point,
    }
    symbol, scratch = ("se_softmax_lazy_s8", 1056) if lazy else ("se_softmax_s8", 1024)
    return Case(symbol, "se_softmax_params", params, (x,), _single(op, [x], [0], zero_point), scratch)


def layer_norm(
    x: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    *,
    epsilon_term: int = 1,
    factor: float = 0.001,
    zero_point: int = 3,
    clamp: tuple[int, int] = (-128, 127),
) -> Case:
    """Scaled-LayerNorm of the last axis; ``factor`` is the real scale from accumulator to output, epsilon in Q16."""
    multipliers, left_shift = fixed_point.quantize_multipliers([factor])
    op = ops.LayerNorm(
        epsilon_term=epsilon_term, multiplier=int(multipliers[0]), left_shift=left_shift, low=clamp[0], high=clamp[1]
    )
    params = {
        "rows": prod(x.shape[:-1]),
        "columns": x.shape[-1],
        "epsilon_term": epsilon_term,
        "multiplier": int(multipliers[0]),
        "left_shift": left_shift,
        "output_zero_point": zero_point,
        "low": clamp[0],
        "high": clamp[1],
    }
    graph = _single(op, [x, gamma, beta], [0, 0, 0], zero_point)
    return Case("se_layer_norm_s8", "se_layer_norm_params", params, (x, gamma, beta), graph, 0)


def add(
    a: np.ndarray,
    b: np.ndarray,
    multipliers: tuple[int, int] = (12345, -23456),
    *,
    offset: int = 1 << 14,
    shift: int = 15,
    clamp: tuple[int, int] = (-128, 127),
) -> Case:
    """Weighted sum of two tensors, b repeated over a's leading axes."""
    op = ops.Add(*multipliers, offset, shift, *clamp)
    params = {
        "elements": a.size,
        "period": b.size,
        "multiplier_a": multipliers[0],
        "multiplier_b": multipliers[1],
        "offset": offset,
        "shift": shift,
        "low": clamp[0],
        "high": clamp[1],
    }
    return Case("se_add_s8", "se_add_params", params, (a, b), _single(op, [a, b], [0, 0], 0))


def mul(
    a: np.ndarray,
    b: np.ndarray,
    zero_points: tuple[int, int, int] = (-7, 9, 3),
    *,
    factor: float = 0.008,
    clamp: tuple[int, int] = (-128, 127),
) -> Case:
    """Product of two tensors, b repeated over a's leading axes."""
    multipliers, left_shift = fixed_point.quantize_multipliers([factor])
    op = ops.Mul(int(multipliers[0]), left_shift, *clamp)
    params = {
        "elements": a.size,
        "period": b.size,
        "a_zero_point": zero_points[0],
        "b_zero_point": zero_points[1],
        "output_zero_point": zero_points[2],
        "multiplier": int(multipliers[0]),
        "left_shift": left_shift,
        "low": clamp[0],
        "high": clamp[1],
    }
    return Case("se_mul_s8", "se_mul_params", params, (a, b), _single(op, [a, b], zero_points[:2], zero_points[2]))


def lookup(x: np.ndarray, table: np.ndarray) -> Case:
    """A table of 256 values applied to every element."""
    return Case("se_lookup_s8", None, {"elements": x.size}, (x, table), _single(ops.Lookup(), [x, table], [0, 0], 0))


def max_pool(x: np.ndarray, op: ops.MaxPool2D) -> Case:
    """Maximum over windows of (H, W, C)."""
    graph = _single(op, [x], [0], 0)
    return Case("se_max_pool2d_s8", "se_pool2d_params", _pool2d_params(op, graph), (x,), graph)


def avg_pool(x: np.ndarray, op: ops.AvgPool2D, *, zero_points: tuple[int, int] = (-7, 3), ratio: float = 1.0) -> Case:
    """Average over windows of (H, W, C); ``ratio`` is the input's scale over the output's."""
    multipliers, left_shift = fixed_point.quantize_multipliers([ratio / count for count in op.counts])
    op = replace(op, left_shift=left_shift)
    graph = _single(op, [x, multipliers], [zero_points[0], 0], zero_points[1])
    params = {
        **_pool2d_params(op, graph),
        "input_zero_point": zero_points[0],
        "output_zero_point": zero_points[1],
        "left_shift": left_shift,
        "per_count": int(len(op.counts) > 1),
        "low": op.low,
        "high": op.high,
    }
    return Case("se_avg_pool2d_s8", "se_pool2d_params", params, (x, multipliers), graph)


def _pool2d_params(op: ops.MaxPool2D | ops.AvgPool2D, graph: Graph) -> dict[str, int]:
    x, y = graph.tensors[graph.input].shape, graph.tensors[graph.output].shape
    return {
        "input_height": x[0],
        "input_width": x[1],
        "channels": x[2],
        "output_height": y[0],
        "output_width": y[1],
        "kernel_height": op.kernel[0],
        "kernel_width": op.kernel[1],
        "stride_y": op.stride[0],
        "stride_x": op.stride[1],
        "pad_top": op.padding[0],
        "pad_left": op.padding[1],
    }


def _single(op: Operator, arrays: list[np.ndarray], zero_points: list[int] | tuple[int, ...], output: int) -> Graph:
    """A graph of one node whose first array is the input and whose others are constants."""
    tensors = [
        Tensor(f"t{i}", array.shape, DType(array.dtype.name), QuantParams((1.0,), zero_point), constant=i > 0)
        for i, (array, zero_point) in enumerate(zip(arrays, zero_points, strict=True))
    ]
    shape = op.infer_shape([tensor.shape for tensor in tensors])
    result = Tensor("output", shape, quant=QuantParams((1.0,), output))
    node = Node("layer", op, tuple(tensor.name for tensor in tensors), "output")
    data = {tensor.name: array for tensor, array in zip(tensors[1:], arrays[1:], strict=True)}
    graph = Graph("case", {t.name: t for t in [*tensors, result]}, (node,), "t0", "output", data)
    graph.verify()
    return graph
