"""Supernet search with PyTorch, at a small scale."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from search_fakes import fake_resources
from tiny_search import RECIPE, SPACE, dataset
from tinyformer.errors import DataError
from tinyformer.resources import Limits
from tinyformer.search_space import (
    SparsityConfig,
    layer_sparsities,
    path_parameters,
    sample_path,
    sample_supernet,
)
from tinyformer.study import load_arrays, open_storage
from tinyformer.supernas.search import search
from tinyformer.supernas.settings import SupernasSettings
from tinyformer.supernas.torch_actions import UniformPaths, build, prune, restore, torch_actions
from tinyformer.supernet import extract
from tinyformer.supernet.arrays import from_arrays, to_arrays

SETTINGS = SupernasSettings(
    supernets=2, paths=2, sparsities=2, test_paths=4, epochs=15, batch_size=16, learning_rate=1e-2
)
CONFIG = sample_supernet(SPACE, np.random.default_rng(0))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def test_a_supernet_is_restored_from_its_arrays() -> None:
    supernet, images = build(CONFIG, 3).eval(), torch.randn(2, 1, 8, 8)
    path = sample_path(CONFIG, np.random.default_rng(1))
    arrays = to_arrays(supernet)
    again = restore(CONFIG, arrays)
    torch.testing.assert_close(again(images, path), supernet(images, path), rtol=0, atol=0)
    assert not torch.equal(build(CONFIG, 4).eval()(images, path), supernet(images, path))
    next(iter(arrays.values()))[...] = 7  # the arrays are copies
    torch.testing.assert_close(again(images, path), supernet(images, path), rtol=0, atol=0)


def test_arrays_of_another_network_are_refused() -> None:
    arrays = to_arrays(build(CONFIG, 0))
    arrays.pop(next(iter(arrays)))
    with pytest.raises(DataError, match="weights belong to another network"):
        from_arrays(build(CONFIG, 0), arrays)


def test_one_shot_pruning_follows_the_sparsity_configuration() -> None:
    path = sample_path(CONFIG, np.random.default_rng(1))
    sparsity = SparsityConfig.uniform(CONFIG, 0.5, 2)
    model = extract(build(CONFIG, 0), path)
    prune(model, sparsity)
    for name in layer_sparsities(CONFIG, path, sparsity):
        zero = float((model.get_submodule(name).get_parameter("weight") == 0).float().mean())
        assert zero == pytest.approx(0.5, abs=0.1), name


def test_paths_are_uniform_and_follow_from_the_step() -> None:
    paths = UniformPaths(CONFIG, seed=1)
    assert paths.path(5) == UniformPaths(CONFIG, seed=1).path(5)
    for block, parameter in enumerate(path_parameters(CONFIG)):
        counts = Counter(paths.path(step).choices[block] for step in range(300))
        assert len(counts) == len(parameter.choices)
        assert min(counts.values()) > 300 / len(counts) * 0.7


@pytest.mark.slow
def test_the_search_trains_prunes_and_repeats_itself(tmp_path: Path) -> None:
    data = dataset()
    found = []
    for name in ("a", "b"):
        with open_storage(tmp_path / name / "study.jsonl") as storage:
            result = search(
                SPACE,
                Limits(10**6, 10**6),
                fake_resources,
                torch_actions(data, SETTINGS, RECIPE),
                SETTINGS,
                storage=storage,
                directory=tmp_path / name,
            )
            found.append((result.index, result.accuracy, load_arrays(result.weights)[0]))
    assert found[0][:2] == found[1][:2]
    assert found[0][1] > 0.75
    for key, array in found[0][2].items():
        np.testing.assert_array_equal(array, found[1][2][key])
