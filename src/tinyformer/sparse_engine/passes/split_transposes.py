"""Take transposes of many axes apart: the engine's copy walks four axes at a time.

Any permutation is a chain of exchanges of two neighbouring blocks of axes, and such an exchange has at most four axes:
those before, the two blocks, those behind.
"""

from __future__ import annotations

from math import prod

from tinyformer.sparse_engine.ir import Graph, Node
from tinyformer.sparse_engine.ops import Reshape, Transpose
from tinyformer.sparse_engine.passes.movement import Digits, Movement
from tinyformer.sparse_engine.passes.rewriting import Rewriter

_MOST_AXES = 4


def split_transposes(graph: Graph) -> Graph:
    """Replace each Transpose that moves more than four separate axes by a chain of those that move fewer."""
    rewriter = Rewriter(graph)
    for node in graph.nodes:
        digits = _digits(graph, node)
        if len(digits) > _MOST_AXES:
            _split(graph, rewriter, node, digits)
        else:
            rewriter.keep(node)
    return rewriter.finish()


def _digits(graph: Graph, node: Node) -> Digits:
    if not isinstance(node.op, Transpose):
        return ()
    movement = Movement.none(graph.tensors[node.inputs[0]].shape).then(node.op)
    return () if movement is None else movement.digits


def exchanges(digits: Digits) -> list[tuple[int, int, int, int]]:
    """Return the sizes (before, first, second, behind) of the blocks that each step exchanges.

    Args:
        digits: (size, stride in the source) of each axis of the result, outermost first.
    """
    current = sorted(digits, key=lambda digit: -digit[1])
    steps = []
    for position, wanted in enumerate(digits):
        found = current.index(wanted)
        if found == position:
            continue
        run = 1  # as many axes as come in the wanted order already
        while current[found : found + run + 1] == list(digits[position : position + run + 1]) and run < len(digits):
            run += 1
        run = min(run, len(current) - found)
        sizes = [size for size, _ in current]
        steps.append((
            prod(sizes[:position]), prod(sizes[position:found]), prod(sizes[found : found + run]),
            prod(sizes[found + run :]),
        ))  # fmt: skip
        block = current[found : found + run]
        current = [*current[:position], *block, *current[position:found], *current[found + run :]]
    return steps


def _split(graph: Graph, rewriter: Rewriter, node: Node, digits: Digits) -> None:
    name, quant = rewriter.read(node.inputs[0]), graph.tensors[node.inputs[0]].quant
    for blocks in exchanges(digits):
        if rewriter.shape(name) != blocks:
            name = rewriter.add(node, Reshape(blocks), (name,), quant)
        name = rewriter.add(node, Transpose((0, 2, 1, 3)), (name,), quant)
    rewriter.put(node, Reshape(graph.tensors[node.output].shape), (name,))
