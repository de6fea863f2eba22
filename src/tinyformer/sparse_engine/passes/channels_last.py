"""Let the graph's borders be channels last, where that saves transposes: a camera's bytes come that way.

The border keeps its name; its ``axis_order`` says how the file's axes lie in it.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from tinyformer.sparse_engine.ir import Graph, Node, Tensor
from tinyformer.sparse_engine.ops import Transpose
from tinyformer.sparse_engine.passes.sink_transposes import sink_transposes


def channels_last_input(graph: Graph) -> Graph:
    """Take the input channels last and transpose it back if, all transposes sunk, fewer elements have to move then."""
    source = graph.tensors[graph.input]
    rank = len(source.shape)
    if rank not in (2, 3) or source.axis_order:
        return graph
    last, first = (*range(1, rank), 0), (rank - 1, *range(rank - 1))
    name = f"{graph.input}/layout"
    while name in graph.tensors:
        name += "'"
    tensors = {
        **graph.tensors,
        source.name: replace(source, shape=tuple(source.shape[axis] for axis in last), axis_order=last),
        name: replace(source, name=name),
    }
    back = Node(name, Transpose(first), (source.name,), name)
    readers = [
        replace(node, inputs=tuple(name if read == source.name else read for read in node.inputs))
        for node in graph.nodes
    ]
    candidate = graph.with_(nodes=[back, *readers], tensors=tensors)
    gains = _moved_elements(sink_transposes(candidate)) < _moved_elements(sink_transposes(graph))
    return candidate if gains else graph


def channels_last_output(graph: Graph) -> Graph:
    """Give the output in the order in which it is computed, instead of transposing it at the end."""
    last = graph.producers().get(graph.output)
    if last is None or not isinstance(last.op, Transpose):
        return graph
    source, output = graph.tensors[last.inputs[0]], graph.tensors[graph.output]
    if source.name == graph.input or source.constant or len(graph.consumers()[graph.output]) > 0:
        return graph
    back = tuple(int(axis) for axis in np.argsort(last.op.permutation))
    order = output.axis_order or tuple(range(len(back)))
    renamed = replace(source, name=output.name, axis_order=tuple(order[axis] for axis in back))
    nodes = [_renamed(node, source, renamed) for node in graph.nodes if node is not last]
    return graph.with_(nodes=nodes, tensors={**graph.tensors, renamed.name: renamed})


def _renamed(node: Node, old: Tensor, new: Tensor) -> Node:
    inputs = tuple(new.name if name == old.name else name for name in node.inputs)
    return replace(node, inputs=inputs, output=new.name if node.output == old.name else node.output)


def _moved_elements(graph: Graph) -> int:
    return sum(prod(graph.tensors[node.output].shape) for node in graph.nodes if isinstance(node.op, Transpose))
