"""Estimate the cycles of an executed image: blocks in the order in which they ran, plus branches and memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tinyformer.sparse_engine.cycles.core import Core
from tinyformer.sparse_engine.cycles.demand import demands
from tinyformer.sparse_engine.cycles.flow import CodeBlock, mispredictions, read_blocks
from tinyformer.sparse_engine.cycles.joining import Entries
from tinyformer.sparse_engine.cycles.memory import MemorySystem
from tinyformer.sparse_engine.cycles.operation import Decoder
from tinyformer.sparse_engine.cycles.pipeline import Pipeline
from tinyformer.sparse_engine.elf import ElfImage

_WARM_UP, _MEASURED = 4, 8
"""A loop is simulated this often before, and while, its cycles are counted."""


@dataclass(frozen=True, slots=True)
class BlockCycles:
    """A block in a phase: how often it ran, its cycles in all, its disassembly."""

    phase: int
    address: int
    size: int
    count: int
    cycles: float
    instructions: int
    text: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class PhaseCycles:
    """The estimated cycles of a phase, and what they are made of.

    ``units`` maps "issue", "mac", "load" and "store" to the least cycles that each alone would need; ``branch`` and
    ``flash`` (memory of any kind) are stalls; the rest of ``cycles`` is waiting for results.
    """

    phase: int
    instructions: int
    cycles: int
    units: Mapping[str, float]
    branch: float
    flash: float

    @property
    def core_cycles(self) -> float:
        """The cycles that memory has no part in."""
        return self.cycles - self.flash

    @property
    def bound(self) -> str:
        """What takes most: "issue", "mac", "load", "store", "branch", "flash" or "latency"."""
        name, busiest = max(self.units.items(), key=lambda item: item[1])
        parts = {name: busiest, "branch": self.branch, "flash": self.flash}
        parts["latency"] = self.cycles - sum(parts.values())
        return max(parts.items(), key=lambda item: item[1])[0]


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimated cycles of one inference, by phase (ascending), and its blocks, the dearest first."""

    phases: tuple[PhaseCycles, ...]
    blocks: tuple[BlockCycles, ...]

    @property
    def cycles(self) -> int:
        """All phases."""
        return sum(phase.cycles for phase in self.phases)

    def phase(self, number: int) -> PhaseCycles | None:
        """Return a phase, or None if nothing ran in it."""
        return next((phase for phase in self.phases if phase.phase == number), None)


def estimate(
    image: ElfImage, profile: Entries, core: Core, memory: MemorySystem | None, flash: tuple[int, int]
) -> Estimate:
    """Estimate the cycles of a profile.

    Args:
        image: that ran.
        profile: dtype ``emulator.emulation.ENTRY``.
        core: the rules.
        memory: caches and wait states; None for memory without any.
        flash: first address and end of the flash.

    Raises:
        EmulatorError: no rule of the core covers an instruction.
        MissingExtraError: the ``capstone`` package is not installed.
        ToolchainError: the profile does not belong to the image.
    """
    return estimate_blocks(read_blocks(profile, Decoder(image), core), core, memory, flash)


def estimate_blocks(
    blocks: Sequence[CodeBlock], core: Core, memory: MemorySystem | None, flash: tuple[int, int]
) -> Estimate:
    """Estimate the cycles of executed blocks: ``estimate`` after reading them."""
    asked = {} if memory is None else demands(blocks, flash)
    issue = {
        (b.phase, b.address, b.size): cycles for b, cycles in zip(blocks, _issue_cycles(blocks, core), strict=True)
    }
    branch = _branch_cycles(blocks, core)
    phases = []
    by_phase: dict[int, list[CodeBlock]] = defaultdict(list)
    for block in blocks:
        by_phase[block.phase].append(block)
    for number, own in sorted(by_phase.items()):
        stalls = sum(branch.get((b.phase, b.address), 0.0) for b in {b.address: b for b in own}.values())
        flash_cycles = 0.0 if memory is None else asked[number].cycles(memory)
        issued = sum(issue[b.phase, b.address, b.size] for b in own)
        phases.append(
            PhaseCycles(
                phase=number,
                instructions=sum(b.count * len(b.steps) for b in own),
                cycles=round(issued + stalls + flash_cycles),
                units=_units(own, core),
                branch=stalls,
                flash=flash_cycles,
            )
        )
    costs = (
        BlockCycles(
            b.phase, b.address, b.size, b.count, issue[b.phase, b.address, b.size], len(b.steps),
            tuple(f"{s.operation.address:#010x}  {s.operation.text}" for s in b.steps),
        )
        for b in blocks
    )  # fmt: skip
    return Estimate(tuple(phases), tuple(sorted(costs, key=lambda c: (-c.cycles, c.phase, c.address, c.size))))


