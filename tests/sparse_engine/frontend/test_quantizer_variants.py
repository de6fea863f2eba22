"""Files of onnxruntime's quantiser in its variants: operator by operator at most one step from onnxruntime."""

from itertools import product
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from float_nets import channels_last_net, hybrid_net, norm_net
from forced_comparison import operator_differences
from qdq_models import run_onnx
from tinyformer.sparse_engine import ops, passes, reference
from tinyformer.sparse_engine.frontend import load

TYPES = {"int8": QuantType.QInt8, "uint8": QuantType.QUInt8}
FORMATS = {"qdq": QuantFormat.QDQ, "qoperator": QuantFormat.QOperator}
VARIANTS = [
    pytest.param(form, activations, weights, channels, symmetric, id="-".join(map(str, (
        form, activations, weights, "channels" if channels else "tensor", "symmetric" if symmetric else "asymmetric"
    ))))
    for form, activations, weights, channels, symmetric in product(
        FORMATS, TYPES, TYPES, (False, True), (False, True)
    )
    if (activations, weights) != ("int8", "uint8")  # onnxruntime has no such kernels
]  # fmt: skip


class Samples(CalibrationDataReader):
    def __init__(self, samples: np.ndarray) -> None:
        self._left = iter(samples)

    def get_next(self) -> dict[str, np.ndarray] | None:
        sample = next(self._left, None)
        return None if sample is None else {"x": sample[np.newaxis]}


def quantized(model: onnx.ModelProto, directory: Path, samples: np.ndarray, **options) -> onnx.ModelProto:
    source, target = directory / "float.onnx", directory / "int8.onnx"
    onnx.save(model, source)
    quantize_static(source, target, Samples(samples), calibrate_method=CalibrationMethod.MinMax, **options)
    return onnx.load(target)


def compare(path: Path, samples: np.ndarray, steps: int = 1) -> None:
    """Assert that every operator is within some steps, and that whole inferences choose the same class."""
    model, graph = onnx.load(path), passes.run(load(path))
    source, output = graph.tensors[graph.input], graph.tensors[graph.output]
    scale, zero_point = np.float32(source.quant.scale), source.quant.zero_point
    agreed = []
    for sample in samples:
        integers = np.clip(np.rint(sample / scale) + zero_point, -128, 127).astype(np.int8)
        differences = operator_differences(model, graph, integers)
        assert len(differences) > 3
        assert max(differences.values()) <= steps, differences
        ours = reference.run(graph, source.from_model(integers[np.newaxis]))[0]
        theirs = run_onnx(model, integers[np.newaxis])[model.graph.output[0].name]
        agreed.append(ours.ravel().argmax() == output.from_model(theirs)[0].ravel().argmax())
    assert np.mean(agreed) >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize(("form", "activations", "weights", "channels", "symmetric"), VARIANTS)
def test_variant(form, activations, weights, channels, symmetric, tmp_path):
    samples = np.random.default_rng(1).normal(size=(12, 3, 8, 8)).astype(np.float32)
    quantized(
        hybrid_net(),
        tmp_path,
        samples,
        quant_format=FORMATS[form],
        activation_type=TYPES[activations],
        weight_type=TYPES[weights],
        per_channel=channels,
        extra_options={"WeightSymmetric": symmetric, "ActivationSymmetric": symmetric},
    )
    compare(tmp_path / "int8.onnx", samples)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS)
def test_channels_last_model_of_a_converter(form, tmp_path):
    samples = np.random.default_rng(1).normal(size=(12, 8, 8, 3)).astype(np.float32)
    quantized(channels_last_net(), tmp_path, samples, quant_format=FORMATS[form], per_channel=True)
    compare(tmp_path / "int8.onnx", samples)
    graph = passes.run(load(tmp_path / "int8.onnx"))
    assert not [node for node in graph.nodes if isinstance(node.op, ops.Transpose)]


@pytest.mark.slow
@pytest.mark.parametrize("how", [{}, {"power": False}, {"reciprocal": True}], ids=str)
@pytest.mark.parametrize("whole", [True, False], ids=["normalisation in float", "rounded inside"])
def test_decomposed_normalisation_and_gelu(how, whole, tmp_path):
    """Left in float they are exact; where the quantiser rounds inside, each of its four roundings is worth a step."""
    samples = np.random.default_rng(1).normal(size=(12, 7, 12)).astype(np.float32)
    model = norm_net(**how)
    apart = [node.name for node in model.graph.node if node.name.startswith("part")]
    quantized(model, tmp_path, samples, nodes_to_exclude=apart if whole else [], per_channel=True)
    graph = passes.run(load(tmp_path / "int8.onnx"))
    assert [type(node.op) for node in graph.nodes].count(ops.LayerNorm) == 2
    compare(tmp_path / "int8.onnx", samples, steps=1 if whole else 4)
