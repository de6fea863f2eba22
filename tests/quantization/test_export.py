from copy import deepcopy
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from sklearn.datasets import load_digits
from torch import nn

from tinyformer.quantization import (
    InputQuantization,
    QuantizationSettings,
    accuracy,
    export_float,
    predict,
    prepare,
    quantize_model,
    to_onnx,
)
from tinyformer.search_space import SearchSpace, path_from_dict, preset, sample_supernet
from tinyformer.supernet import Convolution, SinglePathModel, prunable_layers

MEAN, STD = 78, 96.0


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _model(space: SearchSpace, choice: int = 0, seed: int = 0) -> SinglePathModel:
    """Return a model with batch norm statistics of its own."""
    config = sample_supernet(space, np.random.default_rng(seed))
    labels = {b.id: b.candidates[choice % len(b.candidates)].label for b in config.blocks()}
    generator = torch.Generator().manual_seed(seed)
    model = SinglePathModel(config, path_from_dict(config, labels), generator)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.5, 2, generator=generator)
            for values, low in ((module.running_mean, -1), (module.weight, 0.5), (module.bias, -1)):
                nn.init.uniform_(values, low, 1, generator=generator)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.bias, generator=generator)
    return model.eval()


def _images(model: SinglePathModel, count: int = 4) -> torch.Tensor:
    height, width, channels = model.config.input_shape
    return torch.randn(count, channels, height, width, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def _assert_close(actual: np.ndarray, model: SinglePathModel, x: torch.Tensor):
    expected = model(x).numpy()
    np.testing.assert_allclose(actual, expected, atol=1e-4 * np.abs(expected).max(), rtol=1e-4)


def test_preparing_folds_and_changes_nothing():
    model = _model(preset("digits"), choice=1)
    x = _images(model)
    before = deepcopy(model.state_dict())
    folded = prepare(model)
    _assert_close(folded(x).detach().numpy(), model, x)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    query = "dot0.transformer0.encoder0.query"
    tokens = torch.randn(5, model.layer(query).in_features, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(folded.layer(query)(tokens), model.layer(query)(tokens))
    assert folded.layer(query).output_scale == 1
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_preparing_keeps_zeros():
    model = _model(preset("digits"))
    with torch.no_grad():
        for module in prunable_layers(model).values():
            module.weight[..., ::2] = 0
    for module in prunable_layers(prepare(model)).values():
        assert not module.weight[..., ::2].any()


SPACES = {
    "two heads, average pooling of an odd size": (preset("digits", input_shape=(9, 9, 1)), 1),
    "odd sizes, strided MobileNetV2": (preset("digits", input_shape=(9, 7, 3)), 2),
    "no transformer, one dot": (replace(preset("digits"), transformer=False, dots=preset("digits").dots[:1]), 0),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SPACES)
def test_the_export_equals_the_model(name: str, tmp_path):
    model = _model(*SPACES[name])
    export_float(model, tmp_path / "float.onnx")
    exported = onnx.load_model(tmp_path / "float.onnx")
    onnx.checker.check_model(exported, full_check=True)
    x = _images(model)
    _assert_close(predict(exported, x.numpy()), model, x)

    layers = {spec.name: spec for spec in model.specs}
    nodes = [node.name for node in exported.graph.node]
    assert [n for n in nodes if n in layers] == [n for n in layers if n in nodes]
    missing = {layers[n].kind for n in layers if n not in nodes}
    assert missing <= {"reshape"}  # one that another reshape swallows
    assert all(node.output[0] in (node.name, "logits") for node in exported.graph.node)
    ceil_modes = [a.i for node in exported.graph.node for a in node.attribute if a.name == "ceil_mode"]
    assert not any(ceil_modes)
    operators = {node.op_type for node in exported.graph.node}
    assert operators <= {
        *("Conv", "Relu", "MaxPool", "AveragePool", "Add", "Gemm", "MatMul", "Softmax", "LayerNormalization"),
        *("Reshape", "Transpose"),
    }


@pytest.fixture(scope="module")
def digits() -> tuple[SinglePathModel, np.ndarray, np.ndarray, np.ndarray]:
    """A small model trained for a moment; normalised training images, test images and labels."""
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.images))
    pixels = np.rint(data.images[order] * 255 / 16).astype(np.float32)[:, None]
    x, y = (pixels - MEAN) / np.float32(STD), data.target[order].astype(np.int64)
    model = _model(preset("digits"), choice=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    steps = 200
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, steps)
    batches = np.random.default_rng(0).integers(0, 1300, (steps, 48))
    model.train()
    for batch in batches:
        loss = nn.functional.cross_entropy(model(torch.from_numpy(x[batch])), torch.from_numpy(y[batch]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval(), x[:1300], x[1300:], y[1300:]


@pytest.mark.slow
def test_int8_is_as_accurate_as_float(digits):
    model, x_train, x_test, y_test = digits
    with torch.no_grad():
        for module in prunable_layers(model).values():  # a few pruned weights, as sparse models have
            module.weight[module.weight.abs() < 0.2 * module.weight.std()] = 0
        in_torch = float((model(torch.from_numpy(x_test)).argmax(1).numpy() == y_test).mean())
    exported = to_onnx(model)
    settings = QuantizationSettings(input=InputQuantization.of_bytes(MEAN, STD))
    quantized = quantize_model(exported, x_train, settings)
    in_float, in_int8 = accuracy(exported, x_test, y_test), accuracy(quantized, x_test, y_test)
    assert in_float == pytest.approx(in_torch, abs=0.002)
    assert in_float > 0.9
    assert in_int8 > in_float - 0.01
    agree = predict(exported, x_test).argmax(1) == predict(quantized, x_test).argmax(1)
    assert agree.mean() > 0.98

    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in quantized.graph.initializer}
    for name, module in prunable_layers(model).items():
        values = constants[f"{name}.weight_quantized"]
        assert not values[module.weight.detach().numpy() == 0].any()


def test_convolutions_stay_convolutions():
    assert isinstance(_model(preset("digits")).layer("dot0.downsample.conv"), Convolution)
