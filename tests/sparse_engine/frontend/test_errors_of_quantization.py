"""Quantisation that the contract does not allow: one line that says where, what, what is allowed and what to do."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from qdq_models import A, OperatorCase, QdqModel, R
from refusals import X, refusal_of


def conv_with(values, scale, zero_point=0, axis=None, bias=None, quantize_output=True):
    model = QdqModel(X)
    inputs = [model.input, model.constant(values, scale, zero_point, axis)]
    if bias is not None:
        inputs.append(model.constant(*bias))
    real = model.op("Conv", inputs)
    return model.finish(model.quantize(real, 0.1) if quantize_output else real)


WEIGHTS = np.ones((5, 4, 3, 3), np.int8)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ((WEIGHTS, [0.01] * 4, 0, 1), "have scales along axis 1; allowed: axis 0"),
        ((WEIGHTS.astype(np.int32), 0.01), "are int32"),
        ((WEIGHTS, [0.01] * 4 + [0.0], 0, 0), "a scale is not a positive number"),
        ((WEIGHTS, [0.01] * 4 + [np.nan], 0, 0), "a scale is not a positive number"),
        ((WEIGHTS, [0.01] * 4 + [-1.0], 0, 0), "a scale is not a positive number"),
        ((WEIGHTS, 0.01, 0, None, (np.ones(4, np.int32), 0.01)), "bias 'stored_"),
        ((WEIGHTS, 1e-20, 0, None, (np.full(5, 2**31 - 1, np.int32), 1e6)), "does not fit int32"),
    ],
)
def test_weights_outside_the_contract(tmp_path, arguments, what):
    assert what in refusal_of(conv_with(*arguments), tmp_path)


def test_float_weights(tmp_path):
    case = OperatorCase("", "Conv", (A(X), R(np.ones((5, 4, 3, 3)))), output=(0.1, 0))
    assert "are real numbers" in refusal_of(case.model(), tmp_path)


def test_four_bit_weights(tmp_path):
    model = QdqModel(X, opset=21)
    packed = helper.make_tensor("w", TensorProto.INT4, (5, 4, 3, 3), np.ones(180, np.int8))
    zero = helper.make_tensor("z", TensorProto.INT4, (), np.zeros(1, np.int8))
    model.initializers += [packed, zero]
    weight = model.op("DequantizeLinear", ["w", model.plain(0.01, np.float32), "z"])
    proto = model.finish(model.quantize(model.op("Conv", [model.input, weight]), 0.1))
    assert "a constant is int4" in refusal_of(proto, tmp_path)


def test_sixteen_bit_activations(tmp_path):
    model = QdqModel(X, opset=21)
    real = model.op("Sigmoid", [model.input])
    assert "an activation is int16" in refusal_of(model.finish(model.quantize(real, 0.01, dtype=np.int16)), tmp_path)


def test_activations_per_channel(tmp_path):
    model = QdqModel(X)
    inputs = [model.op("Sigmoid", [model.input]), model.plain([0.01] * 4, np.float32), model.plain([0] * 4, np.int8)]
    stored = model.op("QuantizeLinear", inputs, axis=1)
    proto = model.finish(model.op("DequantizeLinear", [stored, *inputs[1:]], axis=1))
    assert "an activation has 4 scales" in refusal_of(proto, tmp_path)


def test_scales_in_blocks(tmp_path):
    model = QdqModel(X, opset=21)
    scales = model.plain(np.full((5, 2, 3, 3), 0.01), np.float32)
    weight = model.op("DequantizeLinear", [model.plain(WEIGHTS), scales], axis=1, block_size=2)
    proto = model.finish(model.quantize(model.op("Conv", [model.input, weight]), 0.1))
    assert "in blocks" in refusal_of(proto, tmp_path)


def test_dynamic_quantization(tmp_path):
    model = QdqModel(X)
    scale = model.op("Identity", [model.op("ReduceMean", [model.input], keepdims=0)])
    stored = model.op("QuantizeLinear", [model.input, scale])
    refusal_of(model.finish(model.op("DequantizeLinear", [stored, scale])), tmp_path)


def test_missing_quantize_behind_an_operator(tmp_path):
    message = refusal_of(conv_with(WEIGHTS, 0.01, quantize_output=False), tmp_path)
    assert "(Conv): no QuantizeLinear follows its output 'conv_" in message
    assert "DequantizeLinear -> operator" in message


def test_operators_without_quantization_between(tmp_path):
    model = QdqModel(X)
    real = model.op("Sigmoid", [model.op("AveragePool", [model.input], kernel_shape=[2, 2])])
    message = refusal_of(model.finish(model.quantize(real, 0.01)), tmp_path)
    assert "(AveragePool): no QuantizeLinear follows its output" in message


def test_operator_before_the_first_quantize(tmp_path):
    model = QdqModel(X)
    real = model.op("Sigmoid", ["input"])
    assert "which is not quantised" in refusal_of(model.finish(model.quantize(real, 0.01)), tmp_path)


def test_operator_on_integers(tmp_path):
    model = QdqModel(X, border="int8")
    stored = model.op("Add", ["input", "input"])
    inputs = [stored, model.plain(0.01, np.float32), model.plain(0, np.int8)]
    both = model.op("Add", [model.op("DequantizeLinear", inputs), model.input])
    refusal_of(model.finish(model.quantize(both, 0.01)), tmp_path)


def test_input_quantized_in_two_ways(tmp_path):
    model = QdqModel(X)
    inputs = [model.plain(0.2, np.float32), model.plain(0, np.int8)]
    other = model.op("DequantizeLinear", [model.op("QuantizeLinear", ["input", *inputs]), *inputs])
    proto = model.finish(model.quantize(model.op("Add", [model.input, other]), 0.1))
    assert "quantised in two ways" in refusal_of(proto, tmp_path)


def test_output_quantized_in_two_ways(tmp_path):
    model = QdqModel(X)
    real = model.op("Softmax", [model.input])
    first = model.quantize(real, 0.01)
    inputs = [model.plain(0.02, np.float32), model.plain(0, np.int8)]
    second = model.op("DequantizeLinear", [model.op("QuantizeLinear", [real, *inputs]), *inputs])
    proto = model.finish(model.quantize(model.op("Add", [first, second]), 0.1))
    assert "its output is quantised in two ways" in refusal_of(proto, tmp_path)


def test_read_by_other_parameters_than_written(tmp_path):
    model = QdqModel(X)
    inputs = ["input_q", model.plain(0.5, np.float32), model.plain(0, np.int8)]
    real = model.op("Sigmoid", [model.op("DequantizeLinear", inputs)])
    message = refusal_of(model.finish(model.quantize(real, 0.01)), tmp_path)
    assert "quantised in two ways" in message or "by another scale" in message


def test_second_output_of_an_operator(tmp_path):
    model = QdqModel((1, 4, 6, 6))
    _, indices = model.op("MaxPool", [model.input], 2, kernel_shape=[2, 2])
    real = model.op("Cast", [indices], to=TensorProto.FLOAT)
    refusal_of(model.finish(model.quantize(real, 0.1)), tmp_path)
