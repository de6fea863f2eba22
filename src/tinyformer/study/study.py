"""A study: trials that are asked for, and told, one by one."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from math import isfinite
from types import TracebackType
from typing import Final, Self, TypeVar

import numpy as np

from tinyformer.errors import ConfigError, MissingExtraError
from tinyformer.study.samplers import make_sampler
from tinyformer.study.storage import Storage
from tinyformer.study.trial import Choice, Json, Trial, TrialState

try:
    import optuna
    from optuna.exceptions import UpdateFinishedTrialError
    from optuna.study import StudyDirection
    from optuna.trial import FrozenTrial
    from optuna.trial import TrialState as OptunaState
except ImportError as error:
    raise MissingExtraError("optuna", "search", "the search") from error

BEAT_S: Final = 30.0
DEAD_AFTER_S: Final = 300.0

_STATES: Final = {
    OptunaState.RUNNING: TrialState.RUNNING,
    OptunaState.COMPLETE: TrialState.FINISHED,
    OptunaState.PRUNED: TrialState.SKIPPED,
}

C = TypeVar("C", bound=Choice)


class OpenTrial:
    """A trial that waits for its result: it samples choices and is told to its study.

    Every choice and random number depends on the study's seed and the trial's index, and with an adaptive sampler on
    the trials that ended before.
    """

    def __init__(self, trial: optuna.Trial, index: int, seed: int) -> None:
        self._trial = trial
        self.index = index
        self._seed = seed

    def choose(self, name: str, options: Sequence[C]) -> C:
        """Return the sampler's choice among ``options``; a name has the same options in every trial of a study."""
        label = self._trial.suggest_categorical(name, tuple(options))
        return next(option for option in options if option == label)

    def generator(self) -> np.random.Generator:
        """Return a new random generator that depends on (seed, index) only."""
        return np.random.default_rng(np.random.SeedSequence((self._seed, self.index)))


