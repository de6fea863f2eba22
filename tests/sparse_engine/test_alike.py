"""Layers that are alike are computed once, and every layer gets calls under its own names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tinyformer import boards
from tinyformer.boards import Board
from tinyformer.errors import UnsupportedModelError
from tinyformer.sparse_engine import ops
from tinyformer.sparse_engine.coding import Option
from tinyformer.sparse_engine.ir import Graph, Node, Tensor
from tinyformer.sparse_engine.kernels import KernelCall, TensorArgument, alike, selection
from tinyformer.sparse_engine.kernels.alike import once_for_each_object, once_for_layers_alike

BOARD = boards.load("stm32f746g-disco")
OPTIONS = (Option("dense", 1, 64),)


def layers(*features: int) -> Graph:
    """Linear layers of (4, 8), side by side, each with its own names."""
    tensors = {"x": Tensor("x", (4, 8))}
    nodes = []
    for index, size in enumerate(features):
        weight, bias, multiplier, y = (f"{name}{index}" for name in ("w", "b", "m", "y"))
        tensors |= {
            weight: Tensor(weight, (size, 8), constant=True),
            bias: Tensor(bias, (size,), constant=True),
            multiplier: Tensor(multiplier, (size,), constant=True),
            y: Tensor(y, (4, size)),
        }
        nodes.append(Node(f"linear{index}", ops.Linear(), ("x", weight, bias, multiplier), y))
    return Graph("layers", tensors, tuple(nodes), "x", nodes[-1].output)


class Finder:
    """Counts how often the selection's own function runs."""

    def __init__(self) -> None:
        self.seen: list[Graph] = []
        self.ways = once_for_layers_alike(self._find)

    def calls(
        self, graph: Graph, node: Node, options: Sequence[Option] | None, softmax: str, board: Board, limit: int | None
    ) -> tuple[KernelCall, ...]:
        """Return the calls of a layer, under its own names."""
        ways = self.ways(graph, node, options, softmax, board, limit)
        return tuple(ways.named(call, node) for call in ways.calls)

    def _find(
        self, graph: Graph, node: Node, options: Sequence[Option] | None, softmax: str, board: Board, limit: int | None
    ) -> tuple[KernelCall, ...]:
        self.seen.append(graph)
        found: tuple[KernelCall, ...] = selection._find_calls(graph, node, options, softmax, board, limit)
        return found


def test_layers_that_differ_in_names_alone_are_found_once() -> None:
    finder, graph = Finder(), layers(12, 12, 16)
    first, second, other = (finder.calls(graph, node, OPTIONS, "table", BOARD, None) for node in graph.nodes)
    assert len(finder.seen) == 2
    assert [call.node for call in (*first, *second, *other)] == list(graph.nodes)
    assert first[0].calls[0].params == second[0].calls[0].params != other[0].calls[0].params
    names = [a.name for a in second[0].calls[0].arguments if isinstance(a, TensorArgument)]
    assert names == ["x", "b1", "m1", "y1"]


def test_layers_alike_have_the_same_objects_to_choose_from() -> None:
    """So that what is found for them is known by the object; names are given to what was chosen."""
    finder, graph = Finder(), layers(12, 12)
    first, second = graph.nodes
    ways = finder.ways(graph, first, OPTIONS, "table", BOARD, None)
    assert finder.ways(graph, second, OPTIONS, "table", BOARD, None) is ways
    (call,) = ways.calls
    assert ways.named(call, second) is ways.named(call, second) != ways.named(call, first)
    assert ways.named(call, first) == call


def test_what_is_given_out_is_what_would_be_found() -> None:
    finder, graph = Finder(), layers(12, 12)
    for node in graph.nodes:
        plain = selection._find_calls(graph, node, OPTIONS, "table", BOARD, None)
        assert finder.calls(graph, node, OPTIONS, "table", BOARD, None) == plain


@pytest.mark.parametrize("changed", ["shape", "operator", "encodings", "board", "limit", "same tensor"])
def test_other_layers_are_not_alike(changed: str) -> None:
    finder, graph = Finder(), layers(12)
    (node,) = graph.nodes
    add = Graph(
        "add", {n: Tensor(n, (8,)) for n in ("x", "y", "z")}, (Node("a", ops.Add(), ("x", "y"), "z"),), "x", "z"
    )
    twice = replace(add, nodes=(Node("a", ops.Add(), ("x", "x"), "z"),))
    cases = {
        "shape": [(graph, OPTIONS, BOARD, None), (layers(16), OPTIONS, BOARD, None)],
        "operator": [
            (graph, OPTIONS, BOARD, None),
            (replace(graph, nodes=(replace(node, op=ops.Linear(low=0)),)), OPTIONS, BOARD, None),
        ],
        "encodings": [
            (graph, OPTIONS, BOARD, None),
            (graph, (*OPTIONS, Option("block_rle", 4, 50)), BOARD, None),
        ],
        "board": [(graph, OPTIONS, BOARD, None), (graph, OPTIONS, boards.load("rpi-pico"), None)],
        "limit": [(graph, OPTIONS, BOARD, None), (graph, OPTIONS, BOARD, 0)],
        "same tensor": [(add, None, BOARD, None), (twice, None, BOARD, None)],
    }
    for case, options, board, limit in cases[changed]:
        for node in case.nodes:
            plain = selection._find_calls(case, node, options, "table", board, limit)
            assert finder.calls(case, node, options, "table", board, limit) == plain
    assert len(finder.seen) == 2


def test_a_layer_is_seen_without_its_graph_and_data() -> None:
    finder, graph = Finder(), layers(12, 16)
    finder.calls(graph, graph.nodes[0], OPTIONS, "table", BOARD, None)
    (seen,) = finder.seen
    assert set(seen.tensors) == {"x", "w0", "b0", "m0", "y0"}
    assert not seen.data


def test_a_refusal_is_not_kept_and_names_the_layer() -> None:
    finder, graph = Finder(), layers(12, 12)
    for node in graph.nodes:
        with pytest.raises(UnsupportedModelError, match=node.name):
            finder.calls(graph, node, (Option("unknown", 3, 64),), "table", BOARD, None)


def test_an_object_is_looked_at_once():
    seen = []

    @once_for_each_object
    def length(key, factor):
        seen.append(key)
        return len(key) * factor

    first, second = [1, 2], [1, 2]
    assert [length(first, 3), length(first, 3), length(second, 3)] == [6, 6, 6]
    assert len(seen) == 2
    assert seen[0] is first
    assert seen[1] is second


def test_objects_that_are_gone_leave_no_results(monkeypatch):
    """An id may return, but not while its object is kept; what is kept is bounded."""
    monkeypatch.setattr(alike, "KEPT_OBJECTS", 3)
    value = once_for_each_object(lambda key: key[0])
    assert [value([number]) for number in range(50)] == list(range(50))
