"""What a file says of a model is enough to build it, whatever space it was found in."""

import json

import pytest
from hypothesis import HealthCheck, given, settings

from search_space_strategies import Sample, samples
from tinyformer.errors import ConfigError
from tinyformer.search_space import (
    PRESETS,
    layers,
    path_from_dict,
    path_to_dict,
    preset,
    space_of_one_model,
    sparsity_from_dict,
    sparsity_to_dict,
    supernet_from_dict,
    supernet_to_dict,
)
from tinyformer.search_space.candidates import candidate_of

SUPERNET = {
    "dot0.downsample_channels": 8,
    "dot0.mobilenet_channels": 8,
    "dot0.mobilenet_blocks": 1,
    "dot0.transformer_channels": 8,
    "dot0.embedding": 9,
    "dot0.transformer_blocks": 1,
}
PATH = {
    "dot0.downsample": "conv_stride",
    "dot0.mobilenet0": "x7",
    "dot0.transformer0": "l1_h3_m2",
    "pooling": "average",
}


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(samples())
def test_a_model_has_the_same_layers_in_a_space_of_its_own(sample: Sample) -> None:
    space, config = sample.space, sample.config
    described = json.dumps([supernet_to_dict(space, config), path_to_dict(config, sample.path)])
    supernet, path = json.loads(described)
    own = space_of_one_model(space.input_shape, space.classes, supernet, path)
    again = supernet_from_dict(own, supernet)
    assert layers(again, path_from_dict(again, path)) == layers(config, sample.path)
    sparsity = sparsity_to_dict(config, sample.sparsity)
    assert sparsity_to_dict(again, sparsity_from_dict(own, again, sparsity)).keys() == sparsity.keys()


@pytest.mark.parametrize("name", PRESETS)
def test_every_label_names_its_candidate(name: str) -> None:
    candidates = preset(name).candidates
    for kind in ("downsample", "mobilenet", "transformer", "pooling"):
        for candidate in candidates.of(kind):
            assert candidate_of(kind, candidate.label) == candidate


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        ("downsample", "conv_stride_x3"),
        ("downsample", "mobilenet"),
        ("downsample", "pool"),
        ("mobilenet", "x0"),
        ("mobilenet", "x03"),
        ("mobilenet", "3"),
        ("transformer", "l1_h1"),
        ("transformer", "l1_h1_m2 "),
        ("pooling", "max"),
    ],
)
def test_what_is_no_label_is_refused(kind: str, label: str) -> None:
    with pytest.raises(ConfigError, match="allowed"):
        candidate_of(kind, label)


@pytest.mark.parametrize(
    ("supernet", "path", "words"),
    [
        ({**SUPERNET, "dot0.embedding": 8}, PATH, "embedding 8 with 3 heads"),
        ({**SUPERNET, "dot0.downsample_channels": 0}, PATH, "downsample_channels"),
        ({**SUPERNET, "dot0.downsample_channels": "8"}, PATH, "dot0.downsample_channels = 8; allowed: an integer"),
        ({**SUPERNET, "dot2.embedding": 8}, PATH, "dot1.downsample_channels = None"),
        ({}, PATH, "no DoT"),
        (SUPERNET, {**PATH, "dot0.lstm": "x2"}, "dot0.lstm"),
    ],
)
def test_what_is_no_model_is_refused(supernet: dict[str, int], path: dict[str, str], words: str) -> None:
    assert space_of_one_model((8, 8, 1), 2, SUPERNET, PATH).candidates.mobilenet[0].expansion == 7
    with pytest.raises(ConfigError, match=words):
        space_of_one_model((8, 8, 1), 2, supernet, path)
