"""Predict what a board's memory adds to a node's cycles: the rules of ``cycles.memory`` on predicted loads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tinyformer.boards import Board
from tinyformer.errors import ConfigError
from tinyformer.sparse_engine import cycles
from tinyformer.sparse_engine.cost.table import CostTable, NodeCost
from tinyformer.sparse_engine.cycles import Traffic


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes that a node reads, from ``offset`` on in the arena, or in what lies behind the arena in RAM."""

    in_arena: bool
    offset: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class NodePlaces:
    """What a node reads in RAM: the tensors, and its scratch if it has any."""

    tensors: tuple[Span, ...]
    scratch: Span | None


def reaches_slow_ram(board: Board, arena_bytes: int) -> bool:
    """Whether a part of an arena of this size would lie in RAM that is slower than the rest."""
    if board.memory_system is None or not arena_bytes:
        return False
    return cycles.load_memory(board.memory_system).is_slow_ram(_arena_start(board) + arena_bytes - 1)


def memory_cycles(board: Board, table: CostTable, arena_bytes: int) -> Callable[[NodeCost, NodePlaces, int], float]:
    """Return a function from (what a node takes, its places in RAM, bytes of its constants) to stalls in cycles.

    Args:
        board: one with a memory system.
        table: of its core.
        arena_bytes: size of the arena, which lies between the stack and all other data.

    Raises:
        ConfigError: the table was not fitted for the memory system.
    """
    if board.memory_system is None:
        raise ConfigError(f"board '{board.name}' has no memory_system: its memory is taken to cost nothing")
    memory = cycles.load_memory(board.memory_system)
    if memory.name not in table.fetched_lines:
        raise ConfigError(
            f"board '{board.name}': no cost table says what the memory system '{memory.name}' adds on a"
            f" {board.isa.core}, only for {', '.join(table.fetched_lines) or 'none'}: choose one of these, or"
            " fit the table by benchmarks/fit_cost.py"
        )

    def read(spans: Sequence[Span], nbytes: float) -> list[Traffic]:
        """Spread loads over what is read; the start of a span tells which memory it lies in."""
        total = sum(span.nbytes for span in spans)
        found = []
        for span in spans:
            first = _arena_start(board) + span.offset + (0 if span.in_arena else arena_bytes)
            found.append(Traffic(first, first + span.nbytes, round(nbytes * span.nbytes / max(total, 1))))
        return [item for item in found if memory.is_slow_ram(item.first)]

    def stalls(cost: NodeCost, places: NodePlaces, constant_bytes: int) -> float:
        constants = Traffic(0, constant_bytes, round(cost.loads["flash"]))
        from_ram = read(places.tensors, cost.loads["tensors"])
        if places.scratch is not None:
            from_ram += read([places.scratch], cost.loads["scratch"])
        return (
            cost.fetched_lines[memory.name] * memory.fetch_line_cycles
            + cycles.data_lines(memory, [constants]) * memory.flash_line_cycles
            + cycles.data_lines(memory, from_ram) * memory.ram_line_cycles
        )

    return stalls


def _arena_start(board: Board) -> int:
    return board.ram.origin + board.stack_bytes
