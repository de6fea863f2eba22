"""Random layers for the kernels with weights: one table of cases, run on this machine and on an emulated core."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from emulated_core import Argument, Call, EmulatedCore, Pointers
from tinyformer.sparse_engine import coding, ops, reference
from tinyformer.sparse_engine.ir import DType, Graph, Node, Operator, QuantParams, Tensor
from tinyformer.sparse_engine.kernels.scratch import PIXELS, SCRATCH_BYTES, WIDE_PIXELS

GUARD = 64  # bytes after each output and scratch that a kernel must leave alone
FILL = 0x5A
UNPACKED = "unpacked_bytes"
WEIGHTS_STRUCTS = {
    "block_rle": "se_block_weights",
    "block_rle4": "se_rle4_weights",
    "block_bitmap": "se_bitmap_weights",
}
CODES = {"": "block_rle", "rle4_": "block_rle4", "bitmap_": "block_bitmap"}
"""Part of a symbol -> the encoding that it reads."""
Structs = Mapping[str, type[ctypes.Structure]]


@dataclass(frozen=True)
class Case:
    """A kernel, its parameters and arrays, and the operator it must equal."""

    symbol: str
    params_type: str
    params: Mapping[str, int]
    arrays: tuple[np.ndarray | coding.EncodedWeights, ...]  # from the input to the multipliers
    graph: Graph
    input: np.ndarray

    @property
    def scratch_bytes(self) -> int:
        """What scratch.py says the kernel needs."""
        return SCRATCH_BYTES[self.symbol](self.params)

    def expected(self) -> np.ndarray:
        """The reference's output."""
        return reference.run(self.graph, self.input[np.newaxis])[0]

    def narrow(self) -> Case:
        """The same layer with the least scratch: strips of few outputs."""
        return replace(self, params={**self.params, "pixels": PIXELS})

    def with_encoding(self, symbol: str, encoding: str, block: int) -> Case:
        """The same layer by another kernel."""
        weight = self.graph.data[self.graph.nodes[0].inputs[1]]
        encoded = coding.ENCODINGS[encoding].encode(weight, block)
        params = {**self.params, UNPACKED: self._least_unpacked_bytes(block)}
        return replace(self, symbol=symbol, params=params, arrays=(self.arrays[0], encoded, *self.arrays[2:]))

    def unpacked(self, share: float) -> Case:
        """The same layer with scratch for a share of its blocks' distances: 0 is the least there may be, 1 all."""
        encoded = self.arrays[1]
        assert isinstance(encoded, coding.EncodedWeights)
        least = self._least_unpacked_bytes(encoded.block)
        most = least + 8 * -(-encoded.plane("values").size // encoded.block // 8)
        return replace(self, params={**self.params, UNPACKED: least + 8 * round(share * (most - least) / 8)})

    def _least_unpacked_bytes(self, block: int) -> int:
        """Whatever the rules of packed.py: 8 more than the blocks of a filter in whole words."""
        weight = self.graph.data[self.graph.nodes[0].inputs[1]]
        blocks = weight[0, ..., 0].size * -(-weight.shape[-1] // block)
        return 8 * -(-blocks // 8) + 8


def in_blocks(case: Case, blocks: tuple[int, ...] = (2, 4)) -> Iterator[Case]:
    """The same layer in every code and block size, with the least scratch, with half and with all that it can use."""
    stem = case.symbol.removesuffix("s8")
    for (part, code), block in product(CODES.items(), blocks):
        if f"{stem}{part}block{block}_s8" not in SCRATCH_BYTES:
            continue
        coded = case.with_encoding(f"{stem}{part}block{block}_s8", code, block)
        yield coded
        if part and block != 3:
            yield from (coded.unpacked(share) for share in (0.5, 1))


def run_on_host(case: Case, runtime: ctypes.CDLL, structs: Structs, *, in_place: bool = False) -> np.ndarray:
    """Call a kernel of the host library, with guards around what it writes and rubbish in its scratch.

    ``in_place``: the output lies where the input does.
    """
    params = structs[case.params_type](**case.params)
    asked = getattr(runtime, f"{case.symbol}_scratch_bytes")(ctypes.byref(params))
    assert asked == case.scratch_bytes
    shape = case.graph.tensors[case.graph.output].shape
    output = np.full(int(np.prod(shape)) + GUARD, FILL, np.int8)
    scratch = np.full((asked + GUARD + 7) // 8, FILL * 0x0101010101010101, np.int64)
    arguments: list[Any] = [ctypes.byref(params)]
    arrays = list(case.arrays)
    if in_place:
        output[:-GUARD] = case.input.ravel()
        arrays[0] = output
    for array in arrays:
        if isinstance(array, coding.EncodedWeights) and array.encoding in WEIGHTS_STRUCTS:
            pointers = [plane.array.ctypes.data for plane in array.planes]
            arguments.append(ctypes.byref(structs[WEIGHTS_STRUCTS[array.encoding]](*pointers)))
        else:
            plain = array.planes[0].array if isinstance(array, coding.EncodedWeights) else array
            arguments.append(ctypes.c_void_p(plain.ctypes.data))
    arguments += [ctypes.c_void_p(output.ctypes.data), ctypes.c_void_p(scratch.ctypes.data)]
    getattr(runtime, case.symbol)(*arguments)
    assert np.all(output[-GUARD:] == FILL), f"{case.symbol} wrote beyond its output"
    assert np.all(scratch.view(np.int8)[asked:] == FILL), f"{case.symbol} wrote beyond its scratch"
    return output[:-GUARD].reshape(shape)


def run_on_core(case: Case, core: EmulatedCore, structs: Structs, *, in_place: bool = False) -> tuple[np.ndarray, Call]:
    """Call a kernel on the emulated core; the memory after every array is not there.

    ``in_place``: the output lies where the input does.
    """
    shape = case.graph.tensors[case.graph.output].shape
    output = case.input.reshape(shape).copy() if in_place else np.full(shape, FILL, np.int8)
    scratch = np.full((case.scratch_bytes + 7) // 8, FILL * 0x0101010101010101, np.int64)
    arguments: list[Argument] = [structs[case.params_type](**case.params)]
    for array in (output, *case.arrays[1:]) if in_place else case.arrays:
        if not isinstance(array, coding.EncodedWeights):
            arguments.append(array)
        elif array.encoding in WEIGHTS_STRUCTS:
            arguments.append(Pointers(tuple(plane.array for plane in array.planes)))
        else:
            arguments.append(array.planes[0].array)
    call = core.call(case.symbol, *arguments, output, scratch)
    return output, call


@dataclass(frozen=True)
class Requantization:
    """How accumulators become outputs. "typical" uses most of int8, "extreme" takes multipliers from the ends."""

    zero_point: int = 3
    low: int = -128
    high: int = 127
    multipliers: str = "typical"
    left_shift: int = 0


def conv2d(
    rng: np.random.Generator,
    size: tuple[int, int] = (5, 6),
    channels: int = 4,
    filters: int = 5,
    kernel: tuple[int, int] = (3, 3),
    *,
    op: ops.Conv2D | None = None,
    sparsity: float = 0.0,
    block: int = 1,
    zero_point: int = -7,
    requantization: Requantization | None = None,
) -> Case:
    """A convolution for ``se_conv2d_s8``; weights are zero by blocks along the channels."""
    op = op or ops.Conv2D()
    weight = sparse_integers(rng, (filters, *kernel, channels // op.groups), sparsity, block)
    graph, arrays = _layer(rng, op, (*size, channels), weight, zero_point, requantization or Requantization())
    case = Case("se_conv2d_s8", "se_conv2d_params", _conv2d_params(graph, kernel), arrays, graph, arrays[0])
    return case.with_encoding(case.symbol, "dense", 1)


def depthwise(
    rng: np.random.Generator,
    size: tuple[int, int] = (5, 6),
    channels: int = 5,
    kernel: tuple[int, int] = (3, 3),
    *,
    op: ops.DepthwiseConv2D | None = None,
    sparsity: float = 0.0,
    block: int = 1,
    zero_point: int = -7,
    requantization: Requantization | None = None,
) -> Case:
    """A depthwise convolution for ``se_depthwise_conv2d_s8``; weights are zero by blocks along the width."""
    op = op or ops.DepthwiseConv2D()
    weight = sparse_integers(rng, (channels, *kernel), sparsity, block)
    graph, arrays = _layer(rng, op, (*size, channels), weight, zero_point, requantization or Requantization())
    params = _conv2d_params(graph, kernel)
    case = Case("se_depthwise_conv2d_s8", "se_conv2d_params", params, arrays, graph, arrays[0])
    return case.with_encoding(case.symbol, "dense", 1)


def linear(
    rng: np.random.Generator,
    rows: int = 7,
    features: int = 8,
    outputs: int = 5,
    *,
    sparsity: float = 0.0,
    block: int = 1,
    zero_point: int = -7,
    requantization: Requantization | None = None,
) -> Case:
    """A linear layer for ``se_linear_s8``."""
    weight = sparse_integers(rng, (outputs, features), sparsity, block)
    graph, arrays = _layer(rng, ops.Linear(), (rows, features), weight, zero_point, requantization or Requantization())
    op, output = graph.nodes[0].op, graph.tensors[graph.output]
    params = {
        "rows": rows,
        "input_features": features,
        "output_features": outputs,
        "pixels": WIDE_PIXELS,
        "output_zero_point": _zero_point(output),
        **_clamp(op),
        UNPACKED: 0,
    }
    case = Case("se_linear_s8", "se_linear_params", params, arrays, graph, arrays[0])
    return case.with_encoding(case.symbol, "dense", 1)


def matmul(
    rng: np.random.Generator,
    batch: int = 2,
    rows: int = 5,
    depth: int = 6,
    columns: int = 7,
    *,
    transpose_b: bool = False,
    zero_points: tuple[int, int] = (-7, 9),
    requantization: Requantization | None = None,
) -> Case:
    """A product of two activations for ``se_matmul_s8``; the second is a constant of the graph."""
    r = requantization or Requantization()
    bound = depth * 255 * 255
    multipliers, left_shift = _multipliers(rng, r, 1, bound)
    op = ops.MatMul(transpose_b, int(multipliers[0]), left_shift, r.low, r.high)
    a, b = (batch, rows, depth), (batch, columns, depth) if transpose_b else (batch, depth, columns)
    left, right = _integers(rng, a), _integers(rng, b)
    tensors = [
        Tensor("a", a, quant=QuantParams((1.0,), zero_points[0])),
        Tensor("b", b, quant=QuantParams((1.0,), zero_points[1]), constant=True),
    ]
    graph = _single(op, tensors, {"b": right}, r)
    params = {
        "batch": batch,
        "rows": rows,
        "depth": depth,
        "columns": columns,
        "transpose_b": int(transpose_b),
        "a_zero_point": zero_points[0],
        "b_zero_point": zero_points[1],
        "output_zero_point": r.zero_point,
        "multiplier": int(multipliers[0]),
        **_clamp(op),
    }
    return Case("se_matmul_s8", "se_matmul_params", params, (left, right), graph, left)


def sparse_integers(rng: np.random.Generator, shape: tuple[int, ...], sparsity: float, block: int) -> np.ndarray:
    """Random int8 weights, blocks along the last axis zero with the given probability."""
    blocks = -(-shape[-1] // block)
    keep = rng.random((*shape[:-1], blocks)) >= sparsity
    return _integers(rng, shape) * np.repeat(keep, block, axis=-1)[..., : shape[-1]].astype(np.int8)


def _integers(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return rng.integers(-128, 128, shape).astype(np.int8)


def _layer(
    rng: np.random.Generator,
    op: Any,
    shape: tuple[int, ...],
    weight: np.ndarray,
    zero_point: int,
    r: Requantization,
) -> tuple[Graph, tuple[np.ndarray, ...]]:
    bias = rng.integers(-3000, 3000, len(weight)).astype(np.int32)
    bound = int(np.abs(weight.astype(np.int64)).reshape(len(weight), -1).sum(axis=1).max() * 128 + 3000)
    multipliers, left_shift = _multipliers(rng, r, len(weight), bound)
    op = replace(op, left_shift=left_shift, low=r.low, high=r.high)
    constants = {"weight": weight, "bias": bias, "multipliers": multipliers}
    tensors = [Tensor("input", shape, quant=QuantParams((1.0,), zero_point))]
    tensors += [Tensor(name, d.shape, DType(d.dtype.name), constant=True) for name, d in constants.items()]
    return _single(op, tensors, constants, r), (_integers(rng, shape), weight, bias, multipliers)


def _multipliers(rng: np.random.Generator, r: Requantization, count: int, bound: int) -> tuple[np.ndarray, int]:
    left_shift = min(r.left_shift, ((2**31 - 1) // bound).bit_length() - 1)
    if r.multipliers == "extreme":
        return rng.choice(np.array([0, 1, 2**30, 2**31 - 1], np.int32), count), left_shift
    real = 127 * 5 / bound * rng.uniform(0.5, 1.0, count)
    return np.minimum(np.rint(real * 2.0 ** (32 - left_shift)), 2**31 - 1).astype(np.int32), left_shift


def _single(op: Operator, tensors: list[Tensor], data: Mapping[str, np.ndarray], r: Requantization) -> Graph:
    output = Tensor("output", op.infer_shape([t.shape for t in tensors]), quant=QuantParams((1.0,), r.zero_point))
    node = Node("layer", op, tuple(t.name for t in tensors), "output")
    graph = Graph("case", {t.name: t for t in [*tensors, output]}, (node,), tensors[0].name, "output", data)
    graph.verify()
    return graph


def _conv2d_params(graph: Graph, kernel: tuple[int, int]) -> Mapping[str, int]:
    op: Any = graph.nodes[0].op
    x, y = graph.tensors[graph.input], graph.tensors[graph.output]
    names = ("height", "width", "channels")
    return {
        **{f"input_{name}": size for name, size in zip(names, x.shape, strict=True)},
        **{f"output_{name}": size for name, size in zip(names, y.shape, strict=True)},
        "kernel_height": kernel[0],
        "kernel_width": kernel[1],
        "stride_y": op.stride[0],
        "stride_x": op.stride[1],
        "pad_top": op.padding[0],
        "pad_left": op.padding[1],
        "dilation_y": op.dilation[0],
        "dilation_x": op.dilation[1],
        "groups": getattr(op, "groups", 1),
        **({"pixels": WIDE_PIXELS} if isinstance(op, ops.Conv2D) else {}),
        "input_zero_point": _zero_point(x),
        "output_zero_point": _zero_point(y),
        **_clamp(op),
        UNPACKED: 0,
    }


def _clamp(op: Any) -> dict[str, int]:
    return {"left_shift": op.left_shift, "low": op.low, "high": op.high}


def _zero_point(tensor: Tensor) -> int:
    assert tensor.quant is not None
    return tensor.quant.zero_point
