import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from tinyformer.errors import DataError, UnsupportedModelError
from tinyformer.quantization import (
    CalibrationSettings,
    InputQuantization,
    QuantizationSettings,
    check,
    predict,
    quantize,
    quantize_model,
)

MIN_MAX = CalibrationSettings(method="min_max")
CHANNELS = 6


def _float_model(weights: dict[str, np.ndarray] | None = None) -> onnx.ModelProto:
    """A convolution, an encoder's operators and a classifier."""
    model = parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[1, 2, 5, 5] x) => (float[1, 3] y)
        <int64[3] rows = {{1, 9, {CHANNELS}}}, int64[2] flat = {{1, {9 * CHANNELS}}}>
        {{
            conv = Conv <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (x, wc, bc)
            relu = Relu(conv)
            last = Transpose <perm = [0, 2, 3, 1]> (relu)
            tokens = Reshape(last, rows)
            norm = LayerNormalization <axis = -1> (tokens, gamma, beta)
            product = MatMul(norm, wq)
            query = Add(product, bq)
            keys = Transpose <perm = [0, 2, 1]> (norm)
            scores = MatMul(query, keys)
            attention = Softmax <axis = -1> (scores)
            context = MatMul(attention, norm)
            residual = Add(tokens, context)
            vector = Reshape(residual, flat)
            y = Gemm <transB = 1> (vector, wl, bl)
        }}
    """)
    rng = np.random.default_rng(0)
    values = {
        "wc": rng.normal(size=(CHANNELS, 2, 3, 3)),
        "bc": rng.normal(size=CHANNELS),
        "gamma": rng.uniform(0.2, 2, CHANNELS),
        "beta": rng.normal(size=CHANNELS),
        "wq": rng.normal(size=(CHANNELS, CHANNELS)),
        "bq": rng.normal(size=CHANNELS),
        "wl": rng.normal(size=(3, 9 * CHANNELS)),
        "bl": rng.normal(size=3),
    } | (weights or {})
    for name, value in values.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
    return model


def _inputs(count: int = 40) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, 2, 5, 5)).astype(np.float32)


def _constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor).copy() for tensor in model.graph.initializer}


def _weights() -> dict[str, np.ndarray]:
    return {name: value for name, value in _constants(_float_model()).items() if value.dtype == np.float32}


def _dequantized(model: onnx.ModelProto, operator: str, index: int) -> tuple[np.ndarray, ...]:
    """Values, scale and zero point of a constant input of a node."""
    producers = {name: node for node in model.graph.node for name in node.output}
    node = next(node for node in model.graph.node if node.op_type == operator)
    constants = _constants(model)
    return tuple(constants[name] for name in producers[node.input[index]].input)


@pytest.fixture(scope="module")
def quantized() -> onnx.ModelProto:
    return quantize_model(_float_model(), _inputs(), QuantizationSettings(MIN_MAX))


def test_the_integers_stay_close_to_the_real_numbers(quantized: onnx.ModelProto):
    onnx.checker.check_model(quantized, full_check=True)
    expected = predict(_float_model(), _inputs())
    error = predict(quantized, _inputs()) - expected
    assert np.sqrt(np.mean(error**2)) < 0.03 * np.std(expected)


def test_operators_keep_their_order_and_lose_their_relu(quantized: onnx.ModelProto):
    operators = [n.op_type for n in quantized.graph.node if not n.op_type.endswith("Linear")]
    assert operators == [
        *("Conv", "Transpose", "Reshape", "LayerNormalization", "Reshape", "Gemm", "Reshape", "Transpose"),
        *("MatMul", "Softmax", "MatMul", "Add", "Reshape", "Gemm"),
    ]


@pytest.mark.parametrize(
    ("operator", "weight", "axis"), [("Conv", "wc", 0), ("Gemm", "wq", 1), ("LayerNormalization", "gamma", 0)]
)
def test_weights_are_rounded_per_output_channel(quantized: onnx.ModelProto, operator: str, weight: str, axis: int):
    real = np.moveaxis(_constants(_float_model())[weight], axis, 0)
    values, scale, zero_point = _dequantized(quantized, operator, 1)
    values = np.moveaxis(values, axis, 0)
    expected = np.abs(real).reshape(len(real), -1).max(axis=1) / 127
    np.testing.assert_allclose(scale, expected, rtol=1e-6)
    assert not zero_point.any()
    assert np.abs(values.reshape(len(real), -1) * scale[:, None] - real.reshape(len(real), -1)).max() <= scale.max() / 2
    assert np.abs(values).max() == 127


def test_zero_weights_stay_zero():
    rng = np.random.default_rng(3)
    pruned = rng.normal(size=(CHANNELS, 2, 3, 3)) * (rng.random((CHANNELS, 1, 3, 3)) < 0.3)
    pruned[2] = 0
    quantized = quantize_model(_float_model({"wc": pruned}), _inputs(), QuantizationSettings(MIN_MAX))
    values, scale, _ = _dequantized(quantized, "Conv", 1)
    assert not values[pruned == 0].any()
    assert scale[2] == scale.max()  # a channel without weights is its bias, to the layer's resolution


def test_a_channel_without_weights_keeps_its_bias():
    weights = _weights()
    weights["wc"][1] = 0
    weights["bc"][1] = 0.7654321
    quantized = quantize_model(_float_model(weights), _inputs(), QuantizationSettings(MIN_MAX))
    bias, scale, _ = _dequantized(quantized, "Conv", 2)
    assert bias[1] * scale[1] == pytest.approx(0.7654321, rel=1e-3)


def test_a_bias_never_overflows():
    weights = _weights()
    weights["wc"][1] = 1e-12
    weights["bc"][1] = 5
    quantized = quantize_model(_float_model(weights), _inputs(), QuantizationSettings(MIN_MAX))
    bias, scale, _ = _dequantized(quantized, "Conv", 2)
    assert bias[1] * scale[1] == pytest.approx(5, rel=1e-3)
    assert abs(int(bias[1])) <= 2**28


def test_a_value_that_is_always_zero_has_a_scale():
    weights = _weights()
    weights["bc"][:] = -1000
    quantized = quantize_model(_float_model(weights), _inputs(), QuantizationSettings(MIN_MAX))
    assert _constants(quantized)["relu_scale"] == pytest.approx(1 / 255)
    np.testing.assert_allclose(predict(quantized, _inputs()), predict(_float_model(weights), _inputs()), atol=0.15)


def test_the_input_takes_the_quantisation_it_is_given():
    settings = QuantizationSettings(MIN_MAX, InputQuantization.of_bytes(100, 32.0))
    quantized = quantize_model(_float_model(), _inputs(), settings)
    first = next(node for node in quantized.graph.node if node.input[0] == "x")
    constants = _constants(quantized)
    assert first.op_type == "QuantizeLinear"
    assert constants[first.input[1]] == pytest.approx(1 / 32)
    assert constants[first.input[2]] == -28


def test_data_movement_may_come_first():
    model = parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[1, 4, 2] x) => (float[1, 2, 4] y) {
            t = Transpose <perm = [0, 2, 1]> (x)
            y = Add(t, t)
        }
    """)
    quantized = quantize_model(model, np.ones((2, 4, 2), np.float32))
    assert [n.op_type for n in quantized.graph.node if not n.op_type.endswith("Linear")] == ["Transpose", "Add"]


