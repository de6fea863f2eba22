"""Describe a compiled model: graph, calls and plan -> the records of the manifest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinyformer.errors import UnsupportedModelError
from tinyformer.sparse_engine.bundle.manifest import ArenaRecord, Border, LayerRecord, PlacementRecord
from tinyformer.sparse_engine.codegen import Buffers
from tinyformer.sparse_engine.ir import DType, Graph, Shape
from tinyformer.sparse_engine.kernels import KernelCall
from tinyformer.sparse_engine.memory import MemoryPlan

_LAZY_SOFTMAX = "se_softmax_lazy_s8"
_EXPONENTIALS = 256
"""Distances of an int8 value from a row's maximum."""


def border(graph: Graph, name: str, file_shape: Shape | None = None) -> Border:
    """Describe the graph's input or output.

    Args:
        graph: a lowered graph.
        name: ``graph.input`` or ``graph.output``.
        file_shape: shape in the model file, without batch; by default the tensor's own, in the file's axis order.

    Raises:
        UnsupportedModelError: the tensor is not int8 with one scale.
    """
    tensor = graph.tensors[name]
    if tensor.dtype is not DType.INT8 or tensor.quant is None or len(tensor.quant.scales) != 1:
        raise UnsupportedModelError(
            f"'{name}' is {tensor.dtype.value}: inputs and outputs must be int8 with one scale, quantise per tensor"
        )
    if file_shape is None:
        file_shape = tensor.shape
        if tensor.axis_order:
            file_shape = tuple(tensor.shape[tensor.axis_order.index(axis)] for axis in range(len(tensor.shape)))
    return Border(
        name=name,
        shape=tensor.shape,
        file_shape=file_shape,
        axis_order=tensor.axis_order,
        dtype="int8",
        scale=tensor.quant.scale,
        zero_point=tensor.quant.zero_point,
        nbytes=tensor.nbytes,
    )


def arena(plan: MemoryPlan) -> ArenaRecord:
    """Describe the memory map over time."""
    return ArenaRecord(
        planner=plan.planner,
        arena_bytes=plan.arena_bytes,
        lower_bound_bytes=plan.lower_bound_bytes,
        placements=tuple(
            PlacementRecord(name=p.name, kind=p.kind, offset=p.offset, nbytes=p.nbytes, first=p.first, last=p.last)
            for p in plan.placements
        ),
        aliases=dict(plan.aliases),
    )


def layers(
    graph: Graph, calls: Sequence[KernelCall], buffers: Buffers, instructions: Sequence[int | None]
) -> tuple[LayerRecord, ...]:
    """Describe every node; ``instructions`` are predicted, one per call."""
    return tuple(
        _layer(graph, index, call, buffers, predicted)
        for index, (call, predicted) in enumerate(zip(calls, instructions, strict=True))
    )


def _layer(graph: Graph, index: int, call: KernelCall, buffers: Buffers, instructions: int | None) -> LayerRecord:
    node, option = call.node, call.encoding
    density = 1.0
    if option is not None:
        weights = graph.data[node.inputs[1]]
        density = float(np.count_nonzero(weights)) / weights.size
    macs = graph.macs(node)
    place, offset = buffers.location(node.output)
    return LayerRecord(
        index=index,
        name=node.name,
        op=node.op.kind,
        kernel=call.symbol,
        encoding=call.encoding_name,
        why=call.why,
        output=node.output,
        output_shape=graph.tensors[node.output].shape,
        output_place=place,
        output_offset=offset,
        weight_bytes=0 if option is None else option.nbytes,
        sparsity=round(1 - density, 6),
        macs=macs,
        effective_macs=round(macs * density),
        scratch_bytes=call.scratch_bytes,
        instructions_predicted=instructions,
        varying=varying(call, graph.tensors[node.output].elements),
    )


def varying(call: KernelCall, elements: int) -> str:
    """State the worst case of a kernel whose instructions depend on the input; empty for all others.

    Args:
        call: the chosen kernel.
        elements: of the node's output.
    """
    if call.symbol != _LAZY_SOFTMAX:
        return ""
    return (
        f"each exponential is computed when it is first needed: in the worst case {min(_EXPONENTIALS, elements)},"
        " when the inputs lie at that many different distances from the maxima of their rows"
    )
