"""Compose chains of Transpose and Reshape, and move transposes towards the output until they meet and cancel.

1. A chain of Transpose and Reshape becomes the shortest one: nothing, one Reshape where memory keeps its order, or
   Reshape, Transpose, Reshape at most.
2. Lookup, Add, Mul, Concat, Slice and Pad of transposed tensors become the same operator on the tensors before the
   transposes, followed by one Transpose; constants are transposed at compile time.

Case 2 applies only where all readers of the transposed tensor can move their transposes on too: otherwise the
transpose would have to stay and a second one appear.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinyformer.sparse_engine import ops
from tinyformer.sparse_engine.ir import Graph, Node, Operator
from tinyformer.sparse_engine.passes.movement import Movement
from tinyformer.sparse_engine.passes.rewriting import Rewriter

Permutation = tuple[int, ...]


def sink_transposes(graph: Graph) -> Graph:
    """Return the graph with composed chains and sunk transposes; see the module."""
    sweep = _Sweep(graph)
    for node in graph.nodes:
        sweep.visit(node)
    return sweep.rewriter.finish()


@dataclass(frozen=True)
class _Sunk:
    """An operator moved above a transpose: its attributes and inputs there."""

    op: Operator
    inputs: tuple[str, ...]
    permutation: Permutation


class _Sweep:
    """One pass over the nodes.

    ``views`` says of tensors that movement computes from which tensor and how; ``transposed`` of the outputs of
    Transpose nodes their input and permutation; ``done`` holds movement that exists already.
    """

    def __init__(self, graph: Graph) -> None:
        self.rewriter = Rewriter(graph)
        self._graph = graph
        self._readers = graph.consumers()
        self._views: dict[str, tuple[str, Movement]] = {}
        self._transposed: dict[str, tuple[str, Permutation]] = {}
        self._done: dict[tuple[str, Operator], str] = {}

    def visit(self, node: Node) -> None:
        if isinstance(node.op, ops.Reshape | ops.Transpose):
            self._compose(node, node.op)
            return
        rule = _RULES.get(type(node.op))
        sunk = rule(self, node) if rule is not None and self._all_move_on(node) else None
        if sunk is None:
            self.rewriter.keep(node)
        else:
            self._sink(node, sunk)

    def above(self, name: str) -> tuple[str, Permutation] | None:
        """Return what an old tensor is a transpose of, and how."""
        return self._transposed.get(self.rewriter.read(name))

    def _compose(self, node: Node, op: ops.Reshape | ops.Transpose) -> None:
        rewriter = self.rewriter
        source = rewriter.read(node.inputs[0])
        root, before = self._views.get(source, (source, Movement.none(rewriter.shape(source))))
        movement = before.then(op)
        if movement is None:
            root, before = source, Movement.none(rewriter.shape(source))
            movement = before.then(op)
        if movement is None:
            raise AssertionError(f"{op} does not fit {before.shape}")
        chain = movement.operators()
        if not chain:
            if rewriter.may_replace(node.output, root):
                rewriter.replace(node.output, root)
            else:
                rewriter.put(node, ops.Reshape(movement.shape), (root,))
            return
        current, step = root, Movement.none(rewriter.shape(root))
        for position, part in enumerate(chain):
            step = step.then(part) or step
            current = self._move(node, part, current, last=position == len(chain) - 1)
            self._views[current] = (root, step)
        if current != node.output:
            rewriter.replace(node.output, current)

    def _move(self, node: Node, op: ops.Reshape | ops.Transpose, source: str, *, last: bool) -> str:
        """Return the result of one movement, computed once for all who want it."""
        known = self._done.get((source, op))
        if known is not None:
            return known
        if last:
            self.rewriter.put(node, op, (source,))
            output = node.output
        else:
            output = self.rewriter.add(node, op, (source,), self.rewriter.tensor(source).quant)
        self._done[source, op] = output
        if isinstance(op, ops.Transpose):
            self._transposed[output] = (source, op.permutation)
        return output

    def _sink(self, node: Node, sunk: _Sunk) -> None:
        rewriter, old = self.rewriter, self._graph.tensors[node.output]
        back = _inverse(sunk.permutation)
        order = old.axis_order or tuple(range(len(old.shape)))
        inner = replace(old, shape=tuple(old.shape[axis] for axis in back))
        if len(order) == len(back) and node.output != self._graph.output:
            rewriter.put(node, sunk.op, sunk.inputs, replace(inner, axis_order=_order(order, back)))
            output = self._move_back(node, node.output, sunk.permutation)
            rewriter.replace(node.output, output)
        else:  # the output keeps the name: the graph's output, or a tensor whose order has no words
            inner = replace(inner, axis_order=())
            name = rewriter.declare(replace(inner, name=f"{node.output}/{sunk.op.kind}"))
            rewriter.put(node, sunk.op, sunk.inputs, replace(inner, name=name))
            self._move_back(node, name, sunk.permutation, node.output)

    def _move_back(self, node: Node, source: str, permutation: Permutation, output: str | None = None) -> str:
        op = ops.Transpose(permutation)
        name = self.rewriter.add(node, op, (source,), self._graph.tensors[node.output].quant)
        if output is not None:
            self.rewriter.replace(output, name)
        self._views[name] = (source, _moved(self.rewriter.shape(source), op))
        self._transposed[name] = (source, permutation)
        self._done[source, op] = name
        return name

    def _all_move_on(self, node: Node) -> bool:
        """Whether every reader of the node's transposed inputs can leave the transpose below itself."""
        return all(
            name != self._graph.output
            and all(type(reader.op) in _RULES or type(reader.op) in _MOVEMENT for reader in self._readers[name])
            for name in node.inputs
            if self.above(name) is not None
        )

    def is_constant(self, name: str, rank: int) -> bool:
        """Whether an old tensor is a constant of a rank."""
        tensor = self._graph.tensors[name]
        return tensor.constant and len(tensor.shape) == rank

    def constant_above(self, name: str, permutation: Permutation) -> str:
        """Return a constant as it is before a transpose."""
        tensor, back = self._graph.tensors[name], _inverse(permutation)
        shape = tuple(tensor.shape[axis] for axis in back)
        data = self._graph.data.get(name)
        values = None if data is None else np.ascontiguousarray(data.transpose(back))
        return self.rewriter.constant(name, replace(tensor, shape=shape), values)


