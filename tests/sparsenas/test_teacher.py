"""Teachers: the model of any run's checkpoint, frozen; what cannot teach is refused in a line with file and key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tiny_search import RECIPE, SPACE, dataset
from tinyformer.errors import ConfigError, DataError, TinyFormerError
from tinyformer.search_space import SearchSpace, SparsityConfig, preset, sample_path, sample_supernet
from tinyformer.sparsenas.actions import PruningRun
from tinyformer.sparsenas.checkpoint import SparseModel, save_checkpoint
from tinyformer.sparsenas.settings import FinetuneSettings
from tinyformer.sparsenas.teacher import load_teacher
from tinyformer.sparsenas.torch_actions import torch_actions
from tinyformer.study import load_arrays, save_arrays
from tinyformer.supernet import SinglePathModel
from tinyformer.supernet.arrays import to_arrays
from tinyformer.training import fit

MODELS = Path(__file__).parents[2] / "models"
OTHER = preset("digits", SPACE.input_shape, SPACE.classes)  # another space for the same images
CONFIG = sample_supernet(SPACE, np.random.default_rng(0))
PATH = sample_path(CONFIG, np.random.default_rng(1))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def save_model(file: Path, space: SearchSpace) -> SinglePathModel:
    """Write a model of a space with random weights, and return it."""
    config = sample_supernet(space, np.random.default_rng(2))
    path = sample_path(config, np.random.default_rng(3))
    network = SinglePathModel(config, path, torch.Generator().manual_seed(4))
    sparsity = SparsityConfig.uniform(config, space.sparsities[0], 2)
    save_checkpoint(file, SparseModel(space, config, path, sparsity, to_arrays(network)))
    return network.eval()


def test_a_model_of_another_space_teaches(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.safetensors"
    network = save_model(file, OTHER)
    teacher = load_teacher(file, SPACE.input_shape, SPACE.classes)
    assert not teacher.network.training
    assert not any(parameter.requires_grad for parameter in teacher.network.parameters())
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(5))
    rounded = network.half().float()  # as the file keeps it
    torch.testing.assert_close(teacher.network(images), rounded(images).detach(), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("shape", "classes", "words"),
    [
        ((16, 16, 1), 2, r"images \(H, W, C\) \(8, 8, 1\); this run has \(16, 16, 1\)"),
        ((8, 8, 3), 2, r"\(8, 8, 1\); this run has \(8, 8, 3\)"),
        ((8, 8, 1), 3, "classes 2; this run has 3"),
    ],
)
def test_other_images_and_classes_are_refused(
    shape: tuple[int, int, int], classes: int, words: str, tmp_path: Path
) -> None:
    file = tmp_path / "checkpoint.safetensors"
    save_model(file, OTHER)
    with pytest.raises(ConfigError, match=words):
        load_teacher(file, shape, classes)


def test_the_file_counts_not_its_place(tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in ("a", "b", "c"))
    save_model(first, SPACE)
    second.write_bytes(first.read_bytes())
    save_model(third, OTHER)
    digests = [load_teacher(file, SPACE.input_shape, SPACE.classes).sha256 for file in (first, second, third)]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("name", ["tinyformer-120k-cifar10", "tinyformer-300k-cifar10"])
def test_the_models_that_ship_can_teach(name: str) -> None:
    teacher = load_teacher(MODELS / name / "checkpoint.safetensors", (32, 32, 3), 10)
    assert teacher.network(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


def _truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def _describe(file: Path, key: str, value: object) -> None:
    arrays, description = load_arrays(file)
    save_arrays(file, arrays, {**description, key: value})


def _forget(file: Path) -> None:
    """Leave out what earlier versions did not write."""
    arrays, description = load_arrays(file)
    save_arrays(file, arrays, {k: v for k, v in description.items() if k not in ("input_shape", "classes")})


def _weights(file: Path, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    arrays, description = load_arrays(file)
    change(arrays)
    save_arrays(file, arrays, description)


def _no_number(arrays: dict[str, np.ndarray]) -> None:
    arrays["pooling.classifier.bias"][0] = np.nan


def test_a_checkpoint_of_an_earlier_version_teaches(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.safetensors"
    save_model(file, OTHER)
    _forget(file)
    load_teacher(file, SPACE.input_shape, SPACE.classes)
    with pytest.raises(ConfigError, match="its model is for classes 2; this run has 10"):
        load_teacher(file, SPACE.input_shape, 10)


@pytest.mark.parametrize(
    ("harm", "error", "words"),
    [
        (Path.unlink, ConfigError, "No such file"),
        (_truncate, DataError, "not readable"),
        (lambda file: file.write_bytes(b""), DataError, "not readable"),
        (lambda file: save_arrays(file, {"a": np.zeros(1)}, {}), DataError, "another version"),
        (
            lambda file: _describe(file, "input_shape", [32, 32, 3]),
            ConfigError,
            r"\(32, 32, 3\); this run has \(8, 8, 1\)",
        ),
        (lambda file: _describe(file, "classes", 10), ConfigError, "classes 10; this run has 2"),
        (lambda file: _describe(file, "supernet", [1]), DataError, "describes no model"),
        (lambda file: _describe(file, "path", {"pooling": "sum"}), DataError, "describes no model"),
        (lambda file: _describe(file, "sparsity", {}), DataError, "describes no model"),
        (lambda file: _weights(file, _no_number), DataError, "pooling.classifier.bias is not finite"),
        (lambda file: _weights(file, lambda arrays: arrays.popitem()), DataError, "belong to another network"),
    ],
)
def test_what_cannot_teach_is_one_line_with_file_and_key(
    harm: Callable[[Path], object], error: type[TinyFormerError], words: str, tmp_path: Path
) -> None:
    file = tmp_path / "big.safetensors"
    save_model(file, OTHER)
    harm(file)
    with pytest.raises(error, match=words) as caught:
        load_teacher(file, SPACE.input_shape, SPACE.classes)
    message = str(caught.value)
    assert "\n" not in message
    assert "big.safetensors" in message
    assert message.startswith("[finetune] teacher")


def test_stage_two_learns_from_the_teacher_what_the_labels_do_not_say() -> None:
    """With labels that are all alike, the student only gets the classes right when the teacher tells it."""
    data = dataset()
    recipe = replace(RECIPE, distillation=1.0)
    settings = FinetuneSettings(epochs=12, ramp_epochs=4, batch_size=16, learning_rate=5e-3, int8_samples=32)
    teacher = SinglePathModel(CONFIG, PATH, torch.Generator().manual_seed(6))
    long = replace(recipe, epochs=12, batch_size=16, peak_lr=5e-3)
    fit(teacher, data.x_train, data.y_train, long, mean=data.mean, std=data.std, seed=0)
    teacher.eval().requires_grad_(False)
    before = to_arrays(teacher)
    silent = replace(data, y_train=np.zeros_like(data.y_train))
    half = SparsityConfig.uniform(CONFIG, 0.5, 2)
    accuracies = {}
    for name, of in (("taught", teacher), ("alone", None)):
        actions = torch_actions(silent, settings, recipe, teacher=of)
        student = SinglePathModel(CONFIG, PATH, torch.Generator().manual_seed(7))
        actions.prune(student, half, PruningRun(4, 12, seed=0))
        accuracies[name] = actions.accuracy(student)
    assert accuracies["taught"] > 0.85 > accuracies["alone"]
    assert all(np.array_equal(array, before[name]) for name, array in to_arrays(teacher).items())
