"""From an ONNX file to a validated bundle."""

import json

import numpy as np
import onnx
import pytest

import tinyformer
from qdq_models import QdqModel
from tinyformer.errors import DataError, UnsupportedModelError
from tinyformer.sparse_engine import reference
from tinyformer.sparse_engine.compiler import read
from tinyformer.sparse_engine.host import load
from tinyformer.sparse_engine.validation import validate


def image_classifier(border="float"):
    """A channels-first net: 1x3x8x8 image, convolution, depthwise convolution, pooling, classifier of 5."""
    generator = np.random.default_rng(4)
    model = QdqModel((1, 3, 8, 8), border=border)

    def weights(shape, sparsity=0.0):
        values = generator.integers(-127, 128, shape)
        values[generator.random(shape[0]) < sparsity] = 0
        return model.constant(values.astype(np.int8), np.full(shape[0], 0.004, np.float32), 0, 0)

    x = model.op("Relu", [model.op("Conv", [model.input, weights((12, 3, 3, 3))], pads=[1, 1, 1, 1])])
    x = model.quantize(x, 0.05, -128)
    x = model.quantize(model.op("Conv", [x, weights((12, 1, 3, 3))], group=12, strides=[2, 2]), 0.08, 3)
    x = model.quantize(model.op("Conv", [x, weights((20, 12, 1, 1), 0.7)]), 0.1, -5)
    x = model.moved("GlobalAveragePool", [x])
    x = model.moved("Flatten", [x])
    x = model.quantize(model.op("Gemm", [x, weights((5, 20))], transB=1), 0.02, 0)
    return model.finish(x)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    directory = tmp_path_factory.mktemp("classifier")
    onnx.save(image_classifier(), directory / "model.onnx")
    compiled = tinyformer.compile(directory / "model.onnx", "stm32f746g-disco", directory / "bundle", name="net")
    return directory / "model.onnx", compiled


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(2).normal(0, 3, (40, 3, 8, 8)).astype(np.float32)


@pytest.mark.slow
@pytest.mark.emulator
def test_everything_agrees(classifier, images):
    model, compiled = classifier
    labels = np.arange(40) % 5
    found = validate(compiled.directory, images, labels, model, device_samples=4)
    assert found.bit_exact
    assert found.emulated
    assert not found.mismatches
    assert (found.samples, found.device_samples) == (40, 4)
    assert found.onnx_max_steps <= len(found.layers)
    assert found.top1_agreement >= 0.9
    assert 0 <= found.accuracy <= 1
    assert [layer.name for layer in found.layers] == [layer.name for layer in compiled.manifest.layers]
    compared = [layer.onnx_max_steps for layer in found.layers if layer.onnx_max_steps is not None]
    assert len(compared) == len(found.layers) == 5  # channels without weights are gone from two of them
    assert max(compared) <= len(found.layers)
    assert json.loads(json.dumps(found.to_dict()))["bit_exact"]


def test_what_fused_operators_compute_on_the_way_is_compared(tmp_path):
    generator = np.random.default_rng(4)
    model = QdqModel((1, 3, 8, 8))
    weights = model.constant(generator.integers(-127, 128, (8, 3, 3, 3)).astype(np.int8), np.full(8, 0.004), 0, 0)
    x = model.op("Relu", [model.op("Conv", [model.input, weights], pads=[1, 1, 1, 1])])
    x = model.quantize(x, 0.05, -128)
    x = model.moved("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
    onnx.save(model.finish(x), tmp_path / "model.onnx")
    compiled = tinyformer.compile(tmp_path / "model.onnx", "stm32f746g-disco", tmp_path / "bundle", toolchain=None)
    inputs = generator.normal(0, 3, (2, 3, 8, 8)).astype(np.float32)
    (layer,) = validate(compiled.directory, inputs, model=tmp_path / "model.onnx").layers
    assert layer.op == "pooled_conv2d"
    assert len(layer.onnx_steps) == 2
    assert layer.onnx_max_steps == max(layer.onnx_steps.values()) <= 1


def test_without_model_and_labels(classifier, images):
    _, compiled = classifier
    found = validate(compiled.directory, images[:3])
    assert found.bit_exact
    assert found.accuracy is found.top1_agreement is found.onnx_max_steps is None


def test_files_layout_and_dtypes_are_accepted(classifier, images):
    _, compiled = classifier
    border = compiled.manifest.input
    assert border.file_shape == (3, 8, 8)
    assert border.shape == (8, 8, 3)
    host = load(compiled.directory)
    integers = border.quantize(images)
    outputs = host(images)
    np.testing.assert_array_equal(compiled.manifest.output.dequantize(host(integers)), outputs)
    np.testing.assert_array_equal(host((integers.astype(np.int16) + 128).astype(np.uint8)), host(integers))
    graph, _ = read(classifier[0])
    np.testing.assert_array_equal(
        host.run(integers.transpose(0, 2, 3, 1)), reference.run(graph, border.from_file_layout(integers))
    )


def test_wrong_c_is_found(classifier, images, tmp_path):
    """Validation must be able to fail: one bias of the generated C is changed."""
    model, _ = classifier
    compiled = tinyformer.compile(model, "stm32f746g-disco", tmp_path / "b", toolchain=None)
    path = tmp_path / "b" / "model_weights.c"
    head, bias, tail = path.read_text().partition("model_bias_0[12] = {\n    ")
    path.write_text(head + bias + "90000, " + tail.split(", ", 1)[1])
    found = validate(compiled.directory, images[:3])
    assert not found.bit_exact
    assert not found.emulated
    assert found.mismatches[0].layer == compiled.manifest.layers[0].name
    assert found.mismatches[0].where == "host"
    assert not found.layers[0].bit_exact


@pytest.mark.parametrize(
    ("inputs", "labels", "words"),
    [
        (np.zeros((2, 8, 8, 3), np.float32), None, "expected"),
        (np.zeros((0, 3, 8, 8), np.float32), None, "no inputs"),
        (np.zeros((2, 3, 8, 8), np.float32), np.zeros(3, int), "labels have shape"),
    ],
)
def test_wrong_data(classifier, inputs, labels, words):
    with pytest.raises(DataError, match=words):
        validate(classifier[1].directory, inputs, labels)


def test_wrong_files(classifier, images, tmp_path):
    (tmp_path / "broken.onnx").write_bytes(b"not onnx")
    with pytest.raises(DataError, match=r"broken\.onnx"):
        validate(classifier[1].directory, images[:1], model=tmp_path / "broken.onnx")
    with pytest.raises(UnsupportedModelError, match=r"broken\.onnx"):
        tinyformer.compile(tmp_path / "broken.onnx", "stm32f746g-disco", tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_analysis_of_a_file(classifier):
    analysis = tinyformer.analyze(classifier[0], "stm32f746g-disco")
    assert analysis.fits
    assert analysis.figures.instructions == classifier[1].manifest.predicted.instructions
