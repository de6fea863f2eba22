"""The loop that every search shares: ask, prepare, evaluate, tell."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from tinyformer.study.executors import Executor, completed
from tinyformer.study.study import OpenTrial, Study
from tinyformer.study.trial import Json, Trial

Observe = Callable[[str, Trial], None]
A = TypeVar("A")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Skip:
    """A trial is not (further) evaluated, for a reason."""

    reason: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A trial's result; a larger objective is better."""

    objective: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    details: Mapping[str, Json] = field(default_factory=dict)


def conduct(
    study: Study,
    count: int,
    *,
    prepare: Callable[[OpenTrial], A | Skip | Outcome],
    evaluate: Callable[[A], R],
    conclude: Callable[[OpenTrial, A, R], Outcome | Skip],
    executor: Executor,
    observe: Observe | None = None,
    poll_s: float = 1.0,
) -> None:
    """Bring the trials 0 .. ``count`` - 1 of a study to their end.

    ``prepare`` samples a trial and may skip it, or know its result; ``evaluate`` runs where the executor puts it and
    sees nothing but its argument; ``conclude`` turns its result into what is stored, once, here. ``observe`` is shown
    the study's name and each ended trial.
    Trials that other processes run are waited for, and repeated when those processes die.
    """

    def end(trial: OpenTrial, ending: Outcome | Skip) -> None:
        if isinstance(ending, Skip):
            record = study.skip(trial, ending.reason, metrics=ending.metrics, details=ending.details)
        else:
            record = study.finish(trial, ending.objective, metrics=ending.metrics, details=ending.details)
        if observe is not None and record is not None:
            observe(study.name, record)

    def work() -> Iterator[tuple[OpenTrial, A]]:
        while (trial := study.ask(count)) is not None:
            prepared = prepare(trial)
            if isinstance(prepared, Skip | Outcome):
                end(trial, prepared)
            else:
                yield trial, prepared

    while True:
        for trial, argument, result in completed(executor, evaluate, work()):
            end(trial, conclude(trial, argument, result))
        if study.ended(count):
            return
        time.sleep(poll_s)
