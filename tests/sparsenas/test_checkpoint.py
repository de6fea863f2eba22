"""Checkpoints: a model comes back, in half precision and with its zeros; what is not one is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tinyformer.errors import ConfigError, DataError
from tinyformer.pruning import one_shot
from tinyformer.search_space import (
    SparsityConfig,
    layer_sparsities,
    path_to_dict,
    preset,
    sample_path,
    sample_supernet,
    sparsity_to_dict,
)
from tinyformer.sparsenas.checkpoint import SparseModel, load_checkpoint, save_checkpoint
from tinyformer.study import save_arrays
from tinyformer.supernet import SinglePathModel
from tinyformer.supernet.arrays import to_arrays

SPACE = preset("digits")


@pytest.fixture(scope="module")
def model() -> SparseModel:
    config = sample_supernet(SPACE, np.random.default_rng(0))
    path = sample_path(config, np.random.default_rng(1))
    sparsity = SparsityConfig.uniform(config, SPACE.sparsities[0], 2)
    network = SinglePathModel(config, path, torch.Generator().manual_seed(2))
    one_shot(network, layer_sparsities(config, path, sparsity))
    return SparseModel(SPACE, config, path, sparsity, to_arrays(network))


def test_a_model_comes_back(model: SparseModel, tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.safetensors"
    save_checkpoint(file, model)
    again = load_checkpoint(file, SPACE.input_shape, SPACE.classes)
    assert again.supernet.dots == model.supernet.dots
    assert path_to_dict(again.supernet, again.path) == path_to_dict(model.supernet, model.path)
    assert sparsity_to_dict(again.supernet, again.sparsity) == sparsity_to_dict(model.supernet, model.sparsity)
    assert again.weights.keys() == model.weights.keys()
    for name, array in model.weights.items():
        assert again.weights[name].dtype == array.dtype
        np.testing.assert_allclose(again.weights[name], array, rtol=1e-3, atol=1e-7)
        np.testing.assert_array_equal(again.weights[name] == 0, array == 0)
    floats = sum(array.size for array in model.weights.values() if array.dtype == np.float32)
    assert file.stat().st_size < 2 * floats + 50_000


def test_what_comes_back_can_be_written_again(model: SparseModel, tmp_path: Path) -> None:
    """Its space is that of it alone, whatever it was found in."""
    first, second = tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    save_checkpoint(first, model)
    again = load_checkpoint(first, SPACE.input_shape, SPACE.classes)
    assert again.space != SPACE
    save_checkpoint(second, again)
    assert first.read_bytes() == second.read_bytes()


def test_a_model_for_other_images_is_refused(model: SparseModel, tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.safetensors"
    save_checkpoint(file, model)
    with pytest.raises(ConfigError, match=r"checkpoint.safetensors.*images.*\(8, 8, 1\); this run has \(32, 32, 3\)"):
        load_checkpoint(file, (32, 32, 3), SPACE.classes)
    with pytest.raises(ConfigError, match=r"classes 10; this run has 3"):
        load_checkpoint(file, SPACE.input_shape, 3)


def test_other_files_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    save_arrays(file, {"a": np.zeros(3, np.float32)}, {})
    with pytest.raises(DataError, match="format 1"):
        load_checkpoint(file, SPACE.input_shape, SPACE.classes)
    with pytest.raises(DataError, match="not readable"):
        load_checkpoint(tmp_path / "none.safetensors", SPACE.input_shape, SPACE.classes)
