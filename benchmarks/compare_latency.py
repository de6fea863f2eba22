"""What a limit of the latency is worth on the recorded search: the best accuracy among models that are fast enough.

    python benchmarks/compare_latency.py    # search_table.csv -> search_latency.json; half a minute

The latency alone is limited, to what a quarter of the recorded candidates keep. A search that knows the limit skips
what is predicted to be slower, and trains nothing of it. One that does not trains whatever its sampler draws, and of
that only what happens to be fast enough is of use.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import Any

import compare_samplers as samplers
import numpy as np
import optuna
import recorded_search as recorded
from compare_samplers import CHANCE, EVALUATED, SEEDS, Limits, Table

RECORD = recorded.HERE / "search_latency.json"
ADMITTED = 0.25  # the share of the candidates that are fast enough


def compare() -> dict[str, Any]:
    """Return what is written as JSON."""
    rows = recorded.read(recorded.TABLE)
    table = {recorded.key(row.choices): row for row in rows}
    limits = Limits(rows, flash=1.0, latency=ADMITTED)
    searches = {
        f"{sampler}, {'limited' if limited else 'not limited'}": _search(sampler, limited, table, limits)
        for sampler in ("random", "tpe")
        for limited in (True, False)
    }
    return {
        "command": "python benchmarks/compare_latency.py",
        "candidates": len(rows),
        "latency_limit_ms": limits.latency_ms,
        "candidates_fast_enough": sum(map(limits.hold, rows)),
        "best_accuracy": max(row.accuracy for row in rows if limits.hold(row)),
        "seeds": len(SEEDS),
        "evaluated": list(EVALUATED),
        "searches": searches,
        "versions": {package: version(package) for package in ("tinyformer", "optuna", "numpy")},
    }


def _search(sampler: str, limited: bool, table: Table, limits: Limits) -> dict[str, Any]:
    """Return, over seeds, the best accuracy that is fast enough, and the share of the evaluated that is."""
    search = samplers.through_a_study(sampler, limited=["latency_ms"] if limited else [])
    best, shares = [], []
    for seed in SEEDS:
        found = samplers.evaluated(search, table, limits, seed)
        fast = [[row.accuracy for row in found[:count] if limits.hold(row)] for count in EVALUATED]
        best.append([max(accuracies, default=CHANCE) for accuracies in fast])
        shares.append([len(those) / len(found[:count]) for those, count in zip(fast, EVALUATED, strict=True)])
    result = {"accuracy": samplers.quartiles(np.array(best)), "fast_enough": samplers.quartiles(np.array(shares))}
    print(sampler, limited, result, flush=True)
    return result


def main() -> None:
    """Compare and write the record."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    RECORD.write_text(json.dumps(compare(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
