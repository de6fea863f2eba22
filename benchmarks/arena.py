"""Plan the arena of sampled paths of every preset: how far from the lower bound, and by which planner.

    python benchmarks/arena.py [--paths 40] [--out benchmarks/arena.json]

Paths, widths and sparsities are drawn uniformly with a fixed seed and planned by the search's own code, without
weights. Ratios are arena over lower bound: the smallest, the median, the 95th percentile and the largest.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tinyformer import boards
from tinyformer.resources import lower
from tinyformer.search_space import PRESETS, layer_sparsities, preset, sample_path, sample_sparsity, sample_supernet
from tinyformer.sparse_engine import memory
from tinyformer.sparse_engine.coding import BlockDensity
from tinyformer.sparse_engine.layout import Budget, lay_out

BOARD = boards.load("stm32f746g-disco")
UNLIMITED = Budget(2**62, 2**62)
QUANTILES = {"least": 0.0, "median": 0.5, "p95": 0.95, "most": 1.0}


def measure(name: str, paths: int, seed: int = 0) -> dict[str, Any]:
    """Return the distribution of arenas over sampled paths of a preset."""
    space, rng = preset(name), np.random.default_rng(seed)
    arenas: list[int] = []
    ratios: dict[str, list[float]] = {planner: [] for planner in (*memory.PLANNERS, "best")}
    chosen: Counter[str] = Counter()
    for _ in range(paths):
        config = sample_supernet(space, rng)
        path = sample_path(config, rng)
        found = layer_sparsities(config, path, sample_sparsity(space, config, rng))
        densities = {name: BlockDensity(each.sparsity, each.block) for name, each in found.items() if each.sparsity}
        graph = lower(config, path)
        layout = lay_out(graph, BOARD, UNLIMITED, "size", densities=densities)
        bound = layout.plan.lower_bound_bytes
        arenas.append(layout.plan.arena_bytes)
        ratios["best"].append(layout.plan.arena_bytes / bound)
        for planner in memory.PLANNERS:
            ratios[planner].append(memory.plan_with(planner, graph, layout.calls).arena_bytes / bound)
        chosen[layout.plan.planner] += 1
    return {
        "paths": paths,
        "arena_bytes": {key: int(value) for key, value in _quantiles(arenas).items()},
        "over_lower_bound": {planner: _quantiles(values) for planner, values in ratios.items()},
        "chosen": dict(sorted(chosen.items())),
    }


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    return {name: round(float(np.quantile(values, q)), 4) for name, q in QUANTILES.items()}


def main() -> None:
    """Measure every preset, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--paths", type=int, default=40)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("arena.json"))
    arguments = parser.parse_args()
    figures = {name: measure(name, arguments.paths) for name in PRESETS}
    record = {"tinyformer": version("tinyformer"), "numpy": version("numpy"), "presets": figures}
    arguments.out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    for name, found in figures.items():
        over = {
            planner: f"{values['median']:.3f} to {values['most']:.3f}"
            for planner, values in found["over_lower_bound"].items()
        }
        arena = found["arena_bytes"]
        print(f"{name}: arena {arena['median']:,} bytes ({arena['least']:,} to {arena['most']:,}), over bound {over}")


if __name__ == "__main__":
    main()
