"""Recorded figures of other implementations on a Cortex-M7, with where they come from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_FILE = "cmsis_nn_cortex_m7.json"


@dataclass(frozen=True, slots=True)
class Baseline:
    """Instructions per inference by row.

    ``cmsis_nn`` holds CMSIS-NN's layers, always dense; ``fp32`` single-precision C with an FPU, where CMSIS-NN has no
    such layer; ``work`` the MACs or elements of CMSIS-NN's rows; ``provenance`` says what was measured how.
    """

    cmsis_nn: Mapping[str, int]
    fp32: Mapping[str, int]
    work: Mapping[str, int]
    provenance: Mapping[str, str]


@cache
def load() -> Baseline:
    """Return the recorded figures."""
    recorded = json.loads((files("tinyformer.benchmarks") / _FILE).read_text(encoding="utf-8"))
    return Baseline(
        cmsis_nn={row: figures["instructions"] for row, figures in recorded["cmsis_nn"].items()},
        fp32={row: figures["with_fpu"] for row, figures in recorded["fp32"].items()},
        work={row: figures["work"] for row, figures in recorded["cmsis_nn"].items()},
        provenance=recorded["provenance"],
    )
