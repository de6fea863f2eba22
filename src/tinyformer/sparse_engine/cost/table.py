"""Cost tables as data: one JSON file per core, written by ``benchmarks/fit_cost.py``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal

from tinyformer.boards import Isa
from tinyformer.errors import ConfigError

_FILES: Mapping[tuple[str, bool], str] = {
    ("cortex-m0plus", False): "cortex-m0plus.json",
    ("cortex-m3", False): "cortex-m3.json",
    ("cortex-m4", True): "cortex-m4.json",
    ("cortex-m7", True): "cortex-m7.json",
    ("cortex-m33", True): "cortex-m33.json",
    ("cortex-m33", False): "cortex-m33-nodsp.json",
}
"""(core, DSP extension) -> table."""

Place = Literal["flash", "tensors", "scratch"]
"""Where a kernel loads from: constants, activations, or its scratch. The stack is left out, it is always near."""
Coefficients = Mapping[str, float]
"""Count name -> so much for each."""


@dataclass(frozen=True, slots=True)
class StartupCost:
    """What an image takes without any node: bytes of flash, and of .data and .bss."""

    flash_bytes: int
    ram_bytes: int


@dataclass(frozen=True, slots=True)
class NodeCost:
    """What one node or call takes, as in ``CostTable``: ``cycles`` are those of the core alone."""

    instructions: float
    cycles: float
    loads: Mapping[Place, float]
    fetched_lines: Mapping[str, float]

    @classmethod
    def total(cls, parts: Iterable[tuple[int, NodeCost]]) -> NodeCost:
        """Return the sum of costs, each so many times."""
        found = tuple(parts)
        if len(found) == 1 and found[0][0] == 1:
            return found[0][1]
        places, systems = found[0][1].loads, found[0][1].fetched_lines
        return cls(
            instructions=sum(times * cost.instructions for times, cost in found),
            cycles=sum(times * cost.cycles for times, cost in found),
            loads={place: sum(times * cost.loads[place] for times, cost in found) for place in places},
            fetched_lines={name: sum(times * cost.fetched_lines[name] for times, cost in found) for name in systems},
        )


@dataclass(frozen=True, slots=True, eq=False)
class CostTable:
    """Fitted costs of one core.

    What multiplies counts (``features``) maps symbol -> count name -> so many each: ``instructions``; ``cycles`` of
    the core, on memory that costs nothing; ``loads``, by where from, the bytes that are loaded; ``fetched_lines``, by
    memory system, the lines of instructions that miss its cache.

    ``functions`` maps symbol -> every function that comes with it -> bytes of code; ``node_bytes`` maps symbol -> bytes
    of code around one call; ``node_instructions`` and ``node_cycles`` are spent around each node.
    """

    provenance: Mapping[str, str]
    instructions: Mapping[str, Coefficients]
    cycles: Mapping[str, Coefficients]
    loads: Mapping[Place, Mapping[str, Coefficients]]
    fetched_lines: Mapping[str, Mapping[str, Coefficients]]
    functions: Mapping[str, Mapping[str, int]]
    node_bytes: Mapping[str, int]
    node_instructions: float
    node_cycles: float
    startups: Mapping[str, StartupCost]

    def cost(self, symbol: str, counts: Mapping[str, float]) -> NodeCost:
        """Return what one call takes whose loops run so often."""

        def amount(each: Mapping[str, Coefficients]) -> float:
            coefficients = each[symbol]
            return sum(coefficients.get(name, 0.0) * count for name, count in counts.items())

        return NodeCost(
            instructions=amount(self.instructions),
            cycles=amount(self.cycles),
            loads={place: amount(each) for place, each in self.loads.items()},
            fetched_lines={system: amount(each) for system, each in self.fetched_lines.items()},
        )

    def save(self, path: Path) -> None:
        """Write the table as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1, sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def parse(cls, text: str) -> CostTable:
        """Read a table from JSON.

        Raises:
            ConfigError: it was written by an earlier version.
        """
        record = json.loads(text)
        if set(record) != {field.name for field in fields(cls)}:
            raise ConfigError(f"a cost table of another version: fit it again ({record['provenance']['command']})")
        startups = {name: StartupCost(**cost) for name, cost in record.pop("startups").items()}
        return cls(**record, startups=startups)


def load(isa: Isa) -> CostTable | None:
    """Return the table of a core, None when there is none."""
    name = _FILES.get((isa.core, isa.dsp))
    return None if name is None else _read(name)


@cache
def _read(name: str) -> CostTable | None:
    resource = files("tinyformer.sparse_engine.cost") / "tables" / name
    return CostTable.parse(resource.read_text(encoding="utf-8")) if resource.is_file() else None
