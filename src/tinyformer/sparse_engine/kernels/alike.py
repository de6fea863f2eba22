"""Layers that are alike: the same operator on tensors of the same kinds has the same calls, whatever the names.

Networks repeat their blocks, and a search meets the same blocks again in candidate after candidate. What a function
finds for a layer is kept under a description without names; what is chosen of it gets the names of the layer at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from typing import Concatenate, ParamSpec, TypeVar

from tinyformer.boards import Board
from tinyformer.sparse_engine.coding import Option
from tinyformer.sparse_engine.ir import Graph, Node
from tinyformer.sparse_engine.kernels.calls import Argument, CCall, KernelCall, TensorArgument

KEPT_LAYERS = 8192
KEPT_NAMES = 64  # of layers that are alike
KEPT_OBJECTS = 16384

K = TypeVar("K")
T = TypeVar("T")
P = ParamSpec("P")
FindCalls = Callable[[Graph, Node, Sequence[Option] | None, str, Board, int | None], tuple[KernelCall, ...]]
"""(graph, node, encodings of its weights, softmax variant, board, limit of scratch) -> the ways to compute it."""


@dataclass(frozen=True, slots=True, eq=False)
class Ways:
    """The ways to compute layers that are alike, under the names of the first of them.

    ``graph`` holds that layer alone. Whoever chooses among ``calls`` needs no names, and has the same objects each time
    that such a layer returns; ``named`` gives the chosen one to the layer at hand.
    """

    graph: Graph
    calls: tuple[KernelCall, ...]
    _namers: dict[tuple[str, ...], Callable[[KernelCall], KernelCall]] = field(default_factory=dict)

    def named(self, call: KernelCall, node: Node) -> KernelCall:
        """Return a call of the first layer as one of a layer like it, the same object for the same names.

        Args:
            call: one of ``calls``, or one made of it.
            node: the layer.
        """
        names = _names(node)
        if (node.name, *names) not in self._namers:
            if len(self._namers) >= KEPT_NAMES:
                self._namers.clear()
            new = dict(zip(_names(self.graph.nodes[0]), names, strict=True))
            self._namers[node.name, *names] = once_for_each_object(partial(_renamed, node=node, names=new))
        return self._namers[node.name, *names](call)


def once_for_layers_alike(find: FindCalls) -> Callable[Concatenate[Graph, Node, Sequence[Option] | None, ...], Ways]:
    """Return a function that gives the ``Ways`` that ``find`` returns the calls of, for the first of layers alike.

    ``find`` gets a graph of the node's tensors alone, without data, so that it cannot see what the description lacks.
    What it raises is not kept.
    """
    known: dict[object, Ways] = {}

    def found(
        graph: Graph,
        node: Node,
        options: Sequence[Option] | None,
        softmax: str,
        board: Board,
        limit_bytes: int | None,
    ) -> Ways:
        encodings = None if options is None else tuple(options)
        description = (_description(graph, node), encodings, softmax, board, limit_bytes)
        ways = known.get(description)
        if ways is None:
            alone = _alone(graph, node)
            ways = Ways(alone, find(alone, node, encodings, softmax, board, limit_bytes))
            if len(known) >= KEPT_LAYERS:
                known.clear()
            known[description] = ways
        return ways

    return found


def once_for_each_object(find: Callable[Concatenate[K, P], T]) -> Callable[Concatenate[K, P], T]:
    """Return a function that gives the same result for the same object, and runs ``find`` the first time.

    For what ``once_for_layers_alike`` gives: a layer that returns has the same objects, and they tell faster than what
    is in them. Objects that are only equal are not the same. What else ``find`` is given must not change its result.
    """
    known: dict[int, tuple[K, T]] = {}  # an object that is kept here leaves its id to no other

    @wraps(find)
    def found(key: K, /, *context: P.args, **more: P.kwargs) -> T:
        kept = known.get(id(key))
        if kept is None:
            if len(known) >= KEPT_OBJECTS:
                known.clear()
            kept = known[id(key)] = key, find(key, *context, **more)
        return kept[1]

    return found


def _names(node: Node) -> tuple[str, ...]:
    return *node.inputs, node.output


def _description(graph: Graph, node: Node) -> object:
    """Return all that is known of a node but names: its operator, its tensors, and which of those are the same."""
    names = _names(node)
    tensors = [graph.tensors[name] for name in names]
    kinds = tuple((t.shape, t.dtype, t.quant, t.constant, t.axis_order) for t in tensors)
    return type(node.op), node.op, kinds, tuple(map(names.index, names))


def _alone(graph: Graph, node: Node) -> Graph:
    tensors = {name: graph.tensors[name] for name in _names(node)}
    return Graph(graph.name, tensors, (node,), node.inputs[0], node.output)


def _renamed(call: KernelCall, node: Node, names: Mapping[str, str]) -> KernelCall:
    """Return the call of another layer as one of a node, whose tensors ``names`` gives by the other's."""
    return replace(
        call,
        node=node,
        calls=tuple(_renamed_c_call(c_call, names) for c_call in call.calls),
        overwrites=tuple(names[name] for name in call.overwrites),
        alternatives=tuple(_renamed(other, node, names) for other in call.alternatives),
    )


def _renamed_c_call(call: CCall, names: Mapping[str, str]) -> CCall:
    arguments: tuple[Argument, ...] = tuple(
        replace(argument, name=names[argument.name]) if isinstance(argument, TensorArgument) else argument
        for argument in call.arguments
    )
    return replace(call, arguments=arguments)
