"""Screening: the supernet's weights say which candidates are worth training, whatever interrupts it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search_fakes import Calls, Killed, fake_resources, sparsenas_actions
from tinyformer.errors import ConfigError, DoesNotFitError
from tinyformer.resources import Limits
from tinyformer.search_space import path_from_dict, preset, sample_supernet, sparsity_from_dict
from tinyformer.sparsenas.screening import Screened, screen
from tinyformer.sparsenas.search import SparsenasResult, search
from tinyformer.sparsenas.settings import SparsenasSettings
from tinyformer.study import Trial, TrialState, open_storage, read_trials

SPACE = preset("digits")
SUPERNET = sample_supernet(SPACE, np.random.default_rng(1))
WEIGHTS = {"value": np.array([0.25])}
LIMITS = Limits(66_000, 29_000)
SETTINGS = SparsenasSettings(candidates=4, screened=30, seed=1)


def both(
    folder: Path, calls: Calls | None = None, settings: SparsenasSettings = SETTINGS, limits: Limits = LIMITS
) -> tuple[Screened, SparsenasResult]:
    what: Any = (SPACE, SUPERNET, WEIGHTS, limits, fake_resources, sparsenas_actions(calls or Calls()), settings)
    with open_storage(folder / "study.jsonl") as storage:
        screened = screen(*what, storage=storage)
        return screened, search(*what, storage=storage, directory=folder, chosen=screened.choices)


def trials(folder: Path, name: str) -> tuple[Trial, ...]:
    with open_storage(folder / "study.jsonl") as storage:
        return read_trials(storage)[name]


def test_the_candidates_judged_best_are_the_ones_that_train(tmp_path: Path) -> None:
    calls = Calls()
    screened, found = both(tmp_path, calls)
    judged = [t for t in trials(tmp_path, "screening") if t.objective is not None]
    assert 4 < len(judged) < 30
    assert calls.names.count("judge") == len(judged)
    assert calls.names.count("train") == 4
    assert calls.names.index("train") > len(judged)
    best = sorted(judged, key=lambda t: -(t.objective or 0.0))[:4]
    trained = trials(tmp_path, "sparsenas")
    assert [t.params for t in trained] == [t.params for t in best] == list(screened.choices[:4])
    assert found.candidates.seen == found.candidates.accepted == 4
    assert screened.candidates.seen == 30
    assert found.path == path_from_dict(SUPERNET, trained[found.index].params)


def test_what_does_not_fit_is_not_judged(tmp_path: Path) -> None:
    screened, _ = both(tmp_path)
    skipped = [t for t in trials(tmp_path, "screening") if t.state is TrialState.SKIPPED]
    assert sum(screened.candidates.skipped.values()) == len(skipped) > 0
    assert {t.reason for t in skipped} <= {"over flash", "over RAM", "over flash and RAM"}


def test_equal_candidates_train_once(tmp_path: Path) -> None:
    space = replace(SPACE, sparsities=(0.0,), block_sizes=(2, 4))  # dense models: the block size means nothing
    what: Any = (space, SUPERNET, WEIGHTS, Limits(10**9, 10**9), fake_resources, sparsenas_actions(Calls()))
    settings = replace(SETTINGS, screened=60, candidates=60)
    with open_storage(tmp_path / "study.jsonl") as storage:
        screened = screen(*what, settings, storage=storage)
        found = search(*what, settings, storage=storage, directory=tmp_path, chosen=screened.choices)
    models = [(path_from_dict(SUPERNET, c), sparsity_from_dict(space, SUPERNET, c)) for c in screened.choices]
    assert len(set(models)) == len(models) < 60
    assert found.candidates.seen == len(models)


def test_killed_in_any_action_it_ends_as_uninterrupted(tmp_path: Path) -> None:
    settings = replace(SETTINGS, screened=6, candidates=2)
    calls = Calls()
    expected = both(tmp_path / "whole", calls, settings)[1]
    assert calls.names.count("judge") >= 2
    for kill_at in range(len(calls.names)):
        folder = tmp_path / str(kill_at)
        with pytest.raises(Killed):
            both(folder, Calls(kill_at), settings)
        found = both(folder, settings=settings)[1]
        assert (found.index, found.accuracies, found.candidates) == (
            expected.index,
            expected.accuracies,
            expected.candidates,
        )
        assert trials(folder, "sparsenas") == trials(tmp_path / "whole", "sparsenas")
        assert trials(folder, "screening") == trials(tmp_path / "whole", "screening")


def test_a_finished_search_does_nothing_again_and_more_candidates_extend_it(tmp_path: Path) -> None:
    first, calls = both(tmp_path), Calls()
    assert both(tmp_path, calls) == first
    assert calls.names == []
    both(tmp_path, calls, replace(SETTINGS, candidates=5))
    assert (calls.names.count("judge"), calls.names.count("train")) == (0, 1)


def test_another_screening_is_another_search(tmp_path: Path) -> None:
    both(tmp_path)
    with pytest.raises(ConfigError, match="made with screened = 30, now 40"):
        both(tmp_path, settings=replace(SETTINGS, screened=40))


def test_nothing_that_fits_is_an_error_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(DoesNotFitError, match=r"none of 30 candidates .* over (flash and )?RAM"):
        both(tmp_path, limits=Limits(66_000, 1_000))


def test_fewer_screened_than_trained_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"screened = 3; allowed: 0, or candidates \(4\)"):
        replace(SETTINGS, screened=3)