class Study:
    """Trials under one name in a storage; use as a context manager.

    Opening a study resumes it. A trial left running by a dead process is marked failed, and ``ask`` repeats it under
    the same index: the sequence of sampled trials is the one of an uninterrupted search. In a shared storage a
    process is dead when its study has given no sign for ``DEAD_AFTER_S`` seconds.

    ``settings`` is what must not change between runs, as JSON; ``sampler`` and ``seed`` are added to it. ``defaults``
    are the values of settings that are not given, or were not there when the study was made. With ``given`` trial i
    takes the choices of ``given[i]``, and the sampler makes those that it lacks. ``costs`` are metrics that the sampler
    is to keep low while it keeps the objective high; one that a trial lacks counts as 0.

    Raises:
        ConfigError: unknown sampler, or the stored study was made with other settings.
    """

    def __init__(
        self,
        storage: Storage,
        name: str,
        *,
        sampler: str = "random",
        seed: int = 0,
        settings: Mapping[str, Json] | None = None,
        defaults: Mapping[str, Json] | None = None,
        given: Sequence[Mapping[str, Choice]] | None = None,
        costs: Sequence[str] = (),
    ) -> None:
        make_sampler(sampler, seed, 0)
        self.name = name
        self._storage = storage
        self._sampler = sampler
        self._seed = seed
        self._given = given
        self._costs = tuple(costs)
        self._worker = uuid.uuid4().hex
        if name in optuna.get_all_study_names(storage.backend):
            self._study = optuna.load_study(study_name=name, storage=storage.backend)
        else:
            directions = [StudyDirection.MAXIMIZE, *(StudyDirection.MINIMIZE for _ in self._costs)]
            self._study = optuna.create_study(
                storage=storage.backend, study_name=name, directions=directions, load_if_exists=True
            )
        self._check_settings({**(settings or {}), "sampler": sampler, "seed": seed}, defaults or {})
        self._stop_beating = _start_beating(self._beat) if storage.shared else None
        self._fail_abandoned()

    def ask(self, count: int) -> OpenTrial | None:
        """Open the first of the trials 0 .. ``count`` - 1 that nobody has ended or runs; None when there is none."""
        self._fail_abandoned()
        taken = {trial.user_attrs["index"] for trial in self._counted()}
        index = next((i for i in range(count) if i not in taken), None)
        if index is None:
            return None
        self._study.sampler = make_sampler(
            self._sampler, self._seed, index, None if self._given is None else self._given[index]
        )
        trial = self._study.ask()
        trial.set_user_attr("worker", self._worker)
        trial.set_user_attr("index", index)
        rivals = [t for t in self._counted() if t.user_attrs["index"] == index and t.number < trial.number]
        if rivals:  # another process was faster
            self._study.tell(trial.number, state=OptunaState.FAIL)
            return self.ask(count)
        return OpenTrial(trial, index, self._seed)

    def finish(
        self,
        trial: OpenTrial,
        objective: float,
        *,
        metrics: Mapping[str, float] | None = None,
        details: Mapping[str, Json] | None = None,
    ) -> Trial | None:
        """Store a trial's result; ``objective`` is finite and larger is better.

        None when another process has repeated the trial, which it took for abandoned: its result counts.
        """
        if not isfinite(objective):
            raise ValueError(f"trial {trial.index}: the objective is {objective}")
        return self._end(trial, objective, None, metrics, details)

    def skip(
        self,
        trial: OpenTrial,
        reason: str,
        *,
        metrics: Mapping[str, float] | None = None,
        details: Mapping[str, Json] | None = None,
    ) -> Trial | None:
        """Store that a trial was not evaluated, and why; None as for ``finish``."""
        return self._end(trial, None, reason, metrics, details)

    def trials(self) -> tuple[Trial, ...]:
        """Return the trials by index, without the failed ones."""
        return _records(self._counted())

    def ended(self, count: int) -> bool:
        """Return whether the trials 0 .. ``count`` - 1 are all finished or skipped."""
        return len({trial.index for trial in self.trials() if trial.ended and trial.index < count}) == count

    def best(self) -> Trial | None:
        """Return the finished trial with the largest objective, the first of equals; None when none is finished."""
        finished = [trial for trial in self.trials() if trial.objective is not None]
        return max(finished, key=lambda trial: (trial.objective, -trial.index), default=None)

    def close(self) -> None:
        """Give up the trials this process left open."""
        if self._stop_beating is not None:
            self._stop_beating()
        for trial in self._running():
            if trial.user_attrs.get("worker") == self._worker:
                self._study.tell(trial.number, state=OptunaState.FAIL)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _end(
        self,
        trial: OpenTrial,
        objective: float | None,
        reason: str | None,
        metrics: Mapping[str, float] | None,
        details: Mapping[str, Json] | None,
    ) -> Trial | None:
        optuna_trial = trial._trial
        state = OptunaState.PRUNED if objective is None else OptunaState.COMPLETE
        costs = [float((metrics or {}).get(name, 0.0)) for name in self._costs]
        values = None if objective is None else [objective, *costs]
        try:
            optuna_trial.set_user_attr("metrics", {name: float(value) for name, value in (metrics or {}).items()})
            optuna_trial.set_user_attr("details", dict(details or {}))
            if reason is not None:
                optuna_trial.set_user_attr("reason", reason)
            record = _record(self._study.tell(optuna_trial, values, state=state))
        except UpdateFinishedTrialError:
            return None
        self._storage.sync()
        return record

    def _counted(self) -> list[FrozenTrial]:
        return _counted(self._study)

    def _running(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=(OptunaState.RUNNING,))

    def _check_settings(self, settings: Mapping[str, Json], defaults: Mapping[str, Json]) -> None:
        settings, defaults = json.loads(json.dumps(settings)), json.loads(json.dumps(defaults))
        stored = self._study.user_attrs.get("settings")
        if stored is None:
            self._study.set_user_attr("settings", dict(settings))
            return
        for key in sorted({*stored, *settings}):
            before, now = (json.dumps(known.get(key, defaults.get(key))) for known in (stored, settings))
            if before != now:
                values = f"{key} = {before}, now {now}" if len(before + now) < 100 else f"another {key}"
                raise ConfigError(
                    f"study '{self.name}' in {self._storage.location}: made with {values}; "
                    "resume with the same settings or choose another folder"
                )

    def _fail_abandoned(self) -> None:
        for trial in self._running():
            if self._is_abandoned(trial):
                self._study.tell(trial.number, state=OptunaState.FAIL, skip_if_finished=True)

    def _is_abandoned(self, trial: FrozenTrial) -> bool:
        worker = trial.user_attrs.get("worker")
        if worker == self._worker:
            return False
        if not self._storage.shared:
            return True
        started = 0.0 if trial.datetime_start is None else trial.datetime_start.timestamp()
        beat = float(self._study.user_attrs.get(f"alive {worker}", started))
        return time.time() - max(beat, started) > DEAD_AFTER_S

    def _beat(self) -> None:
        self._study.set_user_attr(f"alive {self._worker}", time.time())


def read_trials(storage: Storage) -> dict[str, tuple[Trial, ...]]:
    """Return the trials of every study in a storage, by its name, without resuming anything."""
    names = optuna.get_all_study_names(storage.backend)
    return {name: _records(_counted(optuna.load_study(study_name=name, storage=storage.backend))) for name in names}


def _counted(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that have not failed and have got their index."""
    trials = study.get_trials(deepcopy=False, states=tuple(_STATES))
    return [trial for trial in trials if "index" in trial.user_attrs]


def _records(trials: Iterable[FrozenTrial]) -> tuple[Trial, ...]:
    return tuple(sorted((_record(trial) for trial in trials), key=lambda trial: trial.index))


def _start_beating(beat: Callable[[], None]) -> Callable[[], None]:
    """Call ``beat`` now and then from another thread; return what stops it."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(BEAT_S):
            with suppress(Exception):  # a storage that is busy now may answer the next time
                beat()

    beat()
    thread = threading.Thread(target=run, name="study heartbeat", daemon=True)
    thread.start()

    def stop_and_join() -> None:
        stop.set()
        thread.join()

    return stop_and_join


def _record(trial: FrozenTrial) -> Trial:
    return Trial(
        index=trial.user_attrs["index"],
        state=_STATES[trial.state],
        params=dict(trial.params),
        objective=trial.values[0] if trial.state is OptunaState.COMPLETE else None,
        reason=trial.user_attrs.get("reason"),
        metrics=trial.user_attrs.get("metrics", {}),
        details=trial.user_attrs.get("details", {}),
    )
