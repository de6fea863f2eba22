"""Simulate the issue of instructions on an in-order core, as its rules say.

Time is counted at the late ALU: an instruction issued in cycle t reads its operands at t, those marked early at t - 1
and those marked late at t + 1; a result of latency L can be read from t + L on. An instruction of the early ALU whose
operands were there at t - 1 delivers at t already, so that a pair may depend on one another. Branches are predicted
here; what a wrong prediction costs is added per execution by the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil

from tinyformer.sparse_engine.cycles.core import ADDRESS, ALL, SHIFTED, Core, Rule
from tinyformer.sparse_engine.cycles.operation import FLAGS, Operation

UNKNOWN_BANK = -1
_LONG_AGO = 100.0


@dataclass(frozen=True, slots=True)
class Step:
    """An instruction to issue.

    ``bank`` is bit 2 of the address that it loads from, or UNKNOWN_BANK; ``unaligned`` the share of its executions
    whose address is not aligned; ``taken`` says that it is a branch after which control goes elsewhere.
    """

    operation: Operation
    rule: Rule
    bank: int = UNKNOWN_BANK
    unaligned: float = 0.0
    taken: bool = False


@dataclass(slots=True)
class Pipeline:
    """The state of a core between two instructions: the current cycle, what it holds, and when results come."""

    core: Core
    cycle: float = 0.0
    issued: list[Step] = field(default_factory=list)
    ready: dict[str, float] = field(default_factory=dict)
    loaded: dict[str, float] = field(default_factory=dict)
    last: Step | None = None
    before_branch: Step | None = None
    last_written: frozenset[str] = frozenset()
    buffered: list[float] = field(default_factory=list)
    busy: dict[str, float] = field(default_factory=dict)
    flags_set: float = -_LONG_AGO
    flags_distance: float = 0.0
    """Cycles from the instruction that set the flags to the conditional branch issued last."""

    @property
    def position(self) -> float:
        """The point in time that has been reached, a used slot counting as its part of a cycle."""
        return self.cycle + len(self.issued) / self.core.issue_width

    def run(self, steps: Sequence[Step]) -> None:
        """Issue instructions in order."""
        for step in steps:
            self._issue(step)

    def _issue(self, step: Step) -> None:
        rule, operation = step.rule, step.operation
        if self.core.issue_width == 1:
            self.cycle += self._memory_pipelining(step)
        earliest = self._operands_ready(step)
        earliest = max(earliest, self.busy.get(rule.unit, 0.0))
        if rule.unit == "store":
            earliest = max(earliest, self._store_slot(operation))
        if self.issued and not (earliest <= self.cycle and self._pairs_with_issued(step)):
            self._next_cycle()
        start = max(self.cycle, earliest)
        if start > self.cycle:
            self.issued.clear()
            self.cycle = start
        cycles = self._issue_cycles(step)
        if operation.is_conditional and operation.is_branch:
            self.flags_distance = start - self.flags_set
        self._write(step, start, start + cycles - 1)
        if rule.unit == "store":
            self._buffer_store(operation, start)
        self._advance(step, cycles)

    def _advance(self, step: Step, cycles: float) -> None:
        rule = step.rule
        self.before_branch = self.last
        self.last, self.last_written = step, frozenset(step.operation.writes)
        if cycles <= 0:  # folded into the instruction before it
            pass
        elif cycles > 1 and rule.unit == "fpu" and self.core.issue_width > 1:
            self.busy["fpu"] = self.cycle + cycles
            self.cycle += cycles - 1
            self.issued = [step]
        elif cycles > 1 or rule.alone or self.core.issue_width == 1:
            self.issued.clear()
            self.cycle += cycles
        else:
            self.issued.append(step)
            if len(self.issued) == self.core.issue_width:
                self._next_cycle()
        if step.taken:
            if self.issued:
                self._next_cycle()
            self.cycle += self._taken_cycles(step)

    def _memory_pipelining(self, step: Step) -> int:
        """Return what an access costs more or less because of the access right before it."""
        if self.last is None or step.rule.unit not in {"load", "store"}:
            return 0
        before, access = self.last.rule.kind, self.last.operation.access
        independent = not self.last_written.intersection(step.operation.addresses) or access is None
        if self.core.load_overlap and before == "load" and independent:
            return -1
        return self.core.store_before_load if before == "store" and step.rule.unit == "load" else 0

    def _taken_cycles(self, step: Step) -> int:
        if not step.operation.is_branch:
            return 0
        branch, before = self.core.branch, self.before_branch
        if before is not None and before.operation.size == 2 and not before.operation.sets_flags:
            return branch.taken_without_flags
        return branch.taken

    def _next_cycle(self) -> None:
        self.issued.clear()
        self.cycle += 1

    def _operands_ready(self, step: Step) -> float:
        operation, rule = step.operation, step.rule
        early, late = rule.early_operands, rule.late_operands
        time = 0.0
        for position, register in enumerate(operation.operands):
            if register is None:
                continue
            if rule.unit == "store":
                offset = -2
            elif ALL in early or str(position) in early:
                offset = 1
            else:
                offset = -1 if str(position) in late else 0
            time = max(time, self.ready.get(register, 0.0) + offset)
            if rule.unit == "mac" and offset == 0:
                time = max(time, self.loaded.get(register, 0.0))
        for register in operation.shifted:
            time = max(time, self.ready.get(register, 0.0) + (1 if SHIFTED in early or ALL in early else 0))
        address_offset = 1 if self.core.issue_width > 1 or ADDRESS in early else 0
        for register in operation.addresses:
            time = max(time, self.ready.get(register, 0.0) + address_offset)
        if operation.reads_flags and not operation.is_branch:
            time = max(time, self.ready.get(FLAGS, 0.0))
        return time

    def _pairs_with_issued(self, step: Step) -> bool:
        older, rule = self.issued[-1], step.rule
        if older.rule.alone or rule.alone or rule.slots == "older" or rule.cycles > 1:
            return False
        if (older.rule.kind, rule.kind) in self.core.pairs:
            return False
        if older.rule.unit == "load" and rule.unit == "load":
            return UNKNOWN_BANK not in {older.bank, step.bank} and older.bank != step.bank
        return True

    def _issue_cycles(self, step: Step) -> float:
        rule, operation = step.rule, step.operation
        cycles: float = ceil(rule.cycles + rule.cycles_per_register * _registers(operation))
        if rule.unit == "load":
            cycles += step.unaligned * self.core.unaligned_load_cycles
        if rule.kind == "branch" and operation.is_conditional and not step.taken and operation.size == 2:
            cycles += self.core.branch.not_taken
        return cycles

    def _write(self, step: Step, start: float, last: float) -> None:
        rule, operation = step.rule, step.operation
        latency = rule.latency
        if rule.early and self._reads_early(operation, start):
            latency = 0
        access = operation.access
        for register in operation.writes:
            is_base = access is not None and register == access.base
            if is_base:
                self.ready[register] = start + (0 if self.core.issue_width > 1 else 1)
            else:
                self.ready[register] = last + latency
            self.loaded.pop(register, None)
            if rule.unit == "load" and not is_base and self.core.load_to_multiply > 1:
                self.loaded[register] = last + self.core.load_to_multiply
        if operation.sets_flags:
            self.flags_set = start

    def _reads_early(self, operation: Operation, start: float) -> bool:
        return all(
            self.ready.get(register, 0.0) <= start - 1
            for register in (*operation.operands, *operation.shifted)
            if register is not None
        )

    def _store_slot(self, operation: Operation) -> float:
        buffer = self.core.store_buffer
        if buffer is None or operation.access is None:
            return 0.0
        return self.buffered[-buffer.entries] if len(self.buffered) >= buffer.entries else 0.0

    def _buffer_store(self, operation: Operation, start: float) -> None:
        buffer = self.core.store_buffer
        if buffer is None or operation.access is None:
            return
        drained = max(self.buffered[-1] if self.buffered else 0.0, start)
        words = max(1, operation.access.bytes_moved // 8) if operation.access.bytes_moved > 4 else 1
        drained += words * buffer.drain_cycles(operation.access.width_bytes)
        self.buffered = [*self.buffered[-buffer.entries :], drained]


def _registers(operation: Operation) -> int:
    return operation.registers if operation.registers > 1 else (2 if operation.name in {"ldrd", "strd"} else 1)
