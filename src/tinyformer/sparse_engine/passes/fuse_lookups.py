"""Fuse tables: a clamp into the operator before it, a table into the table before it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tinyformer.sparse_engine.ir import Graph, Node
from tinyformer.sparse_engine.ops import Lookup
from tinyformer.sparse_engine.passes.rewriting import Rewriter


def fuse_clamps(graph: Graph) -> Graph:
    """Fuse a Lookup that only clamps (a Relu) into the one operator that computes its input, where that can clamp."""
    clamps: dict[str, Node] = {}  # by the input of the Lookup
    for node in graph.nodes:
        producer = _sole_producer(graph, node)
        if producer is not None and hasattr(producer.op, "low") and _clamp(graph, node, producer) is not None:
            clamps[node.inputs[0]] = node
    rewriter = Rewriter(graph)
    for node in graph.nodes:
        if clamps.get(node.inputs[0]) is node:
            continue
        clamp = clamps.get(node.output)
        bounds = None if clamp is None else _clamp(graph, clamp, node)
        if clamp is None or bounds is None:
            rewriter.keep(node)
            continue
        op: Any = node.op
        inputs = tuple(rewriter.read(name) for name in node.inputs)
        fused = replace(op, low=bounds[0], high=bounds[1])
        rewriter.put(node, fused, inputs, graph.tensors[clamp.output])
    return rewriter.finish()


def merge_lookups(graph: Graph) -> Graph:
    """Merge a Lookup with the Lookup before it, where nobody else reads that one's output."""
    rewriter = Rewriter(graph)
    merged: dict[str, Node] = {}  # by output
    for node in graph.nodes:
        producer = _sole_producer(graph, node)
        producer = None if producer is None else merged.get(producer.output, producer)
        if producer is None or not isinstance(node.op, Lookup) or not isinstance(producer.op, Lookup):
            rewriter.keep(node)
            continue
        first, second = (rewriter.data(name) for name in (producer.inputs[1], node.inputs[1]))
        if first is None or second is None:
            rewriter.keep(node)
            continue
        table = rewriter.new_constant(f"{node.output}/table", second[first.astype(np.int64) + 128])
        op = Lookup(f"{producer.op.function}, {node.op.function}")
        merged[node.output] = Node(node.name, op, (producer.inputs[0], table), node.output)
        rewriter.put(node, op, (rewriter.read(producer.inputs[0]), table))
    return rewriter.finish()


def _sole_producer(graph: Graph, node: Node) -> Node | None:
    """Return what computes a Lookup's input for nobody else."""
    if not isinstance(node.op, Lookup):
        return None
    name = node.inputs[0]
    alone = len(graph.consumers()[name]) == 1 and name != graph.output
    return graph.producers().get(name) if alone else None


def _clamp(graph: Graph, node: Node, producer: Node) -> tuple[int, int] | None:
    """Return the bounds, within the producer's own, to which a table only clamps."""
    table = graph.data.get(node.inputs[1])
    if table is None or graph.tensors[node.inputs[0]].quant != graph.tensors[node.output].quant:
        return None
    op: Any = producer.op
    reachable = np.arange(op.low, op.high + 1)
    values = table[reachable + 128].astype(np.int64)
    low, high = int(values[0]), int(values[-1])
    return (low, high) if low <= high and np.array_equal(values, np.clip(reachable, low, high)) else None
