"""The Pareto front of a study: what no other trial beats in everything at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tinyformer.study.trial import Trial


def pareto_front(trials: Iterable[Trial], costs: Sequence[str]) -> tuple[Trial, ...]:
    """Return the finished trials that no other one dominates, best objective first.

    A trial dominates another whose objective is not larger and whose costs are not smaller, one of them being worse; of
    trials that are equal in all of it the first stays.

    Args:
        trials: any.
        costs: names of metrics of which less is better; one that a trial lacks counts as 0.
    """
    finished = [trial for trial in trials if trial.objective is not None]
    points = {
        trial.index: (-(trial.objective or 0.0), *(trial.metrics.get(c, 0.0) for c in costs)) for trial in finished
    }

    def beaten(trial: Trial) -> bool:
        own = points[trial.index]
        return any(
            all(a <= b for a, b in zip(points[other.index], own, strict=True))
            and (points[other.index] != own or other.index < trial.index)
            for other in finished
            if other.index != trial.index
        )

    return tuple(sorted((t for t in finished if not beaten(t)), key=lambda trial: points[trial.index]))
