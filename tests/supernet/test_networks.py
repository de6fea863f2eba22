from copy import deepcopy
from math import prod

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from search_space_strategies import Sample, samples
from tinyformer.errors import ConfigError
from tinyformer.search_space import Path, count_parameters, layers, path_from_dict, preset, sample_path, sample_supernet
from tinyformer.supernet import (
    Convolution,
    SinglePathModel,
    Supernet,
    extract,
    prunable_layers,
    recalibrate,
    recalibration_batch,
)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _images(shape: tuple[int, int, int], count: int = 2, seed: int = 0) -> torch.Tensor:
    height, width, channels = shape
    return torch.randn(count, channels, height, width, generator=_generator(seed))


@pytest.fixture
def digits():
    config = sample_supernet(preset("digits"), np.random.default_rng(0))
    return config, sample_path(config, np.random.default_rng(1))


@given(samples(largest=12))
@settings(max_examples=25, deadline=None)
def test_modules_give_the_shapes_of_their_layers(sample: Sample):
    model = SinglePathModel(sample.config, sample.path, _generator()).eval()
    seen: list[tuple[str, tuple[int, ...]]] = []

    def record(name: str, image: bool):
        def hook(module: nn.Module, inputs: object, output: torch.Tensor) -> None:
            seen.append((name, tuple((output.permute(0, 2, 3, 1) if image else output).shape)))

        return hook

    specs = layers(sample.config, sample.path)
    for spec in specs:
        model.layer(spec.name).register_forward_hook(record(spec.name, spec.image))
    logits = model(_images(sample.space.input_shape))
    assert seen == [(spec.name, (2, *spec.output_shape)) for spec in specs]
    assert logits.shape == (2, sample.space.classes)
    assert torch.isfinite(logits).all()


@given(samples(largest=8))
@settings(max_examples=25, deadline=None)
def test_layers_count_the_parameters_of_the_modules(sample: Sample):
    model = SinglePathModel(sample.config, sample.path, _generator())
    for spec in model.specs:
        if spec.weight_shape:
            weight = model.layer(spec.name).weight
            channels_last = weight.movedim(1, -1) if weight.ndim == 4 else weight
            assert prod(channels_last.shape) == spec.weights
            assert channels_last.shape[0] == spec.weight_shape[0]
    unfolded = sum(parameter.numel() for parameter in model.parameters())
    norms = sum(m.out_channels for m in model.modules() if isinstance(m, Convolution))
    # A convolution trains two parameters per channel in its batch norm; one bias is left of them.
    assert unfolded - norms == count_parameters(sample.config, sample.path)


@given(samples(largest=8), st.integers(0, 9))
@settings(max_examples=15, deadline=None)
def test_an_extracted_model_equals_its_path(sample: Sample, seed: int):
    net = Supernet(sample.config, _generator(seed)).eval()
    x = _images(sample.space.input_shape)
    model = extract(net, sample.path)
    assert not model.training
    assert torch.equal(model(x), net(x, sample.path))


def test_an_extracted_model_has_weights_of_its_own(digits):
    config, path = digits
    net = Supernet(config, _generator()).eval()
    x = _images(config.input_shape)
    before = net(x, path)
    model = extract(net, path)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert torch.equal(net(x, path), before)


def test_candidates_of_a_block_share_what_has_the_same_name_and_shape(digits):
    net = Supernet(digits[0], _generator())
    block = net.get_submodule("dot0.transformer0")
    one, two = block.get_submodule("l1_h1_m2"), block.get_submodule("l2_h2_m2")
    assert one.get_submodule("conv_in").weight is two.get_submodule("conv_in").weight
    assert one.get_submodule("encoder0.query").weight is two.get_submodule("encoder0.query").weight
    other = block.get_submodule("l2_h1_m1")
    assert one.get_submodule("encoder0.expand").weight is not other.get_submodule("encoder0.expand").weight
    again = net.get_submodule("dot1.transformer0.l1_h1_m2.conv_in").weight
    assert again is not one.get_submodule("conv_in").weight


def test_a_step_on_a_path_trains_its_candidates_alone(digits):
    config, path = digits
    net = Supernet(config, _generator())
    before = deepcopy(net.state_dict())
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    net(_images(config.input_shape, 4), path).square().sum().backward()
    optimizer.step()
    prefixes = tuple(f"{block.id}.{candidate.label}." for block, candidate in path.candidates(config))
    changed = {key for key, value in net.state_dict().items() if not torch.equal(value, before[key])}
    assert changed
    trained = {value.data_ptr() for key, value in net.state_dict().items() if key.startswith(prefixes)}
    assert {net.state_dict()[key].data_ptr() for key in changed} <= trained
    assert {key for key in before if key.startswith(prefixes) and key.endswith("conv.weight")} <= changed


def test_paths_share_the_blocks_they_have_in_common(digits):
    config, path = digits
    net = Supernet(config, _generator())
    other = Path((*path.choices[:-1], 1 - path.choices[-1]))
    one, two = extract(net, path).state_dict(), extract(net, other).state_dict()
    shared = [key for key in one if not key.startswith("pooling.")]
    assert all(torch.equal(one[key], two[key]) for key in shared)


@pytest.mark.parametrize("build", [lambda c, p, g: Supernet(c, g), SinglePathModel])
def test_a_seed_repeats_the_weights(digits, build):
    def weights(seed: int):
        return build(*digits, _generator(seed)).state_dict()

    first, again, other = weights(3), weights(3), weights(4)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_prunable_layers_are_convolutions_and_linear_layers(digits):
    config, path = digits
    modules = prunable_layers(SinglePathModel(config, path, _generator()))
    assert list(modules) == [spec.name for spec in layers(config, path) if spec.prunable]
    assert all(isinstance(module, nn.Conv2d | nn.Linear) for module in modules.values())
    assert "pooling.classifier" in modules


def test_a_foreign_path_is_refused(digits):
    config, path = digits
    short = Path(path.choices[1:])
    net = Supernet(config, _generator())
    with pytest.raises(ConfigError, match="choice blocks"):
        net(_images(config.input_shape), short)
    with pytest.raises(ConfigError, match="choice blocks"):
        extract(net, short)


def test_recalibration_takes_the_statistics_of_the_path(digits):
    config, path = digits
    model = SinglePathModel(config, path, _generator()).eval()
    batches = [_images(config.input_shape, 16, seed) for seed in range(3)]
    recalibrate(model, batches)
    first = next(m for m in model.modules() if isinstance(m, Convolution))
    seen = torch.cat([nn.Conv2d.forward(first, batch) for batch in batches])
    torch.testing.assert_close(first.norm.running_mean, seen.mean(dim=(0, 2, 3)))
    assert first.norm.momentum == pytest.approx(0.1)
    assert not model.training
    with pytest.raises(ConfigError, match="no batch"):
        recalibrate(model, [])


@pytest.mark.parametrize("count", [1, 2, 255, 256, 257, 258, 513, 1000, 1024])
def test_batches_of_a_recalibration_weigh_alike(count):
    size = recalibration_batch(count)
    sizes = [len(range(first, min(first + size, count))) for first in range(0, count, size)]
    assert max(sizes) <= 256
    assert max(sizes) - min(sizes) < len(sizes)


def test_a_few_steps_learn(digits):
    config, _ = digits
    path = path_from_dict(config, {block.id: block.candidates[0].label for block in config.blocks()})
    model = SinglePathModel(config, path, _generator())
    x = _images(config.input_shape, 32)
    y = (x.mean(dim=(1, 2, 3)) > 0).long()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(30):
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
