"""Selection: which kernel and which weight encoding compute each node."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Literal, get_args

from tinyformer.boards import Board
from tinyformer.errors import ConfigError, UnsupportedModelError
from tinyformer.sparse_engine import ops
from tinyformer.sparse_engine.coding import Option
from tinyformer.sparse_engine.ir import Graph, Node
from tinyformer.sparse_engine.kernels import catalogue, packed, row_blocks
from tinyformer.sparse_engine.kernels.alike import once_for_each_object, once_for_layers_alike
from tinyformer.sparse_engine.kernels.calls import CCall, KernelCall
from tinyformer.sparse_engine.kernels.scratch import WIDE_PIXELS, scratch_bytes

Objective = Literal["size", "speed", "balanced"]
SoftmaxVariant = Literal["table", "lazy"]
Predict = Callable[[KernelCall], float]
Flash = Callable[[Sequence[KernelCall]], int]
_PACKED = frozenset({"block_rle4", "block_bitmap"})
_UNCODED = frozenset({"", catalogue.DENSE[0]})  # names of encodings: none, and the plain one


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
        flash: predicted flash bytes of an image, kernels' code included; with it, "size" leaves out an encoding that
            saves less in the weights of all nodes than its kernels take.
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
    candidates = [
        _calls(graph, node, options.get(node.name), softmax, board, scratch_limit_bytes)
        for node in graph.nodes
        if not isinstance(node.op, ops.Reshape)
    ]
    chosen = tuple(map(_chooser(objective, predict), candidates))
    if objective == "size" and flash is not None:
        return _smallest_image(candidates, chosen, predict, flash)
    return chosen


def fill(call: KernelCall, room_bytes: int) -> KernelCall:
    """Return the alternative of a call that takes the most of ``room_bytes`` further bytes of scratch, or the call."""
    limit = call.scratch_bytes + room_bytes
    fitting = [other for other in call.alternatives if other.scratch_bytes <= limit]
    if not fitting:
        return call
    return replace(fitting[-1], why=call.why, alternatives=call.alternatives[len(fitting) :])


@once_for_layers_alike
def _calls(
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


def _smallest_image(
    candidates: Sequence[Sequence[KernelCall]], chosen: tuple[KernelCall, ...], predict: Predict | None, flash: Flash
) -> tuple[KernelCall, ...]:
    """Return the smallest calls without the encodings whose kernels take more flash than they save in weights.

    To the dense form one encoding after the other is added, that which saves most first, for as long as the image
    shrinks; ``chosen``, the calls of fewest weight bytes, stay where that ends no lower.
    """
    ranked = [_by_weight_bytes(found) for found in candidates]

    def with_allowed(names: frozenset[str]) -> tuple[int, frozenset[str], list[KernelCall]]:
        calls = [next((call for name, call in found if name in names), found[0][1]) for found in ranked]
        return flash(calls), names, calls

    used = frozenset(name for found in ranked for name, _ in found)
    least, allowed, smallest = with_allowed(_UNCODED)
    while used - allowed:
        trials = (with_allowed(allowed | {name}) for name in sorted(used - allowed))
        more = min(trials, key=lambda tried: tried[0])
        if more[0] >= least:
            break
        least, allowed, smallest = more
    if with_allowed(used)[0] <= least:
        return chosen
    return tuple(
        before if call.encoding == before.encoding else _instead(found, allowed, before, predict)
        for found, call, before in zip(candidates, smallest, chosen, strict=True)
    )


def _instead(
    found: Sequence[KernelCall], allowed: frozenset[str], before: KernelCall, predict: Predict | None
) -> KernelCall:
    """Return the call of fewest weight bytes in an allowed encoding, with the reason why it is not the one before."""
    left = [call for call in found if call.encoding_name in allowed | _UNCODED] or found
    best = _choose(left, "size", predict)
    return replace(best, why=f"{best.why}; {before.encoding_name} saves less than its kernels take")


@once_for_each_object
def _by_weight_bytes(found: Sequence[KernelCall]) -> Sequence[tuple[str, KernelCall]]:
    """Return (encoding, call), that of the fewest weight bytes first."""
    return [(call.encoding_name, call) for call in sorted(found, key=_weight_bytes)]


def _weight_bytes(call: KernelCall) -> int:
    return 0 if call.encoding is None else call.encoding.nbytes


def _encoding(call: KernelCall) -> str | None:
    return None if call.encoding is None else call.encoding.encoding


@lru_cache(maxsize=16)
def _chooser(objective: Objective, predict: Predict | None) -> Callable[[Sequence[KernelCall]], KernelCall]:
    """Return ``_choose`` for an objective, which looks at each layer's calls once."""

    def choose(found: Sequence[KernelCall]) -> KernelCall:
        return _choose(_without_packed(found) if objective == "speed" else found, objective, predict)

    return once_for_each_object(choose)


def _choose(found: Sequence[KernelCall], objective: Objective, predict: Predict | None) -> KernelCall:
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