def _issue_cycles(blocks: Sequence[CodeBlock], core: Core) -> Iterable[float]:
    """Yield the cycles of each block: of every way into it, simulated after the block that ran before."""
    by_address: dict[int, CodeBlock] = {}
    for block in blocks:
        largest = by_address.get(block.address)
        if largest is None or block.count > largest.count:
            by_address[block.address] = block
    in_phase: dict[tuple[int, int], CodeBlock] = {}
    for block in blocks:
        key = block.phase, block.address
        if key not in in_phase or block.count > in_phase[key].count:
            in_phase[key] = block
    known: dict[tuple[Hashable, Hashable], float] = {}  # layers that share a kernel run the same blocks
    for block in blocks:
        total = 0.0
        for address, count in block.before.items():
            before = in_phase.get((block.phase, address)) or by_address.get(address)
            way = _issued(block), None if before is None else _issued(before)
            if way not in known:
                known[way] = _cycles_after(block, before, core)
            total += count * known[way]
        yield total


def _issued(block: CodeBlock) -> Hashable:
    """Return what the issue of a block depends on: its code, and what is known of its loads."""
    return block.address, block.size, tuple((s.bank, s.unaligned) for s in block.steps if s.operation.access)


def cycles_of_loop(block: CodeBlock, core: Core) -> float:
    """Return the cycles of one iteration of a block that follows itself, in the long run."""
    pipeline = Pipeline(core)
    steps = block.leaving(block.address)
    pipeline.run(steps * _WARM_UP)
    start = pipeline.position
    pipeline.run(steps * _MEASURED)
    return (pipeline.position - start) / _MEASURED


def _cycles_after(block: CodeBlock, before: CodeBlock | None, core: Core) -> float:
    pipeline = Pipeline(core)
    if before is None:
        pipeline.run(block.steps)
        return pipeline.position
    if before.address == block.address:
        return cycles_of_loop(block, core)
    # what a taken branch adds belongs to the way taken, that is to the block it leads to
    pipeline.run((*before.leaving(block.address), *block.steps))
    falling = Pipeline(core)
    falling.run(before.steps)
    return pipeline.position - falling.position


def _branch_cycles(blocks: Sequence[CodeBlock], core: Core) -> Mapping[tuple[int, int], float]:
    costs = core.branch
    found: dict[tuple[int, int], float] = defaultdict(float)
    missed = mispredictions(blocks)
    for block in blocks:
        key = block.phase, block.address
        if key not in missed or key in found:
            continue
        count, indirect = missed[key]
        penalty = costs.indirect_mispredicted
        if not indirect:
            pipeline = Pipeline(core)
            pipeline.run(block.steps)
            early = pipeline.flags_distance >= costs.flags_early_cycles
            compares = block.steps[-1].operation.name in {"cbz", "cbnz"}
            penalty = costs.mispredicted_flags_early if early and not compares else costs.mispredicted
        found[key] = float(count * penalty)
    return found


def _units(blocks: Sequence[CodeBlock], core: Core) -> Mapping[str, float]:
    """Return the least cycles that issue, MAC unit, load ports and store port would need alone."""
    units = dict.fromkeys(("issue", "mac", "load", "store"), 0.0)
    ports = {"mac": 1, "load": core.issue_width, "store": 1}
    for block in blocks:
        units["issue"] += block.count * len(block.steps) / core.issue_width
        for step in block.steps:
            rule, operation = step.rule, step.operation
            if rule.unit not in ports:
                continue
            words = max(1, (operation.access.bytes_moved if operation.access else 4) // 4)
            units[rule.unit] += block.count * words / ports[rule.unit]
    return units