def test_files_in_and_out(tmp_path):
    onnx.save_model(_float_model(), tmp_path / "float.onnx")
    quantize(tmp_path / "float.onnx", _inputs(), tmp_path / "int8.onnx")
    assert predict(tmp_path / "int8.onnx", _inputs(2)).shape == (2, 3)


def test_quantisation_repeats(quantized: onnx.ModelProto):
    again = quantize_model(_float_model(), _inputs(), QuantizationSettings(MIN_MAX))
    assert again.SerializeToString() == quantized.SerializeToString()


def _change(model: onnx.ModelProto, prefix: str, edit) -> onnx.ModelProto:
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    tensor = next(t for t in changed.graph.initializer if t.name.startswith(prefix))
    tensor.CopyFrom(numpy_helper.from_array(edit(numpy_helper.to_array(tensor)), tensor.name))
    return changed


@pytest.mark.parametrize(
    ("prefix", "edit", "message"),
    [
        ("attention_scale", lambda a: a * 2, r"Softmax.*1/256 and -128"),
        ("wc_zero_point", lambda a: a + np.int8(1), "Conv.*int8 with zero point 0"),
        ("bc_quantized_scale", lambda a: a * 2, "Conv.*scale input x weight"),
        ("wc_scale", lambda a: a[:2], "2 weight scales"),
        ("bc_quantized", lambda a: a.astype(np.int16), "bias is int16"),
    ],
)
def test_a_broken_contract_is_named(quantized: onnx.ModelProto, prefix: str, edit, message: str):
    with pytest.raises(UnsupportedModelError, match=message):
        check(_change(quantized, prefix, edit))


