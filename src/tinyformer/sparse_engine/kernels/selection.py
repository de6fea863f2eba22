"""Selection: which kernel and which weight encoding compute each node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Literal, NamedTuple, Protocol, get_args

from tinyformer.boards import Board
from tinyformer.errors import ConfigError, UnsupportedModelError
from tinyformer.sparse_engine import ops
from tinyformer.sparse_engine.coding import Option
from tinyformer.sparse_engine.ir import Graph, Node
from tinyformer.sparse_engine.kernels import catalogue, packed, row_blocks
from tinyformer.sparse_engine.kernels.alike import KEPT_LAYERS, Ways, once_for_each_object, once_for_layers_alike
from tinyformer.sparse_engine.kernels.calls import CCall, KernelCall
from tinyformer.sparse_engine.kernels.scratch import WIDE_PIXELS, scratch_bytes

Objective = Literal["size", "speed", "balanced"]
SoftmaxVariant = Literal["table", "lazy"]
Predict = Callable[[KernelCall], float]
_PACKED = frozenset({"block_rle4", "block_bitmap"})
_UNCODED = frozenset({"", catalogue.DENSE[0]})  # names of encodings: none, and the plain one


class Flash(Hashable, Protocol):
    """What calls take in an image: each for itself, and the code that they have in common."""

    def of_call(self, graph: Graph, call: KernelCall) -> tuple[int, frozenset[str]]:
        """Return the bytes of a call's constants and of the code around it, and the C functions it needs."""
        ...

    def of_code(self, symbols: frozenset[str]) -> int:
        """Return the bytes of C functions, with all that comes with them."""
        ...


def select(
    graph: Graph,
    options: Mapping[str, Sequence[Option]],
    board: Board,
    objective: Objective = "size",
    *,
    predict: Predict | None = None,
    flash: Flash | None = None,
    softmax: SoftmaxVariant = "table",
    scratch_limit_bytes: int | None = None,
) -> tuple[KernelCall, ...]:
    """Choose kernel and encoding for every node.

    Args:
        graph: a lowered graph.
        options: the encodings of each node with weights (``coding.options``).
        board: the target.
        objective: "size" takes the fewest weight bytes, "speed" the fewest predicted instructions among encodings
            that need not be unpacked, "balanced" the smallest product of both. The dense form wins a tie.
        predict: predicted instructions of a call on the board; needed for "speed" and "balanced".
        flash: predicted flash bytes of calls and kernels; with it, "size" leaves out an encoding that saves less in the
            weights of all nodes than its kernels take.
        softmax: the kernel for every Softmax.
        scratch_limit_bytes: strips are as wide (``pixels`` in ``runtime/se_kernels.h``) as no more scratch than this
            allows, and encodings whose kernel needs no more are preferred; where none does, the least is taken.

    Returns:
        One call per node in graph order; Reshape gives none.

    Raises:
        ConfigError: an objective or softmax variant that does not exist, or one that lacks ``predict``.
        UnsupportedModelError: a node that no kernel computes.
    """
    if objective not in get_args(Objective):
        raise ConfigError(f"objective '{objective}': allowed are {', '.join(get_args(Objective))}")
    if softmax not in get_args(SoftmaxVariant):
        raise ConfigError(f"softmax '{softmax}': allowed are {', '.join(get_args(SoftmaxVariant))}")
    if predict is None and objective != "size":
        raise ConfigError(f"objective '{objective}' needs a cost table: pass predict=cost.predictor(...)")
    nodes = [node for node in graph.nodes if not isinstance(node.op, ops.Reshape)]
    layers = [_within_limit(graph, node, options.get(node.name), softmax, board, scratch_limit_bytes) for node in nodes]
    chosen = [_chosen(ways, objective, predict) for ways in layers]
    if objective == "size" and flash is not None:
        chosen = _smallest_image(layers, chosen, predict, flash)
    return tuple(ways.named(call, node) for ways, call, node in zip(layers, chosen, nodes, strict=True))


def fill(call: KernelCall, room_bytes: int) -> KernelCall:
    """Return the alternative of a call that takes the most of ``room_bytes`` further bytes of scratch, or the call."""
    limit = call.scratch_bytes + room_bytes
    fitting = sum(other.scratch_bytes <= limit for other in call.alternatives)
    return _filled(call)[fitting - 1] if fitting else call


