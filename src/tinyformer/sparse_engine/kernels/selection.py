"""Selection: which kernel and which weight encoding compute each node."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal, get_args

from tinyformer.boards import Board
from tinyformer.errors import ConfigError, UnsupportedModelError
from tinyformer.sparse_engine import ops
from tinyformer.sparse_engine.coding import Option
from tinyformer.sparse_engine.ir import Graph, Node
from tinyformer.sparse_engine.kernels import catalogue, row_blocks
from tinyformer.sparse_engine.kernels.alike import once_for_layers_alike
from tinyformer.sparse_engine.kernels.calls import CCall, KernelCall
from tinyformer.sparse_engine.kernels.scratch import WIDE_PIXELS, scratch_bytes

Objective = Literal["size", "speed", "balanced"]
SoftmaxVariant = Literal["table", "lazy"]
Predict = Callable[[KernelCall], float]


def select(
    graph: Graph,
    options: Mapping[str, Sequence[Option]],
    board: Board,
    objective: Objective = "size",
    *,
    predict: Predict | None = None,
    softmax: SoftmaxVariant = "table",
    scratch_limit_bytes: int | None = None,
) -> tuple[KernelCall, ...]:
    """Choose kernel and encoding for every node.

    Args:
        graph: a lowered graph.
        options: the encodings of each node with weights (``coding.options``).
        board: the target.
        objective: "size" takes the fewest weight bytes, "speed" the fewest predicted instructions, "balanced" the
            smallest product of both. The dense form wins a tie.
        predict: predicted instructions of a call on the board; needed for "speed" and "balanced".
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
    chosen = []
    for node in graph.nodes:
        if isinstance(node.op, ops.Reshape):
            continue
        found = _calls(graph, node, options.get(node.name), softmax, board, scratch_limit_bytes)
        chosen.append(_choose(_within(found, scratch_limit_bytes), objective, predict))
    return tuple(chosen)


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
) -> list[KernelCall]:
    """Return one call per encoding that a kernel can read."""
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
        found.append(_widest(narrow, board, limit_bytes))
    if not found:
        raise UnsupportedModelError(f"node {node.name} ({node.op.kind}): no kernel reads its weights in any encoding")
    return found


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


def _choose(found: list[KernelCall], objective: Objective, predict: Predict | None) -> KernelCall:
    """Return the best call, with the reason; ``found`` starts with the dense form if there is one."""
    if found[0].encoding is None:
        return replace(found[0], why="the only kernel")
    sizes: list[float] = [0 if call.encoding is None else call.encoding.nbytes for call in found]
    speeds = [1.0 if predict is None else predict(call) for call in found]
    products = [size * speed for size, speed in zip(sizes, speeds, strict=True)]
    figures = {"size": sizes, "speed": speeds, "balanced": products}[objective]
    best = min(range(len(found)), key=lambda index: figures[index])
    alternatives = ", ".join(
        f"{call.encoding_name} {size} B" + ("" if predict is None else f" {round(speed)} instructions")
        for call, size, speed in zip(found, sizes, speeds, strict=True)
    )
    return replace(found[best], why=f"{objective}: best of {alternatives}")
