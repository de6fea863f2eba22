"""What memory costs beyond the core: lines fetched from flash and slow RAM, from where the sampled registers point."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from tinyformer.errors import EmulatorError

_RESIDENT_SHARE = 2
"""A table of at most the cache's half stays in it beside a stream."""


@dataclass(frozen=True, slots=True)
class MemorySystem:
    """Caches and wait states; the keys are explained at the top of memories.toml."""

    name: str
    line_bytes: int
    instruction_cache_bytes: int
    data_cache_bytes: int
    fetch_line_cycles: float
    flash_line_cycles: float
    ram_line_cycles: float
    slow_ram: tuple[tuple[int, int], ...]
    clock_hz: int
    source: str

    def is_slow_ram(self, address: int) -> bool:
        """Whether an address lies in RAM that is reached through the data cache."""
        return any(first <= address < end for first, end in self.slow_ram)


@dataclass(frozen=True, slots=True)
class Traffic:
    """Loads of one instruction: ``nbytes`` in all, from addresses of [first, end)."""

    first: int
    end: int
    nbytes: int


def names() -> tuple[str, ...]:
    """Return the memory systems that are described."""
    return tuple(_tables())


def load(name: str) -> MemorySystem:
    """Return a memory system.

    Raises:
        EmulatorError: it is not described.
    """
    if name not in _tables():
        raise EmulatorError(f"memory system '{name}' is not described: choose one of {', '.join(_tables())}")
    return _tables()[name]


@cache
def _tables() -> Mapping[str, MemorySystem]:
    text = files("tinyformer.sparse_engine.cycles").joinpath("memories.toml").read_text(encoding="utf-8")
    found = {}
    for name, table in tomllib.loads(text).items():
        regions = tuple((first, end) for first, end in table.pop("slow_ram"))
        found[name] = MemorySystem(name=name, slow_ram=regions, **table)
    return found


def data_lines(memory: MemorySystem, traffic: Iterable[Traffic]) -> float:
    """Return the lines that loads fetch through the data cache.

    Ranges that adjoin are one array. All of them stay in the cache if together they fit; otherwise those of at most
    half of it do, and every byte of the others is fetched each time it is loaded.
    """
    arrays = _merged(traffic, memory.line_bytes)
    together = sum(array.end - array.first for array in arrays)
    lines = 0.0
    for array in arrays:
        extent = array.end - array.first
        once = extent / memory.line_bytes
        if together <= memory.data_cache_bytes or extent * _RESIDENT_SHARE <= memory.data_cache_bytes:
            lines += min(once, array.nbytes / memory.line_bytes)
        else:
            lines += array.nbytes / memory.line_bytes
    return lines


def _merged(traffic: Iterable[Traffic], gap_bytes: int) -> list[Traffic]:
    merged: list[Traffic] = []
    for item in sorted(traffic, key=lambda t: (t.first, t.end)):
        if merged and item.first <= merged[-1].end + gap_bytes:
            last = merged[-1]
            merged[-1] = Traffic(last.first, max(last.end, item.end), last.nbytes + item.nbytes)
        else:
            merged.append(item)
    return merged