@once_for_each_object
def _filled(call: KernelCall) -> tuple[KernelCall, ...]:
    """Return the alternatives of a call as calls of their own, each with those that take more scratch."""
    others = call.alternatives
    return tuple(replace(other, why=call.why, alternatives=others[i + 1 :]) for i, other in enumerate(others))


def _within_limit(
    graph: Graph, node: Node, options: Sequence[Option] | None, softmax: str, board: Board, limit_bytes: int | None
) -> Ways:
    """Return the ways to compute a layer within the limit: those without one where they need no more than it allows."""
    ways = _calls(graph, node, options, softmax, board, None)
    if limit_bytes is None or all(call.scratch_bytes <= limit_bytes for call in ways.calls):
        return ways
    return _calls(graph, node, options, softmax, board, limit_bytes)


def _find_calls(
    graph: Graph,
    node: Node,
    options: Sequence[Option] | None,
    softmax: str,
    board: Board,
    limit_bytes: int | None,
) -> tuple[KernelCall, ...]:
    """Return one call per encoding that a kernel can read within the limit, or that of the least scratch."""
    found = []
    fused = row_blocks.BUILDERS.get(type(node.op))
    for option in options or (None,):
        if fused is not None:
            ways = fused(graph, node, option, softmax)
            found += [_widest(replace(ways[0], alternatives=ways[1:]), board, limit_bytes)] if ways else []
            continue
        encoding = None if option is None else (option.encoding, option.block)
        kernel = catalogue.find(graph, node, encoding, softmax)
        if kernel is None:
            continue
        calls = kernel.build(graph, node, kernel.symbol)
        overwrites = kernel.overwrites(graph, node)
        narrow = KernelCall(node, calls, option, _most_scratch(calls), overwrites=overwrites)
        found.append(_widest(_with_roomier(narrow), board, limit_bytes))
    if not found:
        raise UnsupportedModelError(f"node {node.name} ({node.op.kind}): no kernel reads its weights in any encoding")
    return tuple(_within(found, limit_bytes))


_calls = once_for_layers_alike(_find_calls)


def _with_roomier(call: KernelCall) -> KernelCall:
    """Return the call with the alternative that unpacks all its weights at once, if that takes more scratch."""
    if call.encoding is None:
        return call
    calls = tuple(packed.at_once(c_call, call.encoding) for c_call in call.calls)
    if calls == call.calls:
        return call
    return replace(call, alternatives=(replace(call, calls=calls, scratch_bytes=_most_scratch(calls)),))


def _widest(call: KernelCall, board: Board, limit_bytes: int | None) -> KernelCall:
    """Return the call with wide strips, where the core has the registers for them and the scratch is allowed."""
    calls = tuple(c_call.with_param(catalogue.STRIP_PIXELS, WIDE_PIXELS) for c_call in call.calls)
    own_bytes = call.scratch_bytes - _most_scratch(call.calls)
    needed_bytes = own_bytes + _most_scratch(calls)
    if not board.isa.dsp or (limit_bytes is not None and needed_bytes > limit_bytes):
        return call
    alternatives = tuple(_widest(other, board, None) for other in call.alternatives)
    return replace(call, calls=calls, scratch_bytes=needed_bytes, alternatives=alternatives)


def _most_scratch(calls: Sequence[CCall]) -> int:
    return max((scratch_bytes(call) for call in calls), default=0)


def _within(found: list[KernelCall], limit_bytes: int | None) -> list[KernelCall]:
    if limit_bytes is None:
        return found
    least = min(call.scratch_bytes for call in found)
    return [call for call in found if call.scratch_bytes <= max(limit_bytes, least)]


def _without_packed(found: Sequence[KernelCall]) -> Sequence[KernelCall]:
    """Return the calls that unpack nothing: the others run the same loops and take longer, whatever is predicted."""
    return [call for call in found if _encoding(call) not in _PACKED] or found


class _Rank(NamedTuple):
    """A way to compute a layer: its encoding, the flash bytes it takes besides its kernels, and which those are."""

    encoding: str
    nbytes: int
    symbols: frozenset[str]


