"""What exporters and quantisers leave in real numbers between two QuantizeLinear: one table, one layer, one norm."""

import numpy as np
import onnx
import pytest

from qdq_models import QdqModel, run_onnx
from tinyformer.errors import UnsupportedModelError
from tinyformer.sparse_engine import frontend, ops, passes, reference

RANDOM = np.random.default_rng(4)


def check(model: onnx.ModelProto, tmp_path, expected: list[type], steps: int = 1) -> None:
    """Compare with onnxruntime, and the operators that are left with those expected."""
    onnx.save(model, tmp_path / "model.onnx")
    graph = passes.run(frontend.load(tmp_path / "model.onnx"))
    moving = (ops.Reshape, ops.Transpose)
    assert [type(node.op) for node in graph.nodes if not isinstance(node.op, moving)] == expected
    source, output = graph.tensors[graph.input], graph.tensors[graph.output]
    shape = [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim]
    samples = np.random.default_rng(1).integers(-128, 128, (6, *shape[1:])).astype(np.int8)
    for sample in samples:
        actual = reference.run(graph, source.from_model(sample[np.newaxis]))
        theirs = run_onnx(model, sample[np.newaxis])[model.graph.output[0].name]
        if theirs.dtype == np.float32:
            theirs = np.clip(np.rint(theirs / output.quant.scale) + output.quant.zero_point, -128, 127)
        assert np.abs(output.from_model(theirs) - actual.astype(int)).max() <= steps


def number(model: QdqModel, value: float) -> str:
    return model.plain(value, np.float32)


def gelu_by_erf(model: QdqModel, x: str) -> str:
    inner = model.op("Erf", [model.op("Div", [x, number(model, 2**0.5)])])
    return model.op("Mul", [model.op("Mul", [x, model.op("Add", [inner, number(model, 1)])]), number(model, 0.5)])


def gelu_by_erf_halved_first(model: QdqModel, x: str) -> str:
    inner = model.op("Erf", [model.op("Mul", [x, number(model, 0.5**0.5)])])
    return model.op("Mul", [model.op("Mul", [number(model, 0.5), x]), model.op("Add", [number(model, 1), inner])])


def gelu_by_tanh(model: QdqModel, x: str) -> str:
    cube = model.op("Mul", [model.op("Pow", [x, number(model, 3)]), number(model, 0.044715)])
    inner = model.op("Tanh", [model.op("Mul", [model.op("Add", [x, cube]), number(model, (2 / np.pi) ** 0.5)])])
    return model.op("Mul", [model.op("Mul", [x, number(model, 0.5)]), model.op("Add", [inner, number(model, 1)])])


def silu(model: QdqModel, x: str) -> str:
    return model.op("Mul", [x, model.op("Sigmoid", [x])])


def hard_swish(model: QdqModel, x: str) -> str:
    inner = model.op("Clip", [model.op("Add", [x, number(model, 3)]), number(model, 0), number(model, 6)])
    return model.op("Div", [model.op("Mul", [x, inner]), number(model, 6)])


def mish(model: QdqModel, x: str) -> str:
    return model.op("Mul", [x, model.op("Tanh", [model.op("Softplus", [x])])])


def relu_squared(model: QdqModel, x: str) -> str:
    real = model.op("Relu", [x])
    return model.op("Mul", [real, real])


def moved_on_the_way(model: QdqModel, x: str) -> str:
    real = model.op("Transpose", [model.op("Tanh", [x])], perm=[0, 2, 1])
    return model.op("Exp", [model.op("Slice", [real, *(model.integers(i) for i in (1, 5, 1))])])


CHAINS = [
    gelu_by_erf,
    gelu_by_erf_halved_first,
    gelu_by_tanh,
    silu,
    hard_swish,
    mish,
    relu_squared,
]


@pytest.mark.parametrize("chain", CHAINS)
def test_a_chain_of_real_operators_is_one_table(chain, tmp_path):
    model = QdqModel((1, 5, 12))
    check(model.finish(model.quantize(chain(model, model.input), 0.03, -40)), tmp_path, [ops.Lookup])


def test_a_chain_through_movement(tmp_path):
    model = QdqModel((1, 5, 12))
    result = moved_on_the_way(model, model.input)
    check(model.finish(model.quantize(result, 0.01, -128)), tmp_path, [ops.Slice, ops.Lookup])


def test_one_real_tensor_quantised_twice(tmp_path):
    model = QdqModel((1, 5, 12))
    real = model.op("Tanh", [model.input])
    coarse = model.quantize(model.op("Identity", [real]), 0.02, 3)
    fine = model.quantize(real, 0.008, 0)
    total = model.quantize(model.op("Add", [coarse, fine]), 0.02, 0)
    check(model.finish(total), tmp_path, [ops.Lookup], steps=2)


def test_real_values_joined(tmp_path):
    model = QdqModel((1, 5, 12))
    joined = model.op("Concat", [model.op("Tanh", [model.input]), model.op("Sigmoid", [model.input])], axis=1)
    check(model.finish(model.quantize(joined, 0.008, 0)), tmp_path, [ops.Lookup, ops.Lookup, ops.Concat])


