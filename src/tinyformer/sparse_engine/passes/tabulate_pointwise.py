"""Sums and products of one tensor with a table of itself (Silu, Gelu in parts) are a table themselves.

The table is made by running the integer operators on all 256 values, so nothing about the results changes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyformer.sparse_engine import reference
from tinyformer.sparse_engine.ir import Graph, Node, Tensor
from tinyformer.sparse_engine.ops import Add, Lookup, Mul
from tinyformer.sparse_engine.passes.rewriting import Rewriter

_ALL = np.arange(-128, 128, dtype=np.int8)


@dataclass(frozen=True)
class _Table:
    """What a tensor is in terms of another one, for each of its integers."""

    source: str
    values: npt.NDArray[np.int8]
    function: str = ""


def tabulate_pointwise(graph: Graph) -> Graph:
    """Replace each Add or Mul whose two inputs are tables of one tensor, or itself, by a table. Needs lowered nodes."""
    rewriter = Rewriter(graph)
    known: dict[str, _Table] = {}
    for node in graph.nodes:
        if isinstance(node.op, Lookup):
            table = graph.data.get(node.inputs[1])
            source = _of(known, node.inputs[0])
            if table is not None:
                found = table[source.values.astype(np.int64) + 128].astype(np.int8)
                known[node.output] = _Table(source.source, found, _joined(source.function, node.op.function))
        elif isinstance(node.op, Add | Mul) and len(node.inputs) == 2:
            left, right = (_of(known, name) for name in node.inputs)
            if _tabulated(graph, node, left, right):
                found = _values(graph, node, left, right)
                function = _joined(_joined(left.function, right.function), node.op.kind)
                known[node.output] = _Table(left.source, found, function)
                constant = rewriter.new_constant(f"{node.output}/table", found)
                rewriter.put(node, Lookup(function), (rewriter.read(left.source), constant))
                continue
        rewriter.keep(node)
    return rewriter.finish()


def _of(known: dict[str, _Table], name: str) -> _Table:
    return known.get(name, _Table(name, _ALL))


def _tabulated(graph: Graph, node: Node, left: _Table, right: _Table) -> bool:
    shapes = {graph.tensors[name].shape for name in (*node.inputs, left.source)}
    return left.source == right.source and len(shapes) == 1 and not graph.tensors[left.source].constant


def _values(graph: Graph, node: Node, left: _Table, right: _Table) -> npt.NDArray[np.int8]:
    """Run the node alone on the values that its inputs have for each integer of their source."""
    op: Any = node.op
    shape = _ALL.shape
    names = ("left", "right", "result")
    quants = (*(graph.tensors[name].quant for name in node.inputs), graph.tensors[node.output].quant)
    tensors = {name: Tensor(name, shape, quant=quant) for name, quant in zip(names, quants, strict=True)}
    tensors["right"] = replace(tensors["right"], constant=True)
    alone = Graph(
        "alone", tensors, (Node("alone", op, names[:2], "result"),), "left", "result", {"right": right.values}
    )
    result: npt.NDArray[np.int8] = reference.run(alone, left.values[np.newaxis])[0].astype(np.int8)
    return result


def _joined(first: str, second: str) -> str:
    return f"{first}, {second}" if first and second else first or second
