"""Lay a model out on a board: kernels, encodings and arena, changed until both memories suffice or nothing helps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from tinyformer.boards import Board
from tinyformer.errors import ConfigError, DoesNotFitError
from tinyformer.sparse_engine import coding, cost, kernels, memory
from tinyformer.sparse_engine.arrangement import arrange
from tinyformer.sparse_engine.coding import BlockDensity
from tinyformer.sparse_engine.cost import NodePlaces, Prediction, Span
from tinyformer.sparse_engine.ir import Graph
from tinyformer.sparse_engine.kernels import KernelCall, Objective, SoftmaxVariant
from tinyformer.sparse_engine.memory import MemoryPlan

_LARGEST_SHOWN = 3
_MS_PER_S = 1000.0


@dataclass(frozen=True, slots=True)
class Budget:
    """What the model may take: bytes of both memories, and perhaps milliseconds of estimated latency."""

    flash_bytes: int
    ram_bytes: int
    latency_ms: float | None = None

    @classmethod
    def of(
        cls,
        board: Board,
        flash_bytes: int | None = None,
        ram_bytes: int | None = None,
        latency_ms: float | None = None,
    ) -> Budget:
        """Return a board's memories, or less of them.

        Raises:
            ConfigError: a latency for a core without a cost table, which nothing could predict.
        """
        if latency_ms is not None and cost.load(board.isa) is None:
            raise ConfigError(
                f"limits: a latency for {board.name}, but there is no cost table for {board.isa.core}; "
                "leave out the latency limit"
            )
        flash, ram = board.flash.size_bytes, board.ram.size_bytes
        return cls(
            flash if flash_bytes is None else min(flash, flash_bytes),
            ram if ram_bytes is None else min(ram, ram_bytes),
            latency_ms,
        )


@dataclass(frozen=True, slots=True)
class Layout:
    """A model on a board. ``predicted`` is None where the core has no cost table; ``ram_bytes`` is known without."""

    calls: tuple[KernelCall, ...]
    plan: MemoryPlan
    predicted: Prediction | None
    flash_bytes: int
    ram_bytes: int
    latency_ms: float | None

    def fits(self, budget: Budget) -> bool:
        """Whether both memories suffice, and the predicted latency is allowed."""
        in_memory = self.flash_bytes <= budget.flash_bytes and self.ram_bytes <= budget.ram_bytes
        return in_memory and not self.is_late(budget)

    def is_late(self, budget: Budget) -> bool:
        """Whether the predicted latency is more than allowed."""
        return budget.latency_ms is not None and self.latency_ms is not None and self.latency_ms > budget.latency_ms


def lay_out(
    graph: Graph,
    board: Board,
    budget: Budget,
    objective: Objective = "balanced",
    softmax: SoftmaxVariant = "table",
    densities: Mapping[str, BlockDensity] | None = None,
    encodings: Mapping[str, tuple[str, int]] | None = None,
) -> Layout:
    """Choose kernels and plan the arena.

    The first choice follows the objective. If it does not fit, encodings whose kernels need less scratch are tried,
    the greatest scratch first, then the smallest encodings; one that is too slow is tried with the fastest encodings.
    The first layout that fits is returned, the first choice if none does.

    Args:
        graph: a lowered graph.
        board: the target.
        budget: what it may take.
        objective: see ``kernels.select``; without a cost table for the core it is "size".
        softmax: see ``kernels.select``.
        densities: for a graph without data, what pruning will leave, by node name (``coding.options``).
        encodings: by node name, the (encoding, block) that its weights must have, whatever the objective.

    Raises:
        UnsupportedModelError: a node that no kernel computes.
        ConfigError: a prescribed encoding that cannot hold its node's weights.
    """
    options = coding.prescribe(coding.options(graph, densities), encodings or {})
    flash = cost.of_image(board)
    predict = None if flash is None else cost.predictor(board)

    def arranged(goal: Objective, limit_bytes: int | None = None) -> Layout:
        calls = kernels.select(
            graph, options, board, goal, predict=predict, flash=flash, softmax=softmax, scratch_limit_bytes=limit_bytes
        )
        return _layout(graph, calls, board)

    goals: list[Objective] = ["size"] if predict is None or objective == "size" else [objective, "size"]
    first = arranged(goals[0])
    if first.is_late(budget) and predict is not None:
        goals = [goals[0], "speed"]
    for goal in goals:
        layout = first if goal == goals[0] else arranged(goal)
        if layout.flash_bytes <= budget.flash_bytes:  # less scratch takes hardly less: some calls
            layout = _with_less_scratch(layout, partial(arranged, goal), budget)
        if layout.fits(budget):
            return layout
    return first


def _with_less_scratch(layout: Layout, arranged: Callable[[int], Layout], budget: Budget) -> Layout:
    """Return a layout whose scratch leaves little enough RAM, limiting the greatest first; the given one if none does.

    ``arranged`` returns the layout for a limit of scratch bytes.
    """
    if layout.ram_bytes <= budget.ram_bytes or arranged(0).ram_bytes > budget.ram_bytes:
        return layout
    for scratch_bytes in sorted({call.scratch_bytes for call in layout.calls}, reverse=True):
        tried = arranged(max(0, scratch_bytes - 1))
        if tried.fits(budget):
            return tried
    return layout


def _layout(graph: Graph, calls: tuple[KernelCall, ...], board: Board) -> Layout:
    calls, plan = arrange(graph, calls)
    image = cost.of_image(board)
    if image is None:
        borders = graph.tensors[graph.input].nbytes + graph.tensors[graph.output].nbytes
        weights = sum(call.encoding.nbytes for call in calls if call.encoding is not None)
        return Layout(calls, plan, None, weights, plan.arena_bytes + borders + board.stack_bytes, None)
    plans: tuple[MemoryPlan, ...] = (plan,)
    if cost.reaches_slow_ram(board, plan.arena_bytes):  # what is read most may lie in fast memory
        plans += memory.as_small(graph, calls, plan)
    stalls = [image.stalls(graph, calls, tried.arena_bytes, _places(graph, calls, tried)) for tried in plans]
    best = min(range(len(plans)), key=lambda index: sum(stalls[index]))
    plan = plans[best]
    predicted = image.predict(graph, calls, plan.arena_bytes, stalls[best])
    latency_ms = _MS_PER_S * predicted.cycles / board.clock_hz
    return Layout(calls, plan, predicted, predicted.flash_bytes, predicted.ram_bytes, latency_ms)


def _places(graph: Graph, calls: Sequence[KernelCall], plan: MemoryPlan) -> list[NodePlaces]:
    """Return what each call reads in RAM: activations in the arena or the caller's input, and scratch."""
    placed = {(place.kind, place.name): Span(True, place.offset, place.nbytes) for place in plan.placements}

    def span(name: str) -> Span:
        while name in plan.aliases and ("tensor", name) not in placed:
            name = plan.aliases[name]
        return placed.get(("tensor", name)) or Span(False, 0, graph.tensors[name].nbytes)

    return [
        NodePlaces(
            tuple(span(name) for name in call.node.inputs if not graph.tensors[name].constant),
            placed.get(("scratch", call.node.name)),
        )
        for call in calls
    ]