def test_what_cannot_be_quantised_is_refused():
    model = parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[1, 4] x) => (float[1, 4] y) { y = Hardmax(x) }
    """)
    with pytest.raises(UnsupportedModelError, match="'x' is not quantised"):
        quantize_model(model, np.ones((2, 4), np.float32))


def test_an_operator_on_real_numbers_is_named(quantized: onnx.ModelProto):
    with pytest.raises(UnsupportedModelError, match=r"Conv.*not quantised"):
        check(_float_model())
    moved = onnx.ModelProto()
    moved.CopyFrom(quantized)
    conv = next(node for node in moved.graph.node if node.op_type == "Conv")
    conv.input[0] = "x"
    with pytest.raises(UnsupportedModelError, match="input 'x' is not quantised"):
        check(moved)


def test_data_movement_that_requantises_is_named(quantized: onnx.ModelProto):
    changed = onnx.ModelProto()
    changed.CopyFrom(quantized)
    transpose = next(node for node in changed.graph.node if node.op_type == "Transpose")
    reader = next(node for node in changed.graph.node if transpose.output[0] in node.input)
    reader.input[1] = "attention_scale"
    with pytest.raises(UnsupportedModelError, match=r"Transpose.*allowed: the same"):
        check(changed)


IDENTITY = "g ({kind}[{batch}, 3] x) => (float[N, 3] y) {{ {body} }}"


@pytest.mark.parametrize(
    ("kind", "batch", "body", "words"),
    [
        ("float", "8", "y = Relu(x)", "input 'x' has a batch of 8; allowed: 1 or a symbolic one"),
        ("uint8", "N", "z = Cast <to = 1> (x) y = Relu(z)", "input 'x' is uint8; allowed: float of 32 bits"),
        ("float16", "N", "z = Cast <to = 1> (x) y = Relu(z)", "input 'x' is float16"),
    ],
)
def test_an_input_that_cannot_be_quantised_is_named(kind: str, batch: str, body: str, words: str):
    text = IDENTITY.format(kind=kind, batch=batch, body=body)
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {text}')
    with pytest.raises(UnsupportedModelError, match=words):
        quantize_model(model, np.zeros((4, 3), np.float32))


def test_other_borders_and_numbers_are_refused():
    header = '<ir_version: 8, opset_import: ["" : 17]>'
    cases = {
        "g (float[1, 3] a, float[1, 3] b) => (float[1, 3] y) { y = Add(a, b) }": "inputs 'a', 'b' and the outputs 'y'",
        "g (float[1, 3] a) => (float[1, 3] y, float[1, 3] z) { y = Relu(a) z = Relu(y) }": "the outputs 'y', 'z'",
        "g (float[1, 3] a) => (float[1, 3] a) { }": "no operators",
    }
    for text, words in cases.items():
        with pytest.raises(UnsupportedModelError, match=words):
            quantize_model(parser.parse_model(f"{header} {text}"), np.zeros((4, 3), np.float32))
    with pytest.raises(UnsupportedModelError, match="constant 'bl' holds values that are not finite"):
        quantize_model(_float_model({"bl": np.array([1.0, np.nan, 0.0])}), _inputs())
    with pytest.raises(DataError, match="is not finite for the calibration data"):
        quantize_model(_float_model({"wl": np.full((3, 9 * CHANNELS), 3e38)}), _inputs())
