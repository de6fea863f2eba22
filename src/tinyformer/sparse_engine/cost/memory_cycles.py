"""Predict what a board's memory adds to a node's cycles: the rules of ``cycles.memory`` on predicted loads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tinyformer.boards import Board
from tinyformer.errors import ConfigError
from tinyformer.sparse_engine import cycles
from tinyformer.sparse_engine.cost.table import CostTable, NodeCost
from tinyformer.sparse_engine.cycles import MemorySystem, Traffic


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


@dataclass(frozen=True, slots=True)
class MemoryCycles:
    """What the memory of a board adds to what nodes take in its core, in cycles."""

    memory: MemorySystem
    arena_start: int

    def of_constants(self, cost: NodeCost, constant_bytes: int) -> float:
        """Return the stalls of a node's code and of the constants that it reads, wherever its tensors lie."""
        constants = Traffic(0, constant_bytes, round(cost.loads["flash"]))
        return (
            cost.fetched_lines[self.memory.name] * self.memory.fetch_line_cycles
            + cycles.data_lines(self.memory, [constants]) * self.memory.flash_line_cycles
        )

    def of_ram(self, cost: NodeCost, places: NodePlaces, arena_bytes: int) -> float:
        """Return the stalls of what a node reads in RAM.

        Args:
            cost: what the node takes.
            places: where its tensors and its scratch lie.
            arena_bytes: size of the arena, which lies between the stack and all other data.
        """
        loads = self._slow(places.tensors, cost.loads["tensors"], arena_bytes)
        if places.scratch is not None:
            loads += self._slow([places.scratch], cost.loads["scratch"], arena_bytes)
        return cycles.data_lines(self.memory, loads) * self.memory.ram_line_cycles

    def _slow(self, spans: Sequence[Span], nbytes: float, arena_bytes: int) -> list[Traffic]:
        """Spread loads over what is read, and return those in slow RAM: the start of a span tells where it lies."""
        total = sum(span.nbytes for span in spans)
        found = []
        for span in spans:
            first = self.arena_start + span.offset + (0 if span.in_arena else arena_bytes)
            if self.memory.is_slow_ram(first):
                found.append(Traffic(first, first + span.nbytes, round(nbytes * span.nbytes / max(total, 1))))
        return found


def memory_cycles(board: Board, table: CostTable) -> MemoryCycles | None:
    """Return what the memory of a board adds; None for a board without a memory system, whose memory costs nothing.

    Args:
        board: the target.
        table: of its core.

    Raises:
        ConfigError: the table was not fitted for the memory system.
    """
    if board.memory_system is None:
        return None
    memory = cycles.load_memory(board.memory_system)
    if memory.name not in table.fetched_lines:
        raise ConfigError(
            f"board '{board.name}': no cost table says what the memory system '{memory.name}' adds on a"
            f" {board.isa.core}, only for {', '.join(table.fetched_lines) or 'none'}: choose one of these, or"
            " fit the table by benchmarks/fit_cost.py"
        )
    return MemoryCycles(memory, _arena_start(board))


def _arena_start(board: Board) -> int:
    return board.ram.origin + board.stack_bytes
