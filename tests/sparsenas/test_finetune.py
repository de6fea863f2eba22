"""Stage two: the winner is pruned and fine-tuned, once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search_fakes import Calls, Killed, sparsenas_actions
from tinyformer.errors import ConfigError
from tinyformer.search_space import preset, sample_path, sample_sparsity, sample_supernet
from tinyformer.sparsenas.finetune import FinetuneResult, FinetuneSettings, finetune
from tinyformer.study import load_arrays

SPACE = preset("digits")
RNG = np.random.default_rng(1)
SUPERNET = sample_supernet(SPACE, RNG)
PATH = sample_path(SUPERNET, RNG)
SPARSITY = sample_sparsity(SPACE, SUPERNET, RNG)
WEIGHTS = {"value": np.array([0.25])}


def run(folder: Path, calls: Calls | None = None, **rest: Any) -> FinetuneResult:
    rest = {"sparsity": SPARSITY, "settings": FinetuneSettings(), **rest}
    return finetune(
        SUPERNET, PATH, weights=WEIGHTS, actions=sparsenas_actions(calls or Calls()), directory=folder, **rest
    )


def test_the_paper_s_epochs_are_the_default(tmp_path: Path) -> None:
    result = run(tmp_path)
    arrays, description = load_arrays(result.weights)
    assert result.accuracies == {"pruned": arrays["value"][0], "int8": 0.99 * arrays["value"][0]}
    assert FinetuneSettings().epochs == 300
    assert description["settings"] == {}  # all as by default
    assert [p.name for p in tmp_path.iterdir()] == ["finetuned.safetensors"]


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    first = run(tmp_path)
    calls = Calls()
    assert run(tmp_path, calls) == first
    assert calls.names == ["restore", "accuracy", "int8_accuracy"]


@pytest.mark.parametrize("kill_at", range(8))
def test_killed_anywhere_it_ends_as_uninterrupted(kill_at: int, tmp_path: Path) -> None:
    settings = FinetuneSettings(qat_epochs=3)
    expected = run(tmp_path / "whole", settings=settings)
    assert [path.name for path in (tmp_path / "whole").iterdir()] == ["finetuned.safetensors"]
    with pytest.raises(Killed):
        run(tmp_path / "parts", Calls(kill_at), settings=settings)
    result = run(tmp_path / "parts", settings=settings)
    assert result.accuracies == expected.accuracies
    assert result.weights.read_bytes() == expected.weights.read_bytes()


def test_an_interrupted_run_goes_on_from_its_own_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(tmp_path, Calls(2))
    (own,) = tmp_path.iterdir()
    other = sample_sparsity(SPACE, SUPERNET, np.random.default_rng(2))
    with pytest.raises(Killed):
        run(tmp_path, Calls(2), sparsity=other)
    assert len(list(tmp_path.iterdir())) == 2
    run(tmp_path)
    assert not own.exists()


def test_another_winner_is_trained(tmp_path: Path) -> None:
    first = run(tmp_path)
    value = load_arrays(first.weights)[0]["value"][0]
    second = run(tmp_path, settings=replace(FinetuneSettings(), seed=9))
    assert load_arrays(second.weights)[0]["value"][0] != value


def test_without_a_teacher_a_run_is_what_it_was_before_there_were_any(tmp_path: Path) -> None:
    _, description = load_arrays(run(tmp_path).weights)
    assert set(description) == {"path", "sparsity", "settings"}


def test_another_teacher_is_another_training(tmp_path: Path) -> None:
    big = FinetuneSettings(teacher="big.safetensors")
    run(tmp_path, settings=big, teacher="f00d")
    calls = Calls()
    run(tmp_path, calls, settings=FinetuneSettings(teacher="elsewhere/big.safetensors"), teacher="f00d")
    assert "prune" not in calls.names  # the file counts, not its place
    for settings, teacher in ((big, "beef"), (FinetuneSettings(), "")):
        calls = Calls()
        run(tmp_path, calls, settings=settings, teacher=teacher)
        assert "prune" in calls.names


def test_another_teacher_does_not_go_on_from_what_the_first_left_half_done(tmp_path: Path) -> None:
    for teacher in ("f00d", "beef", ""):
        with pytest.raises(Killed):
            run(tmp_path, Calls(2), teacher=teacher)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0, "ramp_epochs": 0},
        {"ramp_epochs": -1},
        {"ramp_epochs": 301},
        {"batch_size": 0},
        {"qat_epochs": -1},
        {"qat_learning_rate": 0.0},
    ],
)
def test_settings_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="allowed"):
        FinetuneSettings(**wrong)


def test_without_epochs_a_model_stays_as_it_is(tmp_path: Path) -> None:
    calls = Calls()
    result = run(tmp_path, calls, settings=FinetuneSettings(epochs=0, ramp_epochs=0, start="model.safetensors"))
    assert load_arrays(result.weights)[0]["value"] == WEIGHTS["value"]
    assert "prune" not in calls.names
    with pytest.raises(ConfigError, match="epochs = 0; allowed: 1 or more, with start also 0"):
        FinetuneSettings(epochs=0, ramp_epochs=0)
    with pytest.raises(ConfigError, match="teacher = 'big' with epochs = 0; allowed: with 1 epoch or more"):
        FinetuneSettings(epochs=0, ramp_epochs=0, start="model.safetensors", teacher="big")


def test_quantisation_aware_epochs_come_last_and_leave_their_log(tmp_path: Path) -> None:
    calls = Calls()
    result = run(tmp_path, calls, settings=FinetuneSettings(qat_epochs=2))
    assert [name for name in calls.names if name in {"prune", "train_quantized"}] == ["prune", "train_quantized"]
    assert [log.name for log in result.logs] == ["finetuning.csv", "quantised.csv"]
    alone = FinetuneSettings(epochs=0, ramp_epochs=0, qat_epochs=2, start="model.safetensors", teacher="big")
    calls = Calls()
    result = run(tmp_path / "alone", calls, settings=alone)
    assert "prune" not in calls.names
    assert [log.name for log in result.logs] == ["quantised.csv"]
