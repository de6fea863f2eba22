"""Sparsity allocated by each block's sensitivity, on the recorded search: is it worth an option?

    python benchmarks/compare_sensitivity.py    # search_table.csv -> search_sensitivity.json

A block's sensitivity is the accuracy that a path loses when that block alone is pruned in one shot: 8 candidates and
the dense one for each path. The allocation is the configuration whose blocks lose least in sum. It is held against the
same sparsity everywhere in the same flash and, over all paths within the limits of compare_samplers.py, against the
samplers, whose record it reads.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version

import numpy as np
import recorded_search as recorded
from compare_samplers import Limits
from recorded_search import Row
from scipy.stats import spearmanr

BLOCKS = tuple(p.name for p in recorded.parameters() if p.name.endswith(".sparsity"))
PRUNED = (0.5, 0.8)
UNIFORM = 0.5  # there is no smaller configuration than 0.8 everywhere
Table = Mapping[tuple[recorded.Value, ...], Row]


def paths(rows: Sequence[Row]) -> dict[tuple[recorded.Value, ...], dict[tuple[float, ...], Row]]:
    """Return each path's candidates by their sparsities."""
    found: dict[tuple[recorded.Value, ...], dict[tuple[float, ...], Row]] = {}
    for row in rows:
        path = tuple(value for name, value in row.choices.items() if name not in BLOCKS)
        found.setdefault(path, {})[tuple(float(row.choices[name]) for name in BLOCKS)] = row
    return found


def predicted(path: Mapping[tuple[float, ...], Row], wanted: tuple[float, ...]) -> float:
    """Return the accuracy of the dense path less what each block loses alone."""
    dense = path[(0.0,) * len(BLOCKS)].accuracy
    alone = (tuple(s if i == j else 0.0 for j in range(len(BLOCKS))) for i, s in enumerate(wanted))
    return dense - sum(dense - path[single].accuracy for single in alone)


def allocate(path: Mapping[tuple[float, ...], Row], flash_bytes: float) -> Row:
    """Return the candidate with the best predicted accuracy in a flash."""
    fitting = [(predicted(path, s), row) for s, row in path.items() if row.figures["flash_bytes"] <= flash_bytes]
    return max(fitting, key=lambda found: found[0])[1]


def against_uniform(rows: Sequence[Row]) -> dict[str, float]:
    """Return mean accuracies over the paths, in the flash that a uniform sparsity takes."""
    accuracies = []
    for path in paths(rows).values():
        uniform = path[(UNIFORM,) * len(BLOCKS)]
        flash = uniform.figures["flash_bytes"]
        best = max(row.accuracy for row in path.values() if row.figures["flash_bytes"] <= flash)
        accuracies.append((uniform.accuracy, allocate(path, flash).accuracy, best))
    means = np.mean(accuracies, axis=0)
    names = (f"{UNIFORM:.0%} everywhere", "by sensitivity", "best")
    return {name: round(float(mean), 4) for name, mean in zip(names, means, strict=True)}


def within_limits(rows: Sequence[Row]) -> dict[str, object]:
    """Return the accuracy of the best prediction within the limits over all paths, beside what samplers found."""
    limits, every = Limits(rows), paths(rows)
    guesses = [(predicted(path, s), row) for path in every.values() for s, row in path.items() if limits.hold(row)]
    samplers = json.loads((recorded.HERE / "search_samplers.json").read_text(encoding="utf-8"))
    return {
        "candidates": len(every) * (1 + len(BLOCKS) * len(PRUNED)) + 1,
        "sensitivity": round(max(guesses, key=lambda guess: guess[0])[1].accuracy, 4),
        "samplers, median after so many": {
            name: dict(zip(map(str, samplers["evaluated"]), found["accuracy"]["median"], strict=True))
            for name, found in samplers["samplers"].items()
        },
        "best": round(max(row.accuracy for _, row in guesses), 4),
    }


def main() -> None:
    rows = recorded.read(recorded.TABLE)
    pairs = [(predicted(path, s), row.accuracy) for path in paths(rows).values() for s, row in path.items()]
    record = {
        "command": "python benchmarks/compare_sensitivity.py",
        "rank_correlation_of_prediction": round(float(spearmanr(*zip(*pairs, strict=True)).statistic), 3),
        "at_equal_flash": against_uniform(rows),
        "within_limits": within_limits(rows),
        "versions": {package: version(package) for package in ("tinyformer", "numpy", "scipy")},
    }
    (recorded.HERE / "search_sensitivity.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
