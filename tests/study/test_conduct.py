"""The loop that every search shares."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tinyformer.study import (
    InProcessExecutor,
    OpenTrial,
    Outcome,
    Skip,
    Study,
    Tally,
    Trial,
    TrialState,
    conduct,
    open_storage,
)
from tinyformer.study import study as study_module


def prepare(trial: OpenTrial) -> int | Skip:
    x = trial.choose("x", range(50))
    return Skip("multiple of three", {"x": x}) if x % 3 == 0 else x


def conclude(trial: OpenTrial, x: int, square: int) -> Outcome | Skip:
    return Skip("even", details={"square": square}) if x % 2 == 0 else Outcome(float(square), {"x": x})


def run(study: Study, seen: list[Trial] | None = None, count: int = 12) -> None:
    conduct(
        study,
        count,
        prepare=prepare,
        evaluate=lambda x: x * x,
        conclude=conclude,
        executor=InProcessExecutor(),
        observe=None if seen is None else lambda _, trial: seen.append(trial),
        poll_s=0.01,
    )


def test_every_trial_ends_and_is_shown(tmp_path: Path) -> None:
    seen: list[Trial] = []
    with open_storage(tmp_path / "s") as storage, Study(storage, "s") as study:
        run(study, seen)
        assert study.trials() == tuple(seen)
        run(study, seen)  # nothing is left to do
    assert [trial.index for trial in seen] == list(range(12))
    for trial in seen:
        x = int(trial.params["x"])
        expected = "multiple of three" if x % 3 == 0 else "even" if x % 2 == 0 else None
        assert trial.reason == expected
        assert trial.objective == (None if expected else float(x * x))
    assert {trial.state for trial in seen} == {TrialState.FINISHED, TrialState.SKIPPED}


def test_what_an_evaluation_raises_leaves_the_trial_to_be_repeated(tmp_path: Path) -> None:
    def broken(x: int) -> int:
        raise ZeroDivisionError(x)

    with open_storage(tmp_path / "s") as storage:
        with pytest.raises(ZeroDivisionError), Study(storage, "s") as study:
            conduct(study, 12, prepare=prepare, evaluate=broken, conclude=conclude, executor=InProcessExecutor())
        with Study(storage, "s") as study:
            run(study)
            repeated = study.trials()
    with open_storage(tmp_path / "whole") as storage, Study(storage, "s") as study:
        run(study)
        assert repeated == study.trials()


def test_trials_of_a_process_that_dies_are_waited_for_and_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            monkeypatch.setattr(study_module, "DEAD_AFTER_S", -1.0)

    with open_storage(f"sqlite:///{tmp_path / 's.db'}") as storage:
        other = Study(storage, "s")
        assert other.ask(3) is not None
        with Study(storage, "s") as study:
            monkeypatch.setattr(time, "sleep", sleep)
            run(study, count=3)
            monkeypatch.undo()
            assert study.ended(3)
        other.close()
    assert slept == [0.01] * 3


def test_a_tally_counts_reasons(tmp_path: Path) -> None:
    with open_storage(tmp_path / "s") as storage, Study(storage, "s") as study:
        run(study)
        study.ask(13)
        xs = [int(trial.params["x"]) for trial in study.trials() if trial.ended]
        tally = Tally.of(study.trials())
    threes, evens = sum(x % 3 == 0 for x in xs), sum(x % 3 != 0 and x % 2 == 0 for x in xs)
    assert tally == Tally(12, 12 - threes - evens, {"multiple of three": threes, "even": evens})
    assert list(tally.skipped.values()) == sorted(tally.skipped.values(), reverse=True)
