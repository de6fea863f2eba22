"""Samplers on the recorded search: the best accuracy within limits, and the front, after so many candidates.

    python benchmarks/compare_samplers.py    # search_table.csv -> search_samplers.json, .svg; a few minutes

Each sampler searches the whole recorded space with 20 seeds. As in SparseNAS, a candidate over a limit is skipped, and
one that was evaluated before has the result it had: candidates count that would have been trained. The samplers are
those of a run file, through the same study: for accuracy, and for the front (accuracy, flash, RAM, latency); beside
them TPE when a repeated candidate counts again.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version

import charts
import numpy as np
import optuna
import recorded_search as recorded
from recorded_search import Row

from tinyformer.sparsenas.sampling import COSTS as SAMPLED_COSTS
from tinyformer.study import Storage, Study

SEEDS = range(20)
EVALUATED = (10, 20, 40, 80)
MOST_ASKED = 300  # candidates sampled in all, those that do not fit and repeated ones included
FLASH_SHARE, LATENCY_SHARE = 0.5, 0.5  # of the candidates, which each limit alone admits
CHANCE = 0.1
RECORD = recorded.HERE / "search_samplers.json"
COSTS = ("flash_bytes", "latency_ms")
Table = Mapping[tuple[recorded.Value, ...], Row]
Search = Callable[[Table, "Limits", int], Iterator[Row]]


class Limits:
    """The most a candidate may take: each limit alone admits a share of the candidates."""

    def __init__(self, rows: Sequence[Row], flash: float = FLASH_SHARE, latency: float = LATENCY_SHARE) -> None:
        self.flash_bytes = float(np.quantile([r.figures["flash_bytes"] for r in rows], flash))
        self.latency_ms = float(np.quantile([r.figures["latency_ms"] for r in rows], latency))

    def hold(self, row: Row, costs: Sequence[str] = COSTS) -> bool:
        """Whether a candidate is within the limits of some costs."""
        return all(row.figures[cost] <= getattr(self, cost) for cost in costs)


def through_a_study(
    sampler: str, costs: Sequence[str] = (), *, repeats_count: bool = False, limited: Sequence[str] = COSTS
) -> Search:
    """Search as SparseNAS does: what is over a limit, of those ``limited``, is skipped."""

    def search(table: Table, limits: Limits, seed: int) -> Iterator[Row]:
        storage = Storage("memory", optuna.storages.InMemoryStorage())
        seen = set()
        with Study(storage, "s", sampler=sampler, seed=seed, costs=costs) as study:
            while (trial := study.ask(MOST_ASKED)) is not None:
                row = table[tuple(trial.choose(p.name, p.choices) for p in recorded.parameters())]
                if limits.hold(row, limited):
                    study.finish(trial, row.accuracy, metrics=row.figures)
                    if repeats_count or id(row) not in seen:
                        yield row
                    seen.add(id(row))
                else:
                    study.skip(trial, "does not fit")

    return search


SEARCHES: Mapping[str, Search] = {
    "random": through_a_study("random"),
    "tpe": through_a_study("tpe"),
    "nsga2": through_a_study("nsga2"),
    "tpe, repeats count": through_a_study("tpe", repeats_count=True),
    "tpe, front": through_a_study("tpe", SAMPLED_COSTS),
    "nsga2, front": through_a_study("nsga2", SAMPLED_COSTS),
}


def hypervolume(rows: Sequence[Row], limits: Limits) -> float:
    """Return the volume that candidates dominate, of the box from chance and the limits to 1 and nothing."""
    points = sorted({tuple(row.figures[name] for name in ("accuracy", *COSTS)) for row in rows})
    box = (1 - CHANCE) * limits.flash_bytes * limits.latency_ms
    volume, covered = 0.0, []  # slices of equal accuracy, from the best downwards
    accuracies = [*(point[0] for point in reversed(points)), CHANCE]
    for (accuracy, flash, latency), below in zip(reversed(points), accuracies[1:], strict=True):
        covered.append((flash, latency))
        if accuracy > below:
            volume += (accuracy - max(below, CHANCE)) * _area(covered, limits) if accuracy > CHANCE else 0.0
    return volume / box


def _area(points: Sequence[tuple[float, float]], limits: Limits) -> float:
    area, lowest = 0.0, limits.latency_ms
    for flash, latency in sorted(points):
        if latency < lowest:
            area += (limits.flash_bytes - flash) * (lowest - latency)
            lowest = latency
    return area


def evaluated(search: Search, table: Table, limits: Limits, seed: int) -> list[Row]:
    """Return the candidates that a search evaluates, in order."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [row for _, row in zip(range(max(EVALUATED)), search(table, limits, seed), strict=False)]


def run(search: Search, table: Table, limits: Limits, seed: int) -> dict[str, list[float]]:
    """Return best accuracy and share of the table's hypervolume after each number of candidates."""
    found = evaluated(search, table, limits, seed)
    return {
        "accuracy": [max(row.accuracy for row in found[:count]) for count in EVALUATED],
        "hypervolume": [hypervolume(found[:count], limits) for count in EVALUATED],
    }


def compare(only: Sequence[str]) -> dict[str, object]:
    """Return what is written as JSON; searches that are left out keep what is recorded."""
    rows = recorded.read(recorded.TABLE)
    table = {recorded.key(row.choices): row for row in rows}
    limits = Limits(rows)
    fitting = [row for row in rows if limits.hold(row)]
    whole = hypervolume(fitting, limits)
    before = json.loads(RECORD.read_text(encoding="utf-8"))["samplers"] if RECORD.exists() else {}
    searches = {}
    for name, search in SEARCHES.items():
        if name not in only:
            searches[name] = before[name]
            continue
        runs = [run(search, table, limits, seed) for seed in SEEDS]
        accuracy = np.array([r["accuracy"] for r in runs])
        volume = np.array([r["hypervolume"] for r in runs]) / whole
        searches[name] = {"accuracy": quartiles(accuracy), "hypervolume": quartiles(volume)}
        print(name, searches[name], flush=True)
    return {
        "command": "python benchmarks/compare_samplers.py",
        "candidates": len(rows),
        "candidates_that_fit": len(fitting),
        "limits": {"flash_bytes": limits.flash_bytes, "latency_ms": limits.latency_ms},
        "best_accuracy": max(row.accuracy for row in fitting),
        "seeds": len(SEEDS),
        "evaluated": list(EVALUATED),
        "samplers": searches,
        "versions": {package: version(package) for package in ("tinyformer", "optuna", "numpy")},
    }


def quartiles(values: np.ndarray) -> dict[str, list[float]]:
    """Return quartiles over seeds, one for each number of candidates."""
    return {
        name: [round(float(v), 4) for v in np.quantile(values, q, axis=0)]
        for name, q in (("lower", 0.25), ("median", 0.5), ("upper", 0.75))
    }


def main() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(SEARCHES), default=list(SEARCHES), help="these alone")
    record = compare(parser.parse_args().only)
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    best = record["best_accuracy"]
    charts.lines(
        recorded.HERE / "search_samplers.svg",
        "Accuracy below the best that fits, median of 20 seeds",
        "candidates evaluated",
        "points",
        {
            name: [
                (count, 100 * (best - median))
                for count, median in zip(EVALUATED, found["accuracy"]["median"], strict=True)
            ]
            for name, found in record["samplers"].items()
        },
    )


if __name__ == "__main__":
    main()
