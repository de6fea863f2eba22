"""Quantisation-aware training: it computes what the int8 model computes, and gradients pass through rounding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from onnx import numpy_helper

from tinyformer.quantization import (
    CalibrationSettings,
    InputQuantization,
    QuantizationSettings,
    QuantizedForward,
    predict,
    quantize_model,
    to_onnx,
)
from tinyformer.search_space import SearchSpace, path_from_dict, preset, sample_supernet
from tinyformer.supernet import SinglePathModel

MEAN, STD = 120, 60.0
SPACES = {
    "one head": (preset("digits"), 0),
    "two heads, average pooling of an odd size": (preset("digits", input_shape=(9, 9, 1)), 1),
    "strided MobileNetV2": (preset("digits", input_shape=(8, 8, 3)), 2),
    "no transformer, one dot": (replace(preset("digits"), transformer=False, dots=preset("digits").dots[:1]), 0),
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def model_of(space: SearchSpace, choice: int) -> SinglePathModel:
    config = sample_supernet(space, np.random.default_rng(0))
    labels = {b.id: b.candidates[choice % len(b.candidates)].label for b in config.blocks()}
    return SinglePathModel(config, path_from_dict(config, labels), torch.Generator().manual_seed(0)).eval()


def images_of(model: SinglePathModel, count: int = 24) -> torch.Tensor:
    height, width, channels = model.config.input_shape
    pixels = np.random.default_rng(1).integers(0, 256, (count, channels, height, width))
    return torch.from_numpy(((pixels - MEAN) / STD).astype(np.float32))


@pytest.mark.slow
@pytest.mark.parametrize("name", SPACES)
def test_it_computes_what_the_int8_model_computes(name: str) -> None:
    """But for values that lie half way between two steps, after sums in another order."""
    model = model_of(*SPACES[name])
    images, calibration = images_of(model), CalibrationSettings()
    forward = QuantizedForward(model, images.numpy(), calibration)
    with torch.no_grad():
        simulated, plain = forward(model, images, 0).numpy(), model(images).numpy()
    settings = QuantizationSettings(calibration, InputQuantization.of_bytes(MEAN, STD))
    real = predict(quantize_model(to_onnx(model), images.numpy(), settings), images.numpy())
    steps = np.unique(real)
    step = np.diff(steps).min()
    assert np.abs(simulated - real).mean() <= 0.35 * step
    assert np.abs(simulated - real).mean() < 0.5 * np.abs(plain - real).mean()


def test_average_pooling_keeps_the_scale_of_what_it_reads() -> None:
    """As onnxruntime writes it."""
    space = preset("digits")
    config = sample_supernet(space, np.random.default_rng(0))
    labels = {b.id: b.candidates[0].label for b in config.blocks()} | {"pooling": "average"}
    model = SinglePathModel(config, path_from_dict(config, labels), torch.Generator().manual_seed(0)).eval()
    images, calibration = images_of(model), CalibrationSettings("min_max")
    (pool,) = (spec for spec in model.specs if spec.kind == "avg_pool2d")
    scale, zero_point = QuantizedForward(model, images.numpy(), calibration)._activations[pool.name]
    file = quantize_model(to_onnx(model), images.numpy(), QuantizationSettings(calibration))
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in file.graph.initializer}
    (node,) = (node for node in file.graph.node if node.op_type == "AveragePool")
    (written,) = (n for n in file.graph.node if n.op_type == "QuantizeLinear" and n.input[0] == node.output[0])
    assert (scale, zero_point) == (constants[written.input[1]].item(), constants[written.input[2]].item())


def test_nothing_is_left_behind_in_the_model() -> None:
    model = model_of(*SPACES["one head"])
    images, before = images_of(model), {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        plain = model(images)
        QuantizedForward(model, images.numpy(), CalibrationSettings())(model.train(), images, 0)
        model.eval()
        assert torch.equal(model(images), plain)
    for name, value in model.state_dict().items():  # batch norm's statistics too
        assert torch.equal(value, before[name]), name


def test_gradients_pass_through_rounding_to_every_parameter() -> None:
    model = model_of(*SPACES["one head"])
    images = images_of(model)
    forward = QuantizedForward(model, images.numpy(), CalibrationSettings("min_max"))
    forward(model.train(), images, 0).square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    weighted = [
        parameter for name, parameter in model.named_parameters() if name.endswith(("conv.weight", "expand.weight"))
    ]
    assert weighted
    assert all(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in weighted)