def _smallest_image(
    layers: Sequence[Ways], chosen: list[KernelCall], predict: Predict | None, flash: Flash
) -> list[KernelCall]:
    """Return the smallest calls without the encodings whose kernels take more flash than they save in weights.

    To the dense form one encoding after the other is added, that which saves most first, for as long as the image
    shrinks; ``chosen``, the calls of fewest weight bytes, stay where that ends no lower.
    """
    ranked = {ways: _ranks(ways, flash) for ways in layers}
    times = Counter(layers)
    settled = [(ranks[0], times[ways]) for ways, ranks in ranked.items() if len(ranks) == 1]
    unsettled = [(ranks, times[ways]) for ways, ranks in ranked.items() if len(ranks) > 1]
    settled_bytes = sum(each.nbytes * count for each, count in settled)
    settled_symbols = frozenset[str]().union(*(each.symbols for each, _ in settled))

    def image_bytes(names: frozenset[str]) -> int:
        taken = [(_first_of(ranks, names), count) for ranks, count in unsettled]
        symbols = settled_symbols.union(*(each.symbols for each, _ in taken))
        return settled_bytes + sum(each.nbytes * count for each, count in taken) + flash.of_code(symbols)

    used = frozenset(each.encoding for ranks in ranked.values() for each in ranks)
    allowed, least = _UNCODED, image_bytes(_UNCODED)
    while used - allowed:
        trials = {name: image_bytes(allowed | {name}) for name in sorted(used - allowed)}
        best = min(trials, key=lambda name: trials[name])
        if trials[best] >= least:
            break
        allowed, least = allowed | {best}, trials[best]
    if image_bytes(used) <= least:
        return chosen
    return [
        before
        if _first_of(ranked[ways], allowed).encoding == before.encoding_name
        else _instead(ways, allowed, before.encoding_name, predict)
        for ways, before in zip(layers, chosen, strict=True)
    ]


@lru_cache(maxsize=KEPT_LAYERS)
def _ranks(ways: Ways, flash: Flash) -> Sequence[_Rank]:
    """Return the ways to compute a layer, that of the fewest weight bytes first."""
    ordered = sorted(ways.calls, key=_weight_bytes)
    return [_Rank(call.encoding_name, *flash.of_call(ways.graph, call)) for call in ordered]


def _first_of(ranks: Sequence[_Rank], names: frozenset[str]) -> _Rank:
    return next((each for each in ranks if each.encoding in names), ranks[0])


@lru_cache(maxsize=KEPT_LAYERS)
def _instead(ways: Ways, allowed: frozenset[str], before: str, predict: Predict | None) -> KernelCall:
    """Return the call of fewest weight bytes in an allowed encoding, with the reason why it is not the one before."""
    left = [call for call in ways.calls if call.encoding_name in allowed | _UNCODED] or ways.calls
    best = _best(left, "size", predict)
    return replace(best, why=f"{best.why}; {before} saves less than its kernels take")


def _weight_bytes(call: KernelCall) -> int:
    return 0 if call.encoding is None else call.encoding.nbytes


def _encoding(call: KernelCall) -> str | None:
    return None if call.encoding is None else call.encoding.encoding


@lru_cache(maxsize=KEPT_LAYERS)
def _chosen(ways: Ways, objective: Objective, predict: Predict | None) -> KernelCall:
    """Return the call that computes a layer best."""
    return _best(_without_packed(ways.calls) if objective == "speed" else ways.calls, objective, predict)


def _best(found: Sequence[KernelCall], objective: Objective, predict: Predict | None) -> KernelCall:
    """Return the best call, with the reason; ``found`` starts with the dense form if there is one."""
    if found[0].encoding is None:
        return replace(found[0], why="the only kernel")
    sizes: list[float] = [_weight_bytes(call) for call in found]
    speeds = [1.0 if predict is None else predict(call) for call in found]
    products = [size * speed for size, speed in zip(sizes, speeds, strict=True)]
    figures = {"size": sizes, "speed": speeds, "balanced": products}[objective]
    best = min(range(len(found)), key=lambda index: figures[index])
    alternatives = ", ".join(
        f"{call.encoding_name} {size} B" + ("" if predict is None else f" {round(speed)} instructions")
        for call, size, speed in zip(found, sizes, speeds, strict=True)
    )
    return replace(found[best], why=f"{objective}: best of {alternatives}")
