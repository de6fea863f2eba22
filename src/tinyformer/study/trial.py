"""What is known about a trial: a frozen record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

Choice = bool | int | float | str
Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]


class TrialState(Enum):
    """Where a trial stands."""

    RUNNING = "running"
    FINISHED = "finished"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial of a study.

    ``index`` numbers the trials that count, from 0: a trial whose process died is repeated under the same index.
    ``objective`` (larger is better) is known when the trial is finished, ``reason`` when it was skipped. ``params``
    are the sampled choices by name, ``metrics`` figures, ``details`` anything else that JSON can hold.
    """

    index: int
    state: TrialState
    params: Mapping[str, Choice]
    objective: float | None
    reason: str | None
    metrics: Mapping[str, float]
    details: Mapping[str, Any]

    @property
    def ended(self) -> bool:
        """Whether the trial is finished or skipped."""
        return self.state is not TrialState.RUNNING


@dataclass(frozen=True, slots=True)
class Tally:
    """How many trials were seen, how many of them finished, and how many were skipped for each reason."""

    seen: int
    accepted: int
    skipped: Mapping[str, int]

    @classmethod
    def of(cls, trials: Iterable[Trial]) -> Tally:
        """Count the ended trials; the most frequent reason comes first."""
        ended = [trial for trial in trials if trial.ended]
        reasons = Counter(trial.reason for trial in ended if trial.reason is not None)
        return cls(len(ended), len(ended) - reasons.total(), dict(reasons.most_common()))

    @classmethod
    def total(cls, parts: Iterable[Mapping[str, Any]]) -> Tally:
        """Add tallies in the form of ``dataclasses.asdict``."""
        seen, accepted, skipped = 0, 0, Counter[str]()
        for part in parts:
            seen += part["seen"]
            accepted += part["accepted"]
            skipped.update(part["skipped"])
        return cls(seen, accepted, dict(skipped.most_common()))