def test_real_values_of_two_tensors_are_quantised_by_their_range(tmp_path):
    model = QdqModel((1, 5, 12))
    gamma = model.plain(np.ones(12), np.float32)
    y = model.quantize(model.op("LayerNormalization", [model.input, gamma]), 0.03, 0)
    product = model.op("Mul", [model.op("Tanh", [y]), model.op("HardSwish", [model.input])])
    expected = [ops.LayerNorm, ops.Lookup, ops.Lookup, ops.Mul]
    check(model.finish(model.quantize(product, 0.03, 0)), tmp_path, expected, steps=3)


@pytest.mark.parametrize("last", ["Tanh", "GlobalAveragePool", "ReduceMean", "Softmax", "MaxPool"])
def test_an_output_that_nothing_quantises(last, tmp_path):
    model = QdqModel((1, 4, 6, 6))
    attributes = {"MaxPool": {"kernel_shape": [2, 2]}}.get(last, {})
    result = model.op(last, [model.input, *([model.integers(2, 3)] if last == "ReduceMean" else [])], **attributes)
    kinds = {"Tanh": ops.Lookup, "Softmax": ops.Softmax, "MaxPool": ops.MaxPool2D}
    check(model.finish(result, stored=False), tmp_path, [kinds.get(last, ops.AvgPool2D)])


def layer(model: QdqModel, kind: str) -> tuple[str, tuple[int, ...]]:
    shape = (5, 4, 3, 3) if kind == "Conv" else (12, 5)
    axis = 0 if kind == "Conv" else 1
    values = RANDOM.integers(-128, 128, shape).astype(np.int8)
    values.flat[0] = -128
    weight = model.constant(values, RANDOM.uniform(0.004, 0.02, 5), 0, axis)
    return model.op(kind, [model.input, weight]), ((1, 5, 1, 1) if kind == "Conv" else (5,))


@pytest.mark.parametrize("kind", ["Conv", "MatMul"])
def test_scaling_and_shifting_behind_a_layer(kind, tmp_path):
    """Factors below zero and zero among them; -128 times a negative factor leaves int8."""
    model = QdqModel((1, 4, 6, 6) if kind == "Conv" else (1, 7, 12))
    real, shape = layer(model, kind)
    factors, offsets = np.array([1.5, -0.7, 0.0, 0.01, -2.0]), np.array([0.3, -1.0, 2.0, 0.0, 5.0])
    real = model.op("Mul", [real, model.plain(factors.reshape(shape), np.float32)])
    real = model.op("Sub", [model.plain(offsets.reshape(shape), np.float32), real])
    real = model.op("Div", [model.op("Add", [number(model, 0.5), real]), number(model, 2.0)])
    kinds = [ops.Concat, ops.Conv2D if kind == "Conv" else ops.Linear]
    check(model.finish(model.quantize(model.op("Relu", [real]), 0.03, -128)), tmp_path, kinds)


def test_batch_normalisation_behind_a_convolution(tmp_path):
    model = QdqModel((1, 4, 6, 6))
    real, _ = layer(model, "Conv")
    parameters = [model.plain(values, np.float32) for values in (
        [1.0, 0.5, 2.0, 0.0, 1e-3], [0.0, 1.0, -1.0, 0.7, 0.0], [0.1, -0.2, 0.3, 0.0, 0.0], [1.0, 2.0, 0.5, 1.0, 1e-6]
    )]  # fmt: skip
    real = model.op("Clip", [model.op("BatchNormalization", [real, *parameters]), number(model, 0), number(model, 6)])
    check(model.finish(model.quantize(real, 0.03, -128)), tmp_path, [ops.Conv2D])


@pytest.mark.parametrize("other", ["another tensor", "another mean", "another centre"])
def test_a_norm_that_is_not_one_is_refused(other, tmp_path):
    """The parts are not put together, and the first of them is named."""
    model = QdqModel((1, 5, 12))
    shifted = model.quantize(model.op("Tanh", [model.input]), 0.008, 0)
    mean = model.op("ReduceMean", [shifted if other == "another mean" else model.input, model.integers(-1)])
    centred = model.op("Sub", [model.input, mean])
    squared = {
        "another tensor": lambda: model.op("Mul", [model.input, model.input]),
        "another mean": lambda: model.op("Mul", [centred, centred]),
        "another centre": lambda: model.op("Pow", [model.op("Sub", [shifted, mean]), number(model, 2.0)]),
    }[other]()
    variance = model.op("Add", [model.op("ReduceMean", [squared, model.integers(-1)]), number(model, 1e-5)])
    real = model.op("Div", [centred, model.op("Sqrt", [variance])])
    onnx.save(model.finish(model.quantize(real, 0.03)), tmp_path / "model.onnx")
    with pytest.raises(UnsupportedModelError, match="no QuantizeLinear follows its output"):
        frontend.load(tmp_path / "model.onnx")
