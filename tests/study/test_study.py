"""Studies: the sequence of trials survives every interruption."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from tinyformer.errors import ConfigError
from tinyformer.study import SAMPLER_NAMES, SAMPLERS, OpenTrial, Storage, Study, Trial, TrialState, open_storage
from tinyformer.study import study as study_module

COUNT = 30


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    with open_storage(tmp_path / "study.jsonl") as opened:
        yield opened


def test_the_samplers_have_the_names_that_settings_know() -> None:
    assert tuple(SAMPLERS) == SAMPLER_NAMES


def play(study: Study, trial: OpenTrial) -> Trial | None:
    """Sample a trial and tell its result: the sum of squares, every fifth trial skipped."""
    values = [trial.choose(f"x{i}", range(8)) for i in range(3)]
    if trial.index % 5 == 4:
        return study.skip(trial, "does not fit", metrics={"flash_bytes": 7})
    return study.finish(trial, -float(sum(v * v for v in values)), metrics={"n": 1}, details={"values": values})


def uninterrupted(path: Path, sampler: str, seed: int = 3) -> tuple[Trial, ...]:
    with open_storage(path) as opened, Study(opened, "s", sampler=sampler, seed=seed) as study:
        while (trial := study.ask(COUNT)) is not None:
            play(study, trial)
        return study.trials()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_search_interrupted_in_every_trial_ends_as_an_uninterrupted_one(sampler: str, tmp_path: Path) -> None:
    expected = uninterrupted(tmp_path / "a.jsonl", sampler)
    for index in range(COUNT):
        with open_storage(tmp_path / "b.jsonl") as opened:  # each run ends one trial and dies in the next
            study = Study(opened, "s", sampler=sampler, seed=3)
            first = study.ask(COUNT)
            assert first is not None
            assert first.index == index
            play(study, first)
            second = study.ask(COUNT)
            if second is not None:
                second.choose("x0", range(8))
    with open_storage(tmp_path / "b.jsonl") as opened, Study(opened, "s", sampler=sampler, seed=3) as study:
        assert study.ended(COUNT)
        assert study.trials() == expected
    assert len(expected) == COUNT


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_adaptive_samplers_find_better_trials_than_random(sampler: str, tmp_path: Path) -> None:
    def mean_of_last(name: str) -> float:
        trials = uninterrupted(tmp_path / f"{name}.jsonl", name, seed=1)[-10:]
        values = [trial.objective for trial in trials if trial.objective is not None]
        return sum(values) / len(values)

    assert mean_of_last(sampler) > mean_of_last("random")


def test_random_trials_depend_on_seed_and_index_only(storage: Storage) -> None:
    def draws(name: str, seed: int, objective: float) -> list[tuple[int, int]]:
        found = []
        with Study(storage, name, seed=seed) as study:
            while (trial := study.ask(4)) is not None:
                found.append((trial.choose("x", range(1000)), int(trial.generator().integers(1000))))
                study.finish(trial, objective * trial.index)
        return found

    assert draws("a", 1, 1.0) == draws("b", 1, -1.0)
    assert draws("a2", 2, 1.0) != draws("b2", 1, 1.0)
    assert len(set(draws("c", 5, 1.0))) == 4


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_given_choices_are_taken_and_the_rest_sampled(sampler: str, storage: Storage) -> None:
    given = [{"x": 3, "y": "b"}, {"x": 0, "y": "a"}]
    with Study(storage, sampler, sampler=sampler, seed=1, given=given) as study:
        while (trial := study.ask(2)) is not None:
            x, y = trial.choose("x", range(8)), trial.choose("y", ("a", "b"))
            assert {"x": x, "y": y} == given[trial.index]
            study.finish(trial, float(trial.choose("z", range(8))))
        assert [{k: v for k, v in t.params.items() if k != "z"} for t in study.trials()] == given
        assert all(t.params["z"] in range(8) for t in study.trials())


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_costs_pull_a_sampler_to_the_cheap_end(sampler: str, storage: Storage) -> None:
    def mean_cost(name: str, costs: tuple[str, ...]) -> float:
        with Study(storage, name, sampler=sampler, seed=1, costs=costs) as study:
            while (trial := study.ask(120)) is not None:
                x, y = trial.choose("x", range(8)), trial.choose("y", range(8))
                study.finish(trial, float(x), metrics={"bytes": y})
            assert all(t.objective == t.params["x"] for t in study.trials())
            return sum(t.metrics["bytes"] for t in study.trials()[60:]) / 60

    assert mean_cost("with", ("bytes",)) < 0.8 * mean_cost("without", ())


def test_what_was_told_is_read_back(storage: Storage) -> None:
    with Study(storage, "s", seed=1) as study:
        for _ in range(5):
            trial = study.ask(5)
            assert trial is not None
            play(study, trial)
        finished, skipped = study.trials()[0], study.trials()[4]
    assert finished.state is TrialState.FINISHED
    assert finished.details == {"values": [finished.params[f"x{i}"] for i in range(3)]}
    assert finished.objective == -sum(int(v) ** 2 for v in finished.params.values())
    assert finished.metrics == {"n": 1.0}
    assert finished.reason is None
    assert (skipped.state, skipped.reason, skipped.objective) == (TrialState.SKIPPED, "does not fit", None)
    assert skipped.metrics == {"flash_bytes": 7.0}
    assert skipped.ended
    assert set(skipped.params) == {"x0", "x1", "x2"}


def test_options_keep_their_type(storage: Storage) -> None:
    with Study(storage, "s") as study:
        trial = study.ask(1)
        assert trial is not None
        assert trial.choose("float", (0.3, 0.9)) in (0.3, 0.9)
        assert isinstance(trial.choose("float", (0.3, 0.9)), float)
        assert trial.choose("text", ("a",)) == "a"


def test_the_best_is_the_largest_and_the_first_of_equals(storage: Storage) -> None:
    with Study(storage, "s") as study:
        assert study.best() is None
        for objective in (1.0, 5.0, 5.0, 2.0):
            trial = study.ask(4)
            assert trial is not None
            study.finish(trial, objective)
        best = study.best()
    assert best is not None
    assert best.index == 1


def test_several_trials_may_be_open_and_end_in_any_order(storage: Storage) -> None:
    with Study(storage, "s") as study:
        opened = [study.ask(3) for _ in range(3)]
        assert study.ask(3) is None
        assert not study.ended(3)
        for trial in reversed(opened):
            assert trial is not None
            study.finish(trial, float(trial.index))
        assert study.ended(3)
        assert [trial.index for trial in study.trials()] == [0, 1, 2]
        extended = study.ask(4)
        assert extended is not None
        assert extended.index == 3


def test_closing_gives_up_open_trials_at_once(storage: Storage) -> None:
    with Study(storage, "s") as study:
        assert study.ask(1) is not None
    with Study(storage, "s") as study:
        again = study.ask(1)
        assert again is not None
        assert again.index == 0


def test_a_trial_that_another_process_has_taken_over_is_not_told_twice(storage: Storage) -> None:
    """A process that was suspended for long finds its trial failed and repeated."""
    with Study(storage, "s") as suspended:
        trial = suspended.ask(1)
        assert trial is not None
        with Study(storage, "s") as other:  # of a storage that is not shared: what others run is abandoned
            repeated = other.ask(1)
            assert repeated is not None
            assert suspended.finish(trial, 1.0) is None
            assert suspended.skip(trial, "late") is None
            other.finish(repeated, 2.0)
        assert [record.objective for record in suspended.trials()] == [2.0]


def test_a_heart_beats_on_after_a_beat_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_module, "BEAT_S", 0.001)
    beats, went_on = [], threading.Event()

    def beat() -> None:
        beats.append(len(beats))
        if len(beats) == 2:
            raise OSError("database is locked")
        if len(beats) == 4:
            went_on.set()

    stop = study_module._start_beating(beat)
    assert went_on.wait(10)
    stop()


def test_resuming_with_other_settings_names_the_difference(storage: Storage) -> None:
    Study(storage, "s", seed=1, settings={"epochs": 10}).close()
    Study(storage, "s", seed=1, settings={"epochs": 10}).close()
    with pytest.raises(ConfigError, match="made with epochs = 10, now 20"):
        Study(storage, "s", seed=1, settings={"epochs": 20})
    with pytest.raises(ConfigError, match="made with seed = 1, now 2"):
        Study(storage, "s", seed=2, settings={"epochs": 10})


def test_an_unknown_sampler_is_refused_with_the_known_ones(storage: Storage) -> None:
    with pytest.raises(ConfigError, match="sampler 'grid': unknown; choose one of random, tpe, nsga2"):
        Study(storage, "s", sampler="grid")


def test_an_objective_must_be_finite(storage: Storage) -> None:
    with Study(storage, "s") as study:
        trial = study.ask(1)
        assert trial is not None
        with pytest.raises(ValueError, match="objective is nan"):
            study.finish(trial, float("nan"))


def test_optuna_says_nothing(storage: Storage, capfd: pytest.CaptureFixture[str]) -> None:
    with Study(storage, "s", sampler="tpe") as study:
        while (trial := study.ask(15)) is not None:
            play(study, trial)
    assert capfd.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == optuna.logging.ERROR
