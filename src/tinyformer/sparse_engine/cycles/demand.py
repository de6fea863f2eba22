"""What executed code asks of memory, phase by phase: bytes loaded from where, and the loops whose code is fetched."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tinyformer.sparse_engine.cycles import memory as memories
from tinyformer.sparse_engine.cycles.flow import CodeBlock
from tinyformer.sparse_engine.cycles.loops import Visited, fetched_lines
from tinyformer.sparse_engine.cycles.memory import MemorySystem, Traffic


@dataclass(frozen=True, slots=True)
class Demand:
    """What a phase asks of memory; ``code`` are its blocks in flash."""

    from_flash: tuple[Traffic, ...]
    from_ram: tuple[Traffic, ...]
    code: tuple[CodeBlock, ...]

    def cycles(self, memory: MemorySystem) -> float:
        """Return the stalls of a memory system."""
        slow = [load for load in self.from_ram if memory.is_slow_ram(load.first)]
        return (
            self.fetched_lines(memory) * memory.fetch_line_cycles
            + memories.data_lines(memory, self.from_flash) * memory.flash_line_cycles
            + memories.data_lines(memory, slow) * memory.ram_line_cycles
        )

    def fetched_lines(self, memory: MemorySystem) -> float:
        """Return the lines of instructions that are fetched; blocks that begin at one address are one."""
        begins: dict[int, list[CodeBlock]] = defaultdict(list)
        for block in self.code:
            begins[block.address].append(block)
        visited = []
        for address, same in begins.items():
            before: dict[int, int] = defaultdict(int)
            for block in same:
                for previous, count in block.before.items():
                    before[previous] += count
            last = max(block.end for block in same) - 1
            lines = frozenset(range(address // memory.line_bytes, last // memory.line_bytes + 1))
            visited.append(Visited(address, sum(block.count for block in same), lines, before))
        return fetched_lines(visited, memory.instruction_cache_bytes // memory.line_bytes) if visited else 0.0


def demands(blocks: Sequence[CodeBlock], flash: tuple[int, int]) -> Mapping[int, Demand]:
    """Return the demand of each phase.

    Args:
        blocks: as ``flow.read_blocks`` returns them.
        flash: first address and end of the flash.
    """
    by_phase: dict[int, list[CodeBlock]] = defaultdict(list)
    for block in blocks:
        by_phase[block.phase].append(block)
    found = {}
    for phase, own in by_phase.items():
        loads = [load.executed(block.count) for block in own for load in block.loads]
        found[phase] = Demand(
            from_flash=tuple(load for load in loads if flash[0] <= load.first < flash[1]),
            from_ram=tuple(load for load in loads if not flash[0] <= load.first < flash[1]),
            code=tuple(block for block in own if flash[0] <= block.address < flash[1]),
        )
    return found
