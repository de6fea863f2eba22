"""Cost tables as data: one JSON file per core, written by ``benchmarks/fit_cost.py``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from tinyformer.boards import Isa

_FILES: Mapping[tuple[str, bool], str] = {
    ("cortex-m0plus", False): "cortex-m0plus.json",
    ("cortex-m3", False): "cortex-m3.json",
    ("cortex-m4", True): "cortex-m4.json",
    ("cortex-m7", True): "cortex-m7.json",
    ("cortex-m33", True): "cortex-m33.json",
    ("cortex-m33", False): "cortex-m3.json",  # the same integer instructions
}
"""(core, DSP extension) -> table."""


@dataclass(frozen=True, slots=True)
class StartupCost:
    """What an image takes without any node: bytes of flash, and of .data and .bss."""

    flash_bytes: int
    ram_bytes: int


@dataclass(frozen=True, slots=True)
class CostTable:
    """Fitted costs of one core.

    ``instructions`` maps symbol -> count name (``features``) -> instructions each; ``functions`` maps symbol -> every
    function that comes with it -> bytes of code; ``node_bytes`` maps symbol -> bytes of code around one call;
    ``run_instructions`` are spent once per inference outside all nodes, ``node_instructions`` once per node.
    """

    provenance: Mapping[str, str]
    instructions: Mapping[str, Mapping[str, float]]
    functions: Mapping[str, Mapping[str, int]]
    node_bytes: Mapping[str, int]
    run_instructions: float
    startups: Mapping[str, StartupCost]

    def save(self, path: Path) -> None:
        """Write the table as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1, sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def parse(cls, text: str) -> CostTable:
        """Read a table from JSON."""
        record = json.loads(text)
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
