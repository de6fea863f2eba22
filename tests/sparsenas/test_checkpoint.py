"""Checkpoints: a model comes back, in half precision and with its zeros; what is not one is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tinyformer.errors import ConfigError, DataError
from tinyformer.pruning import one_shot
from tinyformer.search_space import SparsityConfig, layer_sparsities, preset, sample_path, sample_supernet
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
    return SparseModel(config, path, sparsity, to_arrays(network))


def test_a_model_comes_back(model: SparseModel, tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.safetensors"
    save_checkpoint(file, SPACE, model)
    again = load_checkpoint(file, SPACE)
    assert (again.supernet, again.path, again.sparsity) == (model.supernet, model.path, model.sparsity)
    assert again.weights.keys() == model.weights.keys()
    for name, array in model.weights.items():
        assert again.weights[name].dtype == array.dtype
        np.testing.assert_allclose(again.weights[name], array, rtol=1e-3, atol=1e-7)
        np.testing.assert_array_equal(again.weights[name] == 0, array == 0)
    floats = sum(array.size for array in model.weights.values() if array.dtype == np.float32)
    assert file.stat().st_size < 2 * floats + 50_000


def test_a_model_of_another_space_is_refused(model: SparseModel, tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.safetensors"
    save_checkpoint(file, SPACE, model)
    with pytest.raises(ConfigError, match=r"checkpoint.safetensors.*not in the run file's space"):
        load_checkpoint(file, preset("small"))


def test_other_files_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    save_arrays(file, {"a": np.zeros(3, np.float32)}, {})
    with pytest.raises(DataError, match="format 1"):
        load_checkpoint(file, SPACE)
    with pytest.raises(DataError, match="not readable"):
        load_checkpoint(tmp_path / "none.safetensors", SPACE)
