"""What it is worth to judge candidates without training, and to stop training bad ones early.

    python benchmarks/compare_judging.py    # search_table.csv, search_training.csv -> search_judging.json, .svg

Both answer from the recorded trainings alone. A search trains k of m candidates and takes the one that is best after
training; 1,000 draws of m candidates each, the same for every way of choosing the k.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib.metadata import version

import charts
import numpy as np
import recorded_search as recorded
from record_search import TRAINING
from recorded_search import Row
from scipy.stats import kendalltau, spearmanr

DRAWS, POOL, TRAINED = 1000, 8, (1, 2, 4)
EPOCHS = tuple(f"epoch_{i}" for i in range(1, 7))
FINAL = EPOCHS[-1]
Curve = Sequence[float]
# how many epochs each of some candidates trains, from their curves in the order in which they train
Rule = Callable[[Sequence[Curve]], list[int]]


def never(curves: Sequence[Curve]) -> list[int]:
    return [len(curve) for curve in curves]


def median_rule(curves: Sequence[Curve]) -> list[int]:
    """Stop after an epoch below the median of what the candidates before had after it (Golovin et al. 2017)."""
    trained: list[int] = []
    for position, curve in enumerate(curves):
        epochs = len(curve)
        for epoch, accuracy in enumerate(curve[:-1]):
            before = [curves[i][epoch] for i in range(position) if trained[i] > epoch]
            if len(before) >= 2 and accuracy < np.median(before):
                epochs = epoch + 1
                break
        trained.append(epochs)
    return trained


def halving(curves: Sequence[Curve]) -> list[int]:
    """Go on with the better half after one epoch, and with its better half after three (Jamieson & Talwalkar 2016)."""
    trained = [len(curve) for curve in curves]
    alive = list(range(len(curves)))
    for rung in (1, 3):
        alive.sort(key=lambda i: -curves[i][rung - 1])
        for i in alive[(len(alive) + 1) // 2 :]:
            trained[i] = rung
        alive = alive[: (len(alive) + 1) // 2]
    return trained


RULES: dict[str, Rule] = {"none": never, "median rule": median_rule, "successive halving": halving}


def correlations(rows: Sequence[Row], judged: str, final: str) -> dict[str, float]:
    a, b = [row.figures[judged] for row in rows], [row.figures[final] for row in rows]
    return {
        "candidates": len(rows),
        "spearman": round(float(spearmanr(a, b).statistic), 3),
        "kendall": round(float(kendalltau(a, b).statistic), 3),
    }


def chosen_accuracy(rows: Sequence[Row], judged: str | None) -> dict[str, list[float]]:
    """Return the mean final accuracy of the winner of k trainings: the k judged best of POOL, or the first k."""
    generator = np.random.default_rng(0)
    best: dict[int, list[float]] = {k: [] for k in TRAINED}
    pools = []
    for _ in range(DRAWS):
        pool = [rows[i] for i in generator.permutation(len(rows))[:POOL]]
        pools.append(max(row.figures[FINAL] for row in pool))
        if judged is not None:
            pool.sort(key=lambda row: -row.figures[judged])
        for k in TRAINED:
            best[k].append(max(row.figures[FINAL] for row in pool[:k]))
    return {
        "accuracy": [round(float(np.mean(best[k])), 4) for k in TRAINED],
        "below_the_best_of_the_pool": [round(float(np.mean(np.subtract(pools, best[k]))), 4) for k in TRAINED],
    }


def stopped(rows: Sequence[Row], rule: Rule, count: int, judged: str | None = None) -> dict[str, float]:
    """Return what a rule saves of ``count`` trainings, and what it loses."""
    generator = np.random.default_rng(0)
    share, loss, kept = [], [], []
    for _ in range(DRAWS):
        pool = [rows[i] for i in generator.permutation(len(rows))[: POOL if judged else count]]
        if judged is not None:
            pool = sorted(pool, key=lambda row: -row.figures[judged])[:count]
        curves = [[row.figures[name] for name in EPOCHS] for row in pool]
        epochs = rule(curves)
        finished = [curve[-1] for curve, trained in zip(curves, epochs, strict=True) if trained == len(curve)]
        best = max(curve[-1] for curve in curves)
        share.append(sum(epochs) / sum(map(len, curves)))
        loss.append(best - max(finished))
        kept.append(max(finished) == best)
    return {
        "epochs_trained": round(float(np.mean(share)), 3),
        "best_kept": round(float(np.mean(kept)), 3),
        "accuracy_lost": round(float(np.mean(loss)), 4),
    }


def main() -> None:
    table = {recorded.key(row.choices): row for row in recorded.read(recorded.TABLE)}
    rows = [
        Row(row.choices, {**row.figures, "accuracy": table[recorded.key(row.choices)].accuracy})
        for row in recorded.read(TRAINING)
    ]
    upper = sorted(rows, key=lambda row: -row.accuracy)[: len(rows) // 2]
    judge_s = float(np.mean([row.figures["seconds"] for row in table.values()]))
    train_s = float(np.mean([row.figures["train_seconds"] for row in rows]))
    record = {
        "command": "python benchmarks/compare_judging.py",
        "trained_candidates": len(rows),
        "rank_correlation": {
            "with the accuracy after training": correlations(rows, "accuracy", FINAL),
            "among the better half as judged": correlations(upper, "accuracy", FINAL),
            **{f"of {name} with the last": correlations(rows, name, FINAL) for name in EPOCHS[:-1]},
        },
        "cpu_seconds_per_candidate": {"judged": round(judge_s, 2), "trained": round(train_s, 1)},
        "pool": POOL,
        "trained": list(TRAINED),
        "chosen": {
            "at random": chosen_accuracy(rows, None),
            "judged with the supernet's weights": chosen_accuracy(rows, "accuracy"),
        },
        "stopping": {
            "8 at random": {name: stopped(rows, rule, POOL) for name, rule in RULES.items()},
            "the 4 judged best of 8": {
                name: stopped(rows, rule, POOL // 2, "accuracy") for name, rule in RULES.items()
            },
        },
        "versions": {package: version(package) for package in ("tinyformer", "numpy", "scipy")},
    }
    (recorded.HERE / "search_judging.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({k: record[k] for k in ("rank_correlation", "chosen", "stopping")}, indent=1))
    charts.points(
        recorded.HERE / "search_judging.svg",
        "Candidates before and after a short training",
        "accuracy with the supernet's weights, untrained",
        "accuracy after training",
        {f"{len(rows)} candidates": [(row.accuracy, row.figures[FINAL]) for row in rows]},
    )


if __name__ == "__main__":
    main()
