"""Single-path search and stage two with PyTorch and onnxruntime, at a small scale."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from search_fakes import fake_resources
from tiny_search import RECIPE, SPACE, dataset
from tinyformer import data
from tinyformer.pruning import GradualPruning
from tinyformer.quantization import CalibrationSettings, QuantizationSettings
from tinyformer.resources import Limits
from tinyformer.search_space import SparsityConfig, layer_sparsities, preset, sample_path, sample_supernet
from tinyformer.sparsenas import finetune as stage_two
from tinyformer.sparsenas import search as stage_one
from tinyformer.sparsenas import torch_actions as torch_actions_module
from tinyformer.sparsenas.actions import PruningRun, QuantizedRun
from tinyformer.sparsenas.settings import FinetuneSettings, SparsenasSettings
from tinyformer.sparsenas.torch_actions import inherit, restore, torch_actions
from tinyformer.study import load_arrays, open_storage
from tinyformer.supernet import SinglePathModel, Supernet, extract
from tinyformer.supernet.arrays import to_arrays
from tinyformer.training.settings import PRESETS as TRAINING

SETTINGS = SparsenasSettings(
    candidates=2, epochs=4, prune_epochs=4, ramp_epochs=3, batch_size=16, learning_rate=5e-3, int8_samples=32
)
CONFIG = sample_supernet(SPACE, np.random.default_rng(0))
PATH = sample_path(CONFIG, np.random.default_rng(1))
HALF = SparsityConfig.uniform(CONFIG, 0.5, 2)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    return Supernet(CONFIG, torch.Generator().manual_seed(0)).eval()


def test_a_path_inherits_the_supernets_weights(supernet: Supernet) -> None:
    images = torch.randn(2, 1, 8, 8)
    model = inherit(CONFIG, PATH, to_arrays(supernet)).eval()
    torch.testing.assert_close(model(images), supernet(images, PATH), rtol=0, atol=0)
    again = restore(CONFIG, PATH, to_arrays(model)).eval()
    torch.testing.assert_close(again(images), model(images), rtol=0, atol=0)


def test_iterative_pruning_reaches_the_sparsity_and_goes_on_from_its_checkpoint(
    supernet: Supernet, tmp_path: Path
) -> None:
    actions = torch_actions(dataset(), SETTINGS, RECIPE)
    checkpoint = tmp_path / "half.safetensors"
    weights = []
    for run in (PruningRun(2, 3, seed=1), PruningRun(2, 3, seed=1, checkpoint=checkpoint)):
        model = extract(supernet, PATH)
        actions.prune(model, HALF, run)
        weights.append(to_arrays(model))
    again = extract(supernet, PATH)
    actions.prune(again, HALF, PruningRun(2, 3, seed=1, checkpoint=checkpoint))  # which is finished
    for name, array in weights[0].items():
        np.testing.assert_array_equal(array, weights[1][name])
        np.testing.assert_array_equal(array, to_arrays(again)[name])
    for name in layer_sparsities(CONFIG, PATH, HALF):
        assert np.mean(weights[0][f"{name}.weight"] == 0) == pytest.approx(0.5, abs=0.1)


def test_sparsity_rises_during_the_ramp_only(supernet: Supernet, monkeypatch: pytest.MonkeyPatch) -> None:
    rises: list[float] = []

    class Watched(GradualPruning):
        def on_epoch(self, state: Any) -> None:
            weight = state.model.get_submodule(next(iter(self.targets))).get_parameter("weight")
            rises.append(float((weight == 0).float().mean()))

    monkeypatch.setattr(torch_actions_module, "GradualPruning", Watched)
    torch_actions(dataset(), SETTINGS, RECIPE).prune(extract(supernet, PATH), HALF, PruningRun(2, 4, seed=1))
    assert rises[0] < rises[1] == rises[2] == rises[3]


@pytest.mark.slow
def test_quantisation_aware_training_wins_back_what_coarse_ranges_cost(tmp_path: Path) -> None:
    """Ranges that clip every fifth value ruin the int8 model, until it is trained with them; zeros stay zero."""
    digits, space = data.load("digits", validation_fraction=0.3), preset("digits")
    config = sample_supernet(space, np.random.default_rng(0))
    path = sample_path(config, np.random.default_rng(1))
    sparsity = SparsityConfig.uniform(config, 0.6, 2)
    clipping = QuantizationSettings(CalibrationSettings("percentile", 80.0, samples=64))
    settings = SparsenasSettings(batch_size=64, learning_rate=6e-3, int8_samples=400)
    actions = torch_actions(digits, settings, TRAINING["digits"], clipping)
    model = SinglePathModel(config, path, torch.Generator().manual_seed(0))
    actions.prune(model, sparsity, PruningRun(4, 8, seed=1))
    pruned = to_arrays(model)
    before = actions.int8_accuracy(model)
    log = tmp_path / "quantised.csv"
    actions.train_quantized(model, sparsity, QuantizedRun(3, 1e-3, 1, tmp_path / "half.safetensors", log))
    after = actions.int8_accuracy(model)
    assert before < 0.6
    assert after > 0.8
    with log.open(newline="") as file:
        simulated = float(list(csv.DictReader(file))[-1]["validation_accuracy"])
    assert simulated == pytest.approx(after, abs=0.04)
    for name in layer_sparsities(config, path, sparsity):
        was_zero = pruned[f"{name}.weight"] == 0
        assert not to_arrays(model)[f"{name}.weight"][was_zero].any(), name


def test_a_long_run_writes_a_log_and_is_watched(supernet: Supernet, tmp_path: Path) -> None:
    class Watch:
        steps = 0

        def on_start(self, state: Any) -> None: ...
        def on_gradients(self, state: Any) -> None: ...
        def on_epoch(self, state: Any) -> None: ...
        def on_step(self, state: Any) -> None:
            self.steps += 1

    watch, log, names = Watch(), tmp_path / "half.csv", []
    actions = torch_actions(dataset(), SETTINGS, RECIPE, watch=lambda name: names.append(name) or [watch])
    actions.prune(extract(supernet, PATH), HALF, PruningRun(1, 2, seed=1, log=log, name="half"))
    assert names == ["half"]
    with log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert all(0 <= float(row["validation_accuracy"]) <= 1 for row in rows)
    assert watch.steps == 2 * (len(dataset().x_train) // SETTINGS.batch_size)


def test_judging_prunes_at_once_and_recalibrates(supernet: Supernet) -> None:
    data = dataset()
    actions = torch_actions(data, SETTINGS, RECIPE)
    model = actions.inherit(CONFIG, PATH, to_arrays(supernet))
    dense = to_arrays(model)
    accuracy = actions.judge(model, HALF)
    judged = to_arrays(model)
    assert accuracy == actions.accuracy(model)
    for name in layer_sparsities(CONFIG, PATH, HALF):
        kept = judged[f"{name}.weight"] != 0
        assert np.mean(kept) == pytest.approx(0.5, abs=0.1), name
        np.testing.assert_array_equal(judged[f"{name}.weight"][kept], dense[f"{name}.weight"][kept])
    means = [name for name in judged if name.endswith("running_mean")]
    assert means
    assert all(not np.array_equal(judged[name], dense[name]) for name in means)


@pytest.mark.slow
def test_search_and_stage_two(supernet: Supernet, tmp_path: Path) -> None:
    data, limits = dataset(), Limits(10**6, 10**6)
    with open_storage(tmp_path / "study.jsonl") as storage:
        found = stage_one.search(
            SPACE,
            CONFIG,
            to_arrays(supernet),
            limits,
            fake_resources,
            torch_actions(data, SETTINGS, RECIPE),
            SETTINGS,
            storage=storage,
            directory=tmp_path,
        )
    assert found.accuracies["float"] > 0.75
    assert found.accuracies["int8"] == pytest.approx(found.accuracies["pruned"], abs=0.15)
    settings = FinetuneSettings(epochs=5, ramp_epochs=2, batch_size=16, learning_rate=5e-3, int8_samples=32)
    trained, _ = load_arrays(found.trained_weights)
    tuned = stage_two.finetune(
        CONFIG,
        found.path,
        found.sparsity,
        trained,
        torch_actions(data, settings, RECIPE),
        settings,
        directory=tmp_path,
    )
    assert tuned.accuracies["pruned"] > 0.75
    arrays, _ = load_arrays(tuned.weights)
    for name, target in layer_sparsities(CONFIG, found.path, found.sparsity).items():
        assert np.mean(arrays[f"{name}.weight"] == 0) >= target.sparsity - 0.1, name
