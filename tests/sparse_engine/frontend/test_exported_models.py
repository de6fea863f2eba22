"""Models as users make them: torch.onnx.export(dynamo=True), then onnxruntime's quantize_static as it comes."""

import logging
import warnings
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import pytest

from forced_comparison import operator_differences
from qdq_models import run_onnx
from tinyformer.sparse_engine import frontend, ops, passes, reference
from tinyformer.sparse_engine.ir import Graph
from tinyformer.sparse_engine.passes.split_fused import split_fused

torch = pytest.importorskip("torch")
quantization = pytest.importorskip("onnxruntime.quantization")
pytestmark = pytest.mark.slow


class ConvNet(torch.nn.Module):
    """Folded batch norm, depthwise, residual sum, max and average pooling, flatten and classifier."""

    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = torch.nn.BatchNorm2d(8)
        self.depthwise = torch.nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.pointwise = torch.nn.Conv2d(8, 8, 1)
        self.classifier = torch.nn.Linear(32, 10)

    def forward(self, x):
        x = torch.nn.functional.max_pool2d(torch.relu(self.norm(self.stem(x))), 2)
        x = x + self.pointwise(torch.nn.functional.relu6(self.depthwise(x)))
        return self.classifier(torch.flatten(torch.nn.functional.avg_pool2d(x, 2), 1))


class Encoder(torch.nn.Module):
    """Patch embedding, a pre-norm encoder with two heads from one projection, sequence pooling."""

    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.norms = torch.nn.ModuleList([torch.nn.LayerNorm(16) for _ in range(2)])
        self.projection, self.merge = torch.nn.Linear(16, 48), torch.nn.Linear(16, 16)
        self.grow, self.shrink = torch.nn.Linear(16, 32), torch.nn.Linear(32, 16)
        self.pool, self.classifier = torch.nn.Linear(16, 1), torch.nn.Linear(16, 10)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        q, k, v = self.projection(self.norms[0](x)).reshape(1, 16, 3, 2, 8).permute(2, 0, 3, 1, 4)
        y = torch.softmax(q @ k.transpose(-1, -2), -1) @ v
        x = x + self.merge(y.transpose(1, 2).reshape(1, 16, 16))
        x = x + self.shrink(torch.nn.functional.gelu(self.grow(self.norms[1](x))))
        return self.classifier((torch.softmax(self.pool(x), 1).transpose(1, 2) @ x).squeeze(1))


class Images(quantization.CalibrationDataReader):
    """Sixteen seeded images."""

    def __init__(self):
        self._images = iter(images(16))

    def get_next(self):
        image = next(self._images, None)
        return None if image is None else {"input": image[np.newaxis]}


def images(count: int):
    return np.random.default_rng(8).standard_normal((count, 3, 8, 8)).astype(np.float32)


@cache
def quantized(network: type) -> onnx.ModelProto:
    """Export a network with seeded weights and quantise it."""
    torch.manual_seed(1)
    torch.set_num_threads(1)
    module = network().eval()
    with TemporaryDirectory() as directory, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        paths = [str(Path(directory) / name) for name in ("float.onnx", "int8.onnx")]
        torch.onnx.export(
            module,
            (torch.zeros(1, 3, 8, 8),),
            paths[0],
            dynamo=True,
            external_data=False,
            input_names=["input"],
            verbose=False,
        )
        quantization.quantize_static(
            *paths,
            Images(),
            per_channel=True,
            activation_type=quantization.QuantType.QInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        logging.disable(logging.NOTSET)
        return onnx.load(paths[1])


@cache
def loaded(network: type) -> Graph:
    with TemporaryDirectory() as directory:
        onnx.save(quantized(network), Path(directory) / "model.onnx")
        return frontend.load(Path(directory) / "model.onnx")


@pytest.mark.parametrize("network", [ConvNet, Encoder])
def test_every_operator_is_within_one_step_of_onnxruntime(network):
    model, graph = quantized(network), split_fused(passes.run(loaded(network)))
    source = graph.tensors[graph.input].quant
    for image in images(3):
        sample = np.clip(np.rint(image / np.float32(source.scale)) + source.zero_point, -128, 127).astype(np.int8)
        differences = operator_differences(model, graph, sample)
        assert len(differences) >= 7
        assert max(differences.values()) <= 1


@pytest.mark.parametrize("network", [ConvNet, Encoder])
def test_same_class_as_onnxruntime(network):
    model, graph = quantized(network), passes.run(loaded(network))
    quant, count = graph.tensors[graph.input].quant, 100
    values = np.rint(images(count) / np.float32(quant.scale)) + quant.zero_point
    integers = np.clip(values, -128, 127).astype(np.int8)
    outputs = np.concatenate(
        [run_onnx(model, image[np.newaxis])[model.graph.output[0].name] for image in images(count)]
    )
    actual = reference.run(graph, graph.tensors[graph.input].from_model(integers))
    best = np.take_along_axis(outputs, actual.argmax(axis=1)[:, np.newaxis], axis=1)[:, 0]
    tied = outputs.max(axis=1) - best < 1e-6  # the same class, or one that scores the same
    assert np.mean(tied) >= 0.99
    assert len(set(outputs.argmax(axis=1))) > 2


def test_convolutional_net_needs_no_movement():
    kinds = [node.op.kind for node in passes.run(loaded(ConvNet)).nodes]
    assert kinds == ["pooled_conv2d", "depthwise_conv2d", "linear", "add", "avg_pool2d", "reshape", "linear"]


def test_attention_keeps_only_the_heads_transposed():
    graph = split_fused(passes.run(loaded(Encoder)))
    transposes = [node.op.permutation for node in graph.nodes if isinstance(node.op, ops.Transpose)]
    assert transposes == [(1, 0, 2)] * 4
    products = [node.op.transpose_b for node in graph.nodes if isinstance(node.op, ops.MatMul)]
    assert products == [True, False, False]
