"""How many candidates a second ResourceEval judges on one core, for random paths and sparsities of a preset.

    python benchmarks/resource_eval.py [--candidates 500] [--out benchmarks/resource_eval.json]

Candidates are drawn uniformly with a fixed seed, as the search draws them: many of one supernet (SparseNAS), and some
of each of many supernets (SuperNAS). Rates are per second of this process's CPU time, so that what else runs on the
machine does not count; the first candidates, which nothing before them helps, stand apart.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from tinyformer import boards
from tinyformer.resources import evaluate
from tinyformer.search_space import Path as NetworkPath
from tinyformer.search_space import (
    SparsityConfig,
    SupernetConfig,
    preset,
    sample_path,
    sample_sparsity,
    sample_supernet,
)

BOARD = boards.load("stm32f746g-disco")
PRESET = "normal"
FIRST = 50
PER_SUPERNET = 10

Candidate = tuple[SupernetConfig, NetworkPath, SparsityConfig]


def candidates(per_supernet: int, seed: int) -> Iterator[Candidate]:
    """Draw a supernet, then this many paths and sparsities of it, and so on."""
    space, rng = preset(PRESET), np.random.default_rng(seed)
    while True:
        config = sample_supernet(space, rng)
        for _ in range(per_supernet):
            yield config, sample_path(config, rng), sample_sparsity(space, config, rng)


def per_cpu_s(drawn: Sequence[Candidate]) -> float:
    """Return the candidates evaluated in a second of CPU time."""
    started_s = time.process_time()
    for candidate in drawn:
        evaluate(*candidate, BOARD)
    return round(len(drawn) / (time.process_time() - started_s), 1)


def measure(count: int, per_supernet: int, seed: int) -> dict[str, float]:
    """Return the rates of the first candidates and of those after them."""
    drawn = list(islice(candidates(per_supernet, seed), FIRST + count))
    return {"first": per_cpu_s(drawn[:FIRST]), "then": per_cpu_s(drawn[FIRST:])}


def main() -> None:
    """Measure, print and write the rates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--candidates", type=int, default=500)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("resource_eval.json"))
    arguments = parser.parse_args()
    count = arguments.candidates
    record: dict[str, Any] = {
        "command": f"python benchmarks/resource_eval.py --candidates {count}",
        "board": BOARD.name,
        "preset": PRESET,
        "versions": {"python": platform.python_version(), **{name: version(name) for name in ("tinyformer", "numpy")}},
        "first_candidates": FIRST,
        "candidates": count,
        "candidates_per_cpu_s": {
            "one supernet": measure(count, FIRST + count, seed=0),
            f"{PER_SUPERNET} of each supernet": measure(count, PER_SUPERNET, seed=1),
        },
    }
    arguments.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record["candidates_per_cpu_s"], indent=1))


if __name__ == "__main__":
    main()
