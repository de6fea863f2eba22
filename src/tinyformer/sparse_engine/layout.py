"""Lay a model out on a board: kernels, encodings and arena, changed until both memories suffice or nothing helps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tinyformer.boards import Board
from tinyformer.errors import DoesNotFitError
from tinyformer.sparse_engine import coding, cost, kernels, memory
from tinyformer.sparse_engine.coding import BlockDensity, Option
from tinyformer.sparse_engine.cost import Prediction
from tinyformer.sparse_engine.ir import Graph
from tinyformer.sparse_engine.kernels import KernelCall, Objective, SoftmaxVariant
from tinyformer.sparse_engine.memory import MemoryPlan

_LARGEST_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Budget:
    """What the model may take, in bytes."""

    flash_bytes: int
    ram_bytes: int

    @classmethod
    def of(cls, board: Board, flash_bytes: int | None = None, ram_bytes: int | None = None) -> Budget:
        """Return a board's memories, or less of them."""
        flash, ram = board.flash.size_bytes, board.ram.size_bytes
        return cls(
            flash if flash_bytes is None else min(flash, flash_bytes), ram if ram_bytes is None else min(ram, ram_bytes)
        )


@dataclass(frozen=True, slots=True)
class Layout:
    """A model on a board. ``predicted`` is None where the core has no cost table; ``ram_bytes`` is known without."""

    calls: tuple[KernelCall, ...]
    plan: MemoryPlan
    predicted: Prediction | None
    flash_bytes: int
    ram_bytes: int

    def fits(self, budget: Budget) -> bool:
        """Whether both memories suffice."""
        return self.flash_bytes <= budget.flash_bytes and self.ram_bytes <= budget.ram_bytes


def lay_out(
    graph: Graph,
    board: Board,
    budget: Budget,
    objective: Objective = "balanced",
    softmax: SoftmaxVariant = "table",
    densities: Mapping[str, BlockDensity] | None = None,
) -> Layout:
    """Choose kernels and plan the arena.

    The first choice follows the objective. If it does not fit, encodings whose kernels need less scratch are tried,
    the greatest scratch first, then the smallest encodings; the first layout that fits is returned, the first choice
    if none does.

    Args:
        graph: a lowered graph.
        board: the target.
        budget: what it may take.
        objective: see ``kernels.select``; without a cost table for the core it is "size".
        softmax: see ``kernels.select``.
        densities: for a graph without data, what pruning will leave, by node name (``coding.options``).

    Raises:
        UnsupportedModelError: a node that no kernel computes.
    """
    attempts = _attempts(graph, board, objective, softmax, coding.options(graph, densities))
    first = next(attempts)
    if first.fits(budget):
        return first
    return next((layout for layout in attempts if layout.fits(budget)), first)


def _attempts(
    graph: Graph,
    board: Board,
    objective: Objective,
    softmax: SoftmaxVariant,
    options: Mapping[str, Sequence[Option]],
) -> Iterator[Layout]:
    predict = None if cost.load(board.isa) is None else cost.predictor(board)
    wanted: list[Objective] = ["size"] if predict is None or objective == "size" else [objective, "size"]
    for goal in wanted:
        limit: int | None = None
        while True:
            calls = kernels.select(
                graph, options, board, goal, predict=predict, softmax=softmax, scratch_limit_bytes=limit
            )
            yield _layout(graph, calls, board)
            largest = max((call.scratch_bytes for call in calls), default=0)
            if largest == 0 or (limit is not None and largest > limit):
                break  # nothing has less
            limit = largest - 1


def _layout(graph: Graph, calls: tuple[KernelCall, ...], board: Board) -> Layout:
    plan = memory.plan(graph, calls)
    predicted = cost.predict(graph, calls, plan.arena_bytes, board)
    if predicted is not None:
        return Layout(calls, plan, predicted, predicted.flash_bytes, predicted.ram_bytes)
    borders = graph.tensors[graph.input].nbytes + graph.tensors[graph.output].nbytes
    weights = sum(call.encoding.nbytes for call in calls if call.encoding is not None)
    return Layout(calls, plan, None, weights, plan.arena_bytes + borders + board.stack_bytes)


def require_fit(layout: Layout, budget: Budget, name: str) -> None:
    """Check that a layout fits.

    Raises:
        DoesNotFitError: names need, limit and the three largest weights or buffers.
    """
    if layout.flash_bytes > budget.flash_bytes:
        raise too_large(layout, "flash", layout.flash_bytes, budget.flash_bytes, name)
    if layout.ram_bytes > budget.ram_bytes:
        raise too_large(layout, "RAM", layout.ram_bytes, budget.ram_bytes, name)


def too_large(layout: Layout, memory_name: str, need_bytes: int, limit_bytes: int, name: str) -> DoesNotFitError:
    """Return the error for a model that needs more than there is."""
    if memory_name == "flash":
        parts = {call.node.name: call.encoding.nbytes for call in layout.calls if call.encoding is not None}
        kind = "weights"
    else:
        parts = {f"{place.kind} {place.name}": place.nbytes for place in layout.plan.placements}
        kind = "buffers"
    largest = sorted(parts.items(), key=lambda item: -item[1])[:_LARGEST_SHOWN]
    listed = ", ".join(f"'{part}' {nbytes}" for part, nbytes in largest)
    return DoesNotFitError(
        f"model '{name}' takes {need_bytes} bytes of {memory_name}, allowed are {limit_bytes}; largest {kind}:"
        f" {listed}; use a smaller or sparser model, or a board with more"
    )