def _moved(shape: tuple[int, ...], op: ops.Transpose) -> Movement:
    movement = Movement.none(shape).then(op)
    if movement is None:
        raise AssertionError(f"{op} does not fit {shape}")
    return movement


def _inverse(permutation: Permutation) -> Permutation:
    return tuple(int(axis) for axis in np.argsort(permutation))


def _order(order: Sequence[int], back: Permutation) -> tuple[int, ...]:
    found = tuple(order[axis] for axis in back)
    return () if found == tuple(range(len(found))) else found


def _common(sweep: _Sweep, names: Sequence[str]) -> Permutation | None:
    """Return the one permutation by which all the transposed ones among some tensors are transposed."""
    found = {above[1] for above in (sweep.above(name) for name in names) if above is not None}
    return found.pop() if len(found) == 1 else None


def _joined(sweep: _Sweep, names: Sequence[str], permutation: Permutation) -> tuple[str, ...] | None:
    """Return tensors of one rank as they are before a transpose; None where one of them is not transposed."""
    if not all(sweep.above(name) or sweep.is_constant(name, len(permutation)) for name in names):
        return None
    sources = []
    for name in names:
        above = sweep.above(name)
        sources.append(sweep.constant_above(name, permutation) if above is None else above[0])
    return tuple(sources)


def _lookup(sweep: _Sweep, node: Node) -> _Sunk | None:
    above = sweep.above(node.inputs[0])
    return None if above is None else _Sunk(node.op, (above[0], node.inputs[1]), above[1])


def _binary(sweep: _Sweep, node: Node) -> _Sunk | None:
    permutation = _common(sweep, node.inputs)
    if permutation is None:
        return None
    a, b = (sweep.rewriter.shape(sweep.rewriter.read(name)) for name in node.inputs)
    if a == b:
        inputs = _joined(sweep, node.inputs, permutation)
        return None if inputs is None else _Sunk(node.op, inputs, permutation)
    above, lead = sweep.above(node.inputs[0]), len(a) - len(b)
    stays = permutation[lead:] == tuple(range(lead, len(a)))  # the axes over which b repeats may move, its own not
    if above is None or not stays or sweep.above(node.inputs[1]) is not None:
        return None
    return _Sunk(node.op, (above[0], sweep.rewriter.read(node.inputs[1])), permutation)


def _concat(sweep: _Sweep, node: Node) -> _Sunk | None:
    op: Any = node.op
    permutation = _common(sweep, node.inputs)
    inputs = None if permutation is None else _joined(sweep, node.inputs, permutation)
    if permutation is None or inputs is None:
        return None
    return _Sunk(ops.Concat(permutation[op.axis]), inputs, permutation)


def _slice(sweep: _Sweep, node: Node) -> _Sunk | None:
    op: Any = node.op
    above = sweep.above(node.inputs[0])
    if above is None:
        return None
    back = _inverse(above[1])
    starts, sizes, steps = (tuple(field[axis] for axis in back) for field in (op.starts, op.sizes, op.steps))
    return _Sunk(ops.Slice(starts, sizes, steps), (above[0],), above[1])


def _pad(sweep: _Sweep, node: Node) -> _Sunk | None:
    op: Any = node.op
    above = sweep.above(node.inputs[0])
    if above is None:
        return None
    back = _inverse(above[1])
    before, after = (tuple(field[axis] for axis in back) for field in (op.before, op.after))
    return _Sunk(ops.Pad(before, after, op.value), (above[0],), above[1])


_RULES: Mapping[type, Callable[[_Sweep, Node], _Sunk | None]] = {
    ops.Lookup: _lookup,
    ops.Add: _binary,
    ops.Mul: _binary,
    ops.Concat: _concat,
    ops.Slice: _slice,
    ops.Pad: _pad,
}
_MOVEMENT = (ops.Reshape, ops.Transpose)
