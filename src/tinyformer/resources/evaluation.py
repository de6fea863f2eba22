"""ResourceEval: flash, RAM and latency of a path under a sparsity configuration, from the compiler's own planner."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Final

from tinyformer.boards import Board
from tinyformer.resources.limits import Limits, ResourceEval, Resources
from tinyformer.resources.lowering import lower
from tinyformer.search_space import Path, SparsityConfig, SupernetConfig, layer_sparsities
from tinyformer.sparse_engine.coding import BlockDensity
from tinyformer.sparse_engine.kernels import Objective
from tinyformer.sparse_engine.layout import Budget, Layout, lay_out

_UNLIMITED: Final = Budget(2**62, 2**62)


def resource_eval(
    board: Board, limits: Limits, objective: Objective = "size", *, ram_alone: bool = False
) -> ResourceEval:
    """Return the paper's ResourceEval for a board: what a path takes under a sparsity configuration.

    Args:
        board: the target.
        limits: as in ``evaluate``.
        objective: as the model will be compiled for.
        ram_alone: as in ``evaluate``.

    Raises:
        ConfigError: a latency limit for a core without a cost table.
    """
    Budget.of(board, latency_ms=limits.latency_ms)
    return partial(evaluate, board=board, limits=limits, objective=objective, ram_alone=ram_alone)


def evaluate(
    config: SupernetConfig,
    path: Path,
    sparsity: SparsityConfig,
    board: Board,
    *,
    limits: Limits | None = None,
    objective: Objective = "size",
    ram_alone: bool = False,
) -> Resources:
    """Predict what a sparse single-path model takes on a board.

    Arena and RAM are those of the compiled model to the byte; flash and latency depend on which weights pruning and
    quantisation leave, of which the expected number is taken. The latency is that of the estimated cycles, as the cost
    tables predict them, and None without a table for the core; flash is then the encoded weights alone.

    Args:
        config: the supernet that the path runs through.
        path: the single-path model.
        sparsity: how sparse each choice block will be.
        board: the target.
        limits: what the model may take; the board's memories when left out. A model that does not fit at once is laid
            out with less scratch or smaller encodings, as the compiler does.
        objective: as the model will be compiled for.
        ram_alone: lay a model out for the RAM even if it is over the other limits; otherwise the RAM of one that is
            over flash is that without another layout tried.

    Raises:
        ConfigError: path or sparsity configuration do not belong to the supernet.

    Reference: paper Algorithms 1 to 3, ResourceEval.
    """
    graph = lower(config, path)
    densities = {
        name: BlockDensity(found.sparsity, found.block)
        for name, found in layer_sparsities(config, path, sparsity).items()
        if found.sparsity
    }
    budget = Budget.of(board)
    if limits is not None:
        budget = Budget.of(board, limits.flash_bytes, limits.ram_bytes, limits.latency_ms)
    if ram_alone:
        budget = replace(_UNLIMITED, ram_bytes=budget.ram_bytes)
    layout = lay_out(graph, board, _UNLIMITED, objective, densities=densities)
    if not layout.fits(budget) and _may_fit(layout, budget, objective):
        layout = lay_out(graph, board, budget, objective, densities=densities)
    macs = {node.name: graph.macs(node) for node in graph.nodes}
    return Resources(
        flash_bytes=layout.flash_bytes,
        ram_bytes=layout.ram_bytes,
        arena_bytes=layout.plan.arena_bytes,
        weight_bytes=sum(call.encoding.nbytes for call in layout.calls if call.encoding is not None),
        macs=sum(macs.values()),
        effective_macs=sum(
            round(count * (1 - densities[name].sparsity)) if name in densities else count
            for name, count in macs.items()
        ),
        latency_ms=layout.latency_ms,
    )


def _may_fit(layout: Layout, budget: Budget, objective: Objective) -> bool:
    """Whether other encodings or less scratch could make a layout fit: a search meets many that are far too large."""
    if (objective == "size" and layout.flash_bytes > budget.flash_bytes) or (
        objective == "speed" and layout.is_late(budget)
    ):
        return False
    live: Counter[int] = Counter()
    for place in layout.plan.placements:
        if place.kind == "tensor":
            live.update(dict.fromkeys(range(place.first, place.last + 1), place.nbytes))
    least_bytes = layout.ram_bytes - layout.plan.arena_bytes + max(live.values(), default=0)
    return least_bytes <= budget.ram_bytes
