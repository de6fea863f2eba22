"""Read a profile: blocks with their steps, what ran before each, and how often branches were mispredicted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinyformer.sparse_engine.cycles.core import Core
from tinyformer.sparse_engine.cycles.joining import Entries, join_cut_blocks
from tinyformer.sparse_engine.cycles.memory import Traffic
from tinyformer.sparse_engine.cycles.operation import Access, Decoder, Operation
from tinyformer.sparse_engine.cycles.pipeline import UNKNOWN_BANK, Step

_WORD_BYTES = 4
_REGISTERS = {name: index for index, name in enumerate((*(f"r{n}" for n in range(13)), "sp", "lr"))}
_REGISTERS |= {"sb": 9, "sl": 10, "fp": 11, "ip": 12}


@dataclass(frozen=True, slots=True)
class Load:
    """A load of a block: which bytes it read, so far as the registers tell."""

    first: int
    end: int
    nbytes: int

    def executed(self, count: int) -> Traffic:
        """Return the traffic of ``count`` executions."""
        return Traffic(self.first, self.end, self.nbytes * count)


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """A block in a phase: its steps (the last one as a predicted branch that falls through), loads, entries' counts.

    ``before`` maps the address of the block that ran before to how often.
    """

    phase: int
    address: int
    size: int
    count: int
    steps: tuple[Step, ...]
    loads: tuple[Load, ...]
    before: Mapping[int, int]

    @property
    def end(self) -> int:
        """The address after the block."""
        return self.address + self.size

    def leaving(self, successor: int) -> tuple[Step, ...]:
        """Return the steps when control goes on at an address."""
        if successor == self.end or not self.steps:
            return self.steps
        return (*self.steps[:-1], replace(self.steps[-1], taken=True))


def read_blocks(entries: Entries, decoder: Decoder, core: Core) -> tuple[CodeBlock, ...]:
    """Return the blocks of a profile, whole (``joining``), by phase, address and size.

    Args:
        entries: dtype ``emulator.emulation.ENTRY``.
        decoder: of the image that ran.
        core: whose rules the steps carry.

    Raises:
        EmulatorError: no rule of the core covers an instruction.
        ToolchainError: the profile does not belong to the image.
    """
    grouped: dict[tuple[int, int, int], list[Any]] = defaultdict(list)
    for entry in join_cut_blocks(entries, decoder):
        grouped[int(entry["phase"]), int(entry["address"]), int(entry["size"])].append(entry)
    blocks = []
    for (phase, address, size), group in sorted(grouped.items()):
        operations = decoder.block(address, size)
        registers = _Registers(group)
        steps, loads = [], []
        for operation in operations:
            access = operation.access
            step = Step(operation, core.rule(operation))
            if access is not None and access.is_load:
                step = replace(step, bank=registers.bank(access), unaligned=registers.unaligned(access))
                load = registers.load(access)
                loads += [] if load is None else [load]
            steps.append(step)
            registers.execute(operation)
        before: dict[int, int] = defaultdict(int)
        for entry in group:
            before[int(entry["previous"])] += int(entry["count"])
        count = sum(before.values())
        blocks.append(CodeBlock(phase, address, size, count, tuple(steps), tuple(loads), before))
    return tuple(blocks)


class _Registers:
    """What is known of the registers while a block executes: samples at its start, plus constants added since."""

    def __init__(self, group: Sequence[Any]) -> None:
        sampled = [entry for entry in group if entry["samples"]]
        self._known: dict[str, int] = {}
        if not sampled:
            return
        main = max(sampled, key=lambda entry: int(entry["count"]))
        self._first = [int(value) for value in main["first"]]
        self._low = [int(v) for v in np.min([entry["low"] for entry in sampled], axis=0)]
        self._high = [int(v) for v in np.max([entry["high"] for entry in sampled], axis=0)]
        self._bits = np.sum([entry["low_bits"].astype(np.int64) for entry in sampled], axis=0)
        self._known = dict.fromkeys(_REGISTERS, 0)

    def execute(self, operation: Operation) -> None:
        """Follow what an instruction does to the registers."""
        access = operation.access
        for register in operation.writes:
            if operation.added is not None and operation.added[0] == register:
                self._add(register, operation.added[1])
            elif access is not None and register == access.base and access.updates:
                self._add(register, access.updates)
            else:
                self._known.pop(register, None)

    def _add(self, register: str, amount: int) -> None:
        if register in self._known:
            self._known[register] += amount

    def _offset(self, access: Access) -> int | None:
        if access.base not in self._known or access.index is not None:
            return None
        return self._known[access.base] + access.offset

    def bank(self, access: Access) -> int:
        """Return bit 2 of the address of a load."""
        offset = self._offset(access)
        if offset is None:
            return UNKNOWN_BANK
        return (self._first[_REGISTERS[access.base]] + offset) >> 2 & 1

    def unaligned(self, access: Access) -> float:
        """Return the share of executions whose address is not a multiple of the width."""
        offset = self._offset(access)
        if offset is None or access.width_bytes == 1:
            return 0.0
        counts = self._bits[_REGISTERS[access.base]]
        aligned = sum(int(n) for bits, n in enumerate(counts) if (bits + offset) % access.width_bytes == 0)
        return 1 - aligned / int(counts.sum())

    def load(self, access: Access) -> Load | None:
        """Return which bytes a load read."""
        if access.base not in self._known:
            return None
        register, offset = _REGISTERS[access.base], self._known[access.base] + access.offset
        return Load(
            self._low[register] + offset, self._high[register] + offset + access.bytes_moved, access.bytes_moved
        )


def mispredictions(blocks: Sequence[CodeBlock]) -> Mapping[tuple[int, int], tuple[int, bool]]:
    """Return, by phase and address of each block that ends in a branch, how often the branch was mispredicted.

    A conditional branch is taken to be predicted as it mostly goes: the rarer direction is the misprediction (a loop's
    exit). A branch to a register is predicted to go where it mostly goes.

    Returns:
        Counts, and whether the branch is one to a register.
    """
    successors: dict[tuple[int, int], dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for block in blocks:
        for previous, count in block.before.items():
            successors[block.phase, previous][block.address] += count
    found = {}
    for block in blocks:
        last = block.steps[-1].operation
        if not last.is_branch or (block.phase, block.address) not in successors:
            continue
        leaving = successors[block.phase, block.address]
        if last.is_conditional:
            not_taken = leaving.get(block.end, 0)
            found[block.phase, block.address] = min(not_taken, sum(leaving.values()) - not_taken), False
        elif last.name in {"bx", "blx", "tbb", "tbh"} or "pc" in last.writes:
            direct = last.name == "bl"
            missed = 0 if direct else sum(leaving.values()) - max(leaving.values())
            found[block.phase, block.address] = missed, True
    return found