def require_fit(layout: Layout, budget: Budget, name: str) -> None:
    """Check that a layout fits.

    Raises:
        DoesNotFitError: names need, limit and the three largest weights or buffers, or slowest layers.
    """
    if layout.flash_bytes > budget.flash_bytes:
        raise too_large(layout, "flash", layout.flash_bytes, budget.flash_bytes, name)
    if layout.ram_bytes > budget.ram_bytes:
        raise too_large(layout, "RAM", layout.ram_bytes, budget.ram_bytes, name)
    if layout.is_late(budget):
        raise too_slow(layout, budget, name)


def too_slow(layout: Layout, budget: Budget, name: str) -> DoesNotFitError:
    """Return the error for a model that takes longer than it may."""
    cycles = () if layout.predicted is None else layout.predicted.layer_cycles
    slowest = _largest({call.node.name: each for call, each in zip(layout.calls, cycles, strict=False)})
    return DoesNotFitError(
        f"model '{name}' takes {layout.latency_ms:.4g} ms, predicted, allowed are {budget.latency_ms:g} ms; cycles of"
        f" the slowest layers: {slowest}; use a smaller or sparser model, or a faster board"
    )


def too_large(layout: Layout, memory_name: str, need_bytes: int, limit_bytes: int, name: str) -> DoesNotFitError:
    """Return the error for a model that needs more than there is."""
    parts = largest_weights(layout) if memory_name == "flash" else largest_buffers(layout)
    return DoesNotFitError(
        f"model '{name}' takes {need_bytes} bytes of {memory_name}, allowed are {limit_bytes}; {parts};"
        " use a smaller or sparser model, or a board with more"
    )


def largest_weights(layout: Layout) -> str:
    """Return in words which weights take most flash."""
    return "largest weights: " + _largest(
        {call.node.name: call.encoding.nbytes for call in layout.calls if call.encoding is not None}
    )


def largest_buffers(layout: Layout) -> str:
    """Return in words which buffers take most of the arena."""
    return "largest buffers: " + _largest({f"{p.kind} {p.name}": p.nbytes for p in layout.plan.placements})


def _largest(parts: Mapping[str, int]) -> str:
    ordered = sorted(parts.items(), key=lambda item: -item[1])[:_LARGEST_SHOWN]
    return ", ".join(f"'{part}' {nbytes}" for part, nbytes in ordered) or "none"
