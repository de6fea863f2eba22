"""The rules of a core, as data: what each instruction costs, what pairs with what, what branches and memory cost."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from tinyformer.errors import EmulatorError
from tinyformer.sparse_engine.cycles.operation import Operation

ALL, SHIFTED, ADDRESS = "all", "shifted", "address"


@dataclass(frozen=True, slots=True)
class Rule:
    """How a core issues instructions of one sort. Keys and meaning stand at the top of cores/cortex-m7.toml."""

    kind: str
    mnemonics: tuple[str, ...]
    unit: str
    source: str
    form: str = ""
    slots: str = "both"
    alone: bool = False
    cycles: int = 1
    cycles_per_register: float = 0.0
    latency: int = 1
    early: bool = False
    early_operands: tuple[str, ...] = ()
    late_operands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BranchCosts:
    """Cycles that branches add to their own issue."""

    taken: int
    taken_without_flags: int
    not_taken: int
    mispredicted: int
    mispredicted_flags_early: int
    flags_early_cycles: int
    indirect_mispredicted: int
    source: str


@dataclass(frozen=True, slots=True)
class StoreBuffer:
    """A buffer of ``entries`` stores that drains one at a time, in the given cycles for each width."""

    entries: int
    byte: float
    half: float
    word: float
    source: str

    def drain_cycles(self, width_bytes: int) -> float:
        """Return the cycles until a store of a width has left the buffer."""
        return {1: self.byte, 2: self.half}.get(width_bytes, self.word)


@dataclass(frozen=True, slots=True)
class Core:
    """A core's rules; ``sources`` maps the key that a rule names to the publication."""

    name: str
    issue_width: int
    rules: Mapping[tuple[str, str], Rule]
    pairs: frozenset[tuple[str, str]]
    branch: BranchCosts
    sources: Mapping[str, str]
    unaligned_load_cycles: int
    store_buffer: StoreBuffer | None
    load_to_multiply: int
    load_overlap: bool
    store_before_load: int

    def rule(self, operation: Operation) -> Rule:
        """Return the rule of an instruction.

        Raises:
            EmulatorError: no rule covers it.
        """
        name = operation.name
        found = self.rules.get((name, operation.form)) or self.rules.get((name, ""))
        if found is None:
            raise EmulatorError(
                f"no rule says how many cycles '{operation.text}' at {operation.address:#010x} takes on a {self.name}:"
                f" add '{name}' with its source to cycles/cores/{self.name}.toml"
            )
        return found


def names() -> tuple[str, ...]:
    """Return the cores that have rules."""
    folder = files("tinyformer.sparse_engine.cycles").joinpath("cores")
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")))


@cache
def load(name: str) -> Core:
    """Return the rules of a core.

    Raises:
        EmulatorError: there are none for it, or they contradict themselves.
    """
    if name not in names():
        raise EmulatorError(f"no rules say how many cycles a {name} takes: there are some for {', '.join(names())}")
    text = files("tinyformer.sparse_engine.cycles").joinpath("cores", f"{name}.toml").read_text(encoding="utf-8")
    return parse(tomllib.loads(text))


def parse(table: Mapping[str, Any]) -> Core:
    """Return the core that a table describes.

    Raises:
        EmulatorError: two rules cover one instruction, or a rule names no source.
    """
    name, sources = table["core"], table["sources"]
    rules: dict[tuple[str, str], Rule] = {}
    for entry in table["rules"]:
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
        rule = Rule(**fields)
        for mnemonic in rule.mnemonics:
            if (mnemonic, rule.form) in rules:
                raise EmulatorError(f"{name}.toml has two rules for '{mnemonic}'")
            rules[mnemonic, rule.form] = rule
    pairs = {tuple(entry["kinds"]) for entry in table.get("pairs", ())}
    buffer = table.get("store_buffer")
    cited = [*(rule.source for rule in rules.values()), *(entry["source"] for entry in table.get("pairs", ()))]
    cited += [table["branch"]["source"], table["unaligned_load"]["source"], *([buffer["source"]] if buffer else [])]
    for source in cited:
        if source not in sources:
            raise EmulatorError(f"{name}.toml has a rule from '{source}', which [sources] does not name")
    return Core(
        name=name,
        issue_width=table["issue_width"],
        rules=MappingProxyType(rules),
        pairs=frozenset(pairs | {(second, first) for first, second in pairs}),
        branch=BranchCosts(**table["branch"]),
        sources=MappingProxyType(sources),
        unaligned_load_cycles=table["unaligned_load"]["cycles"],
        store_buffer=StoreBuffer(**buffer) if buffer else None,
        load_to_multiply=table.get("load_to_multiply", 1),
        load_overlap=table.get("load_overlap", False),
        store_before_load=table.get("store_before_load", 0),
    )
