import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from search_space_strategies import Sample, samples, search_spaces
from tinyformer.errors import ConfigError
from tinyformer.search_space import (
    PRESETS,
    SPARSITIES,
    BlockSparsity,
    Candidates,
    DotSpace,
    MobileNetCandidate,
    Path,
    SearchSpace,
    SparsityConfig,
    TransformerCandidate,
    path_from_dict,
    path_parameters,
    path_to_dict,
    preset,
    sample_path,
    sample_sparsity,
    sample_supernet,
    sparsity_from_dict,
    sparsity_parameters,
    sparsity_to_dict,
    supernet_from_dict,
    supernet_parameters,
    supernet_to_dict,
)


def _through_json(values: dict[str, object]) -> dict[str, object]:
    return json.loads(json.dumps(values))


@given(samples())
@settings(max_examples=60, deadline=None)
def test_dicts_give_back_what_they_came_from(sample: Sample):
    space, config, path, sparsity = sample
    assert supernet_from_dict(space, _through_json(supernet_to_dict(space, config))) == config
    assert path_from_dict(config, _through_json(path_to_dict(config, path))) == path
    assert sparsity_from_dict(space, config, _through_json(sparsity_to_dict(config, sparsity))) == sparsity


@given(search_spaces())
@settings(max_examples=30, deadline=None)
def test_a_seed_repeats_its_samples(space: SearchSpace):
    def draw(seed: int):
        rng = np.random.default_rng(seed)
        config = sample_supernet(space, rng)
        return config, sample_path(config, rng), sample_sparsity(space, config, rng)

    assert draw(7) == draw(7)


@given(samples())
@settings(max_examples=40, deadline=None)
def test_parameters_name_every_value_once(sample: Sample):
    space, config, path, sparsity = sample
    for parameters, values in (
        (supernet_parameters(space), supernet_to_dict(space, config)),
        (path_parameters(config), path_to_dict(config, path)),
        (sparsity_parameters(space, config), sparsity_to_dict(config, sparsity)),
    ):
        assert [p.name for p in parameters] == list(values)
        assert all(values[p.name] in p.choices for p in parameters)


def test_every_value_is_sampled():
    space = preset("normal")
    rng = np.random.default_rng(0)
    config = sample_supernet(space, rng)
    seen = {name: set() for name, _ in ((p.name, p.choices) for p in sparsity_parameters(space, config))}
    for _ in range(200):
        for name, value in sparsity_to_dict(config, sample_sparsity(space, config, rng)).items():
            seen[name].add(value)
    assert seen["pooling.sparsity"] == set(SPARSITIES)
    assert seen["pooling.block"] == {2, 4}


def test_choice_blocks_of_two_dots():
    space = preset("small", input_shape=(8, 8, 1))
    values = supernet_to_dict(space, sample_supernet(space, np.random.default_rng(0)))
    config = supernet_from_dict(space, {**values, "dot0.mobilenet_blocks": 2, "dot1.mobilenet_blocks": 1})
    blocks = config.blocks()
    assert [block.id for block in blocks] == [
        "dot0.downsample",
        "dot0.mobilenet0",
        "dot0.mobilenet1",
        "dot0.transformer0",
        "dot1.downsample",
        "dot1.mobilenet0",
        "dot1.transformer0",
        "pooling",
    ]
    assert [block.input_shape[:2] for block in blocks] == [(8, 8), *[(4, 4)] * 4, *[(2, 2)] * 3]
    assert blocks[-1].channels == 10


def test_without_transformer_there_are_no_transformer_blocks():
    space = replace(preset("normal"), transformer=False)
    assert not any("transformer" in p.name or "embedding" in p.name for p in supernet_parameters(space))
    config = sample_supernet(space, np.random.default_rng(0))
    assert {block.kind for block in config.blocks()} == {"downsample", "mobilenet", "pooling"}


def test_a_single_dot():
    space = replace(preset("normal"), dots=preset("normal").dots[:1])
    config = sample_supernet(space, np.random.default_rng(0))
    assert {block.id.partition(".")[0] for block in config.blocks()} == {"dot0", "pooling"}


def test_dense_blocks_have_one_block_size():
    space = preset("normal")
    config = sample_supernet(space, np.random.default_rng(0))
    values = sparsity_to_dict(config, SparsityConfig.uniform(config, 0.0, 4))
    assert sparsity_from_dict(space, config, values) == SparsityConfig.uniform(config, 0.0, 2)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_take_another_input(name: str):
    space = preset(name, input_shape=(28, 28, 1), classes=7)
    assert (space.input_shape, space.classes) == ((28, 28, 1), 7)
    sample_supernet(space, np.random.default_rng(0))


DOT = DotSpace((8,), (8,), (1,), (8,), (6,), (1,))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input_shape": (8, 0, 1)}, "input shape"),
        ({"classes": 1}, "classes"),
        ({"dots": ()}, "no DoT"),
        ({"sparsities": (0.25,)}, "sparsities"),
        ({"block_sizes": (3,)}, "block sizes"),
        ({"candidates": Candidates(transformer=(TransformerCandidate(1, 4, 1),))}, "4 heads"),
    ],
)
def test_a_wrong_space_is_refused(change: dict[str, object], message: str):
    space = SearchSpace("space", (8, 8, 1), 10, (DOT,))
    with pytest.raises(ConfigError, match=message):
        replace(space, **change)


def test_wrong_values_are_refused():
    space = SearchSpace("space", (8, 8, 1), 10, (DOT,))
    config = sample_supernet(space, np.random.default_rng(0))
    with pytest.raises(ConfigError, match=r"dot0\.embedding' = 7; allowed: one of \(6,\)"):
        supernet_from_dict(space, {**supernet_to_dict(space, config), "dot0.embedding": 7})
    with pytest.raises(ConfigError, match=r"'dot0\.downsample' is missing"):
        path_from_dict(config, {})
    with pytest.raises(ConfigError, match="not in search space"):
        supernet_to_dict(space, replace(config, classes=11))
    with pytest.raises(ConfigError, match="4 choice blocks"):
        Path((0,)).candidates(config)
    with pytest.raises(ConfigError, match="candidate 9 of dot0"):
        Path((9, 0, 0, 0)).candidates(config)
    with pytest.raises(ConfigError, match="4 choice blocks"):
        SparsityConfig(()).by_block(config)
    with pytest.raises(ConfigError, match="embedding"):
        replace(DOT, embedding=())
    with pytest.raises(ConfigError, match="listed twice"):
        Candidates(mobilenet=(MobileNetCandidate(2), MobileNetCandidate(2)))
    with pytest.raises(ConfigError, match="sparsity 1"):
        BlockSparsity(1.0, 2)
    with pytest.raises(ConfigError, match="allowed: digits, small, normal, large"):
        preset("huge")
