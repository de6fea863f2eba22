import subprocess
import sys
from dataclasses import replace
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings

from search_space_strategies import Sample, samples
from tinyformer.search_space import (
    INPUT,
    BlockSparsity,
    DownsampleCandidate,
    LayerSpec,
    SearchSpace,
    SparsityConfig,
    count_parameters,
    expanded_channels,
    layer_sparsities,
    layers,
    path_from_dict,
    path_to_dict,
    preset,
    sample_path,
    sample_supernet,
)


def _path(space: SearchSpace, **candidates: str):
    rng = np.random.default_rng(0)
    config = sample_supernet(space, rng)
    values = path_to_dict(config, sample_path(config, rng))
    return config, path_from_dict(config, values | {k.replace("__", "."): v for k, v in candidates.items()})


@given(samples())
@settings(max_examples=80, deadline=None)
def test_every_layer_reads_what_is_computed_before(sample: Sample):
    specs = layers(sample.config, sample.path)
    shapes = {INPUT: sample.space.input_shape}
    for spec in specs:
        assert spec.input_shapes == tuple(shapes[name] for name in spec.inputs)
        assert spec.name not in shapes
        assert spec.name.startswith(f"{spec.block}.")
        shapes[spec.name] = spec.output_shape
    assert specs[-1].output_shape == (sample.space.classes,)
    read = {name for spec in specs for name in spec.inputs}
    assert read | {specs[-1].name} == set(shapes)


@given(samples())
@settings(max_examples=80, deadline=None)
def test_kinds_have_their_shapes(sample: Sample):
    for spec in layers(sample.config, sample.path):
        if spec.kind in ("reshape", "transpose"):
            assert prod(spec.output_shape) == prod(spec.input_shapes[0])
        if spec.kind in ("add", "softmax", "layer_norm"):
            assert {*spec.input_shapes, spec.output_shape} == {spec.output_shape}
        if spec.kind in ("conv2d", "depthwise_conv2d", "max_pool2d", "avg_pool2d"):
            for axis in (0, 1):
                room = spec.input_shapes[0][axis] + spec.padding[axis] + spec.padding[axis + 2] - spec.kernel[axis]
                assert spec.output_shape[axis] == room // spec.stride[axis] + 1


@given(samples())
@settings(max_examples=40, deadline=None)
def test_images_are_what_convolutions_read_and_write(sample: Sample):
    images = {INPUT}
    for spec in layers(sample.config, sample.path):
        spatial = spec.kind in ("conv2d", "depthwise_conv2d", "max_pool2d", "avg_pool2d")
        residual = spec.kind == "add" and spec.inputs[0] in images
        assert spec.image == (spatial or residual or spec.name.endswith(".image"))
        assert not spatial or spec.inputs[0] in images
        images |= {spec.name} if spec.image else set()


def test_candidates_of_a_block_give_one_shape():
    space = preset("small", input_shape=(15, 9, 3))
    config = sample_supernet(space, np.random.default_rng(0))
    for index, block in enumerate(config.blocks()[:-1]):
        outputs = set()
        for choice in range(len(block.candidates)):
            choices = [0] * len(config.blocks())
            choices[index] = choice
            path = path_from_dict(
                config, {b.id: b.candidates[c].label for b, c in zip(config.blocks(), choices, strict=True)}
            )
            outputs.add([spec for spec in layers(config, path) if spec.block == block.id][-1].output_shape)
        assert outputs == {config.blocks()[index + 1].input_shape}


def test_counts_of_a_small_path():
    config, path = _path(preset("digits"), dot0__downsample="conv_stride")
    first = layers(config, path)[0]
    channels = config.dots[0].downsample_channels
    assert first == LayerSpec(
        name="dot0.downsample.conv",
        kind="conv2d",
        block="dot0.downsample",
        inputs=(INPUT,),
        input_shapes=((8, 8, 1),),
        output_shape=(4, 4, channels),
        weight_shape=(channels, 3, 3, 1),
        kernel=(3, 3),
        stride=(2, 2),
        padding=(1, 1, 1, 1),
        relu=True,
        image=True,
    )
    assert (first.weights, first.parameters, first.macs) == (9 * channels, 10 * channels, 16 * 9 * channels)
    assert count_parameters(config, path) == sum(spec.parameters for spec in layers(config, path))


def test_attention_multiplies_every_pair_of_tokens():
    config, path = _path(preset("digits"), dot0__transformer0="l2_h2_m2")
    scores = next(spec for spec in layers(config, path) if spec.name == "dot0.transformer0.encoder0.scores")
    embedding = config.dots[0].embedding
    assert scores.input_shapes == ((2, 16, embedding // 2),) * 2
    assert scores.transpose_b
    assert scores.macs == 16 * 16 * embedding
    query = next(spec for spec in layers(config, path) if spec.name == "dot0.transformer0.encoder0.query")
    assert query.output_scale == pytest.approx((embedding / 2) ** -0.5)


def test_sparsities_reach_the_prunable_layers():
    config, path = _path(preset("digits"), dot0__downsample="mobilenet_x3")
    sparse = SparsityConfig.uniform(config, 0.5, 4)
    entries = layer_sparsities(config, path, sparse)
    assert "dot0.downsample.expand" not in entries  # one input channel fills no block
    assert entries["dot0.downsample.depthwise"] == BlockSparsity(0.5, 3)
    assert entries["pooling.classifier"] == BlockSparsity(0.5, 4)
    assert set(entries) == {spec.name for spec in layers(config, path) if spec.prunable}


@pytest.mark.parametrize(("channels", "expansion", "expected"), [(1, 3, 8), (3, 3, 16), (8, 2, 16), (12, 3, 40)])
def test_inner_widths_are_multiples_of_eight(channels: int, expansion: int, expected: int):
    assert expanded_channels(channels, expansion) == expected


def test_presets_have_the_sizes_they_are_named_for():
    rng = np.random.default_rng(0)
    counts = {}
    for name in ("digits", "small", "normal", "large"):
        space = preset(name)
        drawn = (sample_supernet(space, rng) for _ in range(60))
        counts[name] = [count_parameters(config, sample_path(config, rng)) for config in drawn]
    # The paper accepts 0.8 to 2.8 times the storage limit of 1 MB; the digits demo has 96 KB.
    assert np.mean([0.8e6 <= n <= 2.8e6 for n in counts["normal"]]) > 0.9
    assert np.mean([0.8e6 <= n <= 2.8e6 for n in counts["small"]]) < 0.3
    assert np.mean([0.8e6 <= n <= 2.8e6 for n in counts["large"]]) < 0.3
    assert np.mean([0.8 * 96e3 <= n <= 2.8 * 96e3 for n in counts["digits"]]) > 0.9


@pytest.mark.slow
def test_the_search_space_needs_no_torch():
    code = "import sys, tinyformer.search_space; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_depthwise_convolution_of_one_channel_is_a_convolution():
    """Exporters write no groups there, and blocks along the kernel's width are for depthwise layers."""
    space = preset("digits")
    grey = replace(space, candidates=replace(space.candidates, downsample=(DownsampleCandidate("mobilenet", 1),)))
    config = sample_supernet(grey, np.random.default_rng(0))
    path = sample_path(config, np.random.default_rng(0))
    layer = next(spec for spec in layers(config, path) if spec.name == "dot0.downsample.depthwise")
    assert (layer.kind, layer.weight_shape, layer.prunable) == ("conv2d", (1, 3, 3, 1), False)
    assert layer.name not in layer_sparsities(config, path, SparsityConfig.uniform(config, 0.5, 4))
