"""Every way in which a file can be refused: one line that says where, what, what is allowed and what to do."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from qdq_models import A, C, N, OperatorCase, QdqModel, R, W
from tinyformer.errors import UnsupportedModelError
from tinyformer.sparse_engine import frontend

X = (1, 4, 6, 6)


def refusal(path) -> str:
    with pytest.raises(UnsupportedModelError) as caught:
        frontend.load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert "; allowed: " in message
    assert message.count("; ") >= 2  # the remedy
    assert message.startswith(str(path))
    return message


def refusal_of(model: onnx.ModelProto, tmp_path) -> str:
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    return refusal(tmp_path / "model.onnx")


def identity_model(edit: Callable[[onnx.ModelProto], None]) -> onnx.ModelProto:
    model = QdqModel(X)
    proto = model.finish(model.quantize(model.op("Sigmoid", [model.input]), 0.01, -128))
    edit(proto)
    return proto


# ---- files -----------------------------------------------------------------------------------------------------------


def test_missing_file(tmp_path):
    assert "there is no such file" in refusal(tmp_path / "missing.onnx")


def test_directory(tmp_path):
    assert "there is no such file" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "it is empty"),
        (b"not an onnx file at all, but text", "not an ONNX file"),
        (b"\x00" * 64, "not an ONNX file"),
        (b"\x08\x0a", "it holds no ONNX graph"),
    ],
)
def test_not_onnx(tmp_path, content, what):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    assert what in refusal(path)


def test_every_truncation_is_refused(tmp_path):
    data = identity_model(lambda _: None).SerializeToString()
    for length in range(1, len(data) - 1, 7):
        path = tmp_path / "model.onnx"
        path.write_bytes(data[:length])
        refusal(path)


def test_file_name_with_a_line_break(tmp_path):
    with pytest.raises(UnsupportedModelError) as caught:
        frontend.load(tmp_path / "two\nlines.onnx")
    assert "\n" not in str(caught.value)


def test_missing_external_data(tmp_path):
    def edit(model):
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.ClearField("float_data")
        tensor.data_location = TensorProto.EXTERNAL
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", "gone.bin"

    assert "external data cannot be loaded" in refusal_of(identity_model(edit), tmp_path)


# ---- models as a whole -----------------------------------------------------------------------------------------------


def test_float_model_names_the_command(tmp_path):
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    borders = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in "xy"]
    model = helper.make_model(helper.make_graph(nodes, "float", borders[:1], borders[1:]))
    message = refusal_of(model, tmp_path)
    assert "it is a float model" in message
    assert "run: tinyformer quantize model.onnx" in message


def test_fused_operator_without_its_inputs(tmp_path):
    nodes = [helper.make_node("QLinearMatMul", list("abcdefgh")[:5], ["y"], name="product")]
    borders = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in "ay"]
    model = helper.make_model(helper.make_graph(nodes, "fused", borders[:1], borders[1:]))
    assert "node 'product' (QLinearMatMul): it has 5 inputs; allowed: at least 7" in refusal_of(model, tmp_path)


def test_fused_operator_of_another_library(tmp_path):
    nodes = [helper.make_node("QLinearWhere", list("abcdefgh"), ["y"], domain="com.microsoft")]
    borders = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in "az"]
    nodes += [helper.make_node("QuantizeLinear", ["y", "b"], ["z"])]
    model = helper.make_model(helper.make_graph(nodes, "fused", borders[:1], borders[1:]))
    assert "(QLinearWhere): operators of domain 'com.microsoft'" in refusal_of(model, tmp_path)


def test_two_inputs(tmp_path):
    def edit(model):
        model.graph.input.append(helper.make_tensor_value_info("second", TensorProto.FLOAT, [1, 4]))

    assert "it has 2 inputs ('input', 'second')" in refusal_of(identity_model(edit), tmp_path)


def test_two_outputs(tmp_path):
    def edit(model):
        model.graph.output.append(helper.make_tensor_value_info("input_q", TensorProto.INT8, None))

    assert "it has 2 outputs" in refusal_of(identity_model(edit), tmp_path)


def test_unsupported_operator_lists_the_supported(tmp_path):
    def edit(model):
        next(node for node in model.graph.node if node.op_type == "Sigmoid").op_type = "Det"

    message = refusal_of(identity_model(edit), tmp_path)
    assert "(Det): this operator is not supported" in message
    assert all(name in message for name in frontend.SUPPORTED_OPERATORS)


def test_foreign_domain(tmp_path):
    def edit(model):
        model.graph.node[2].domain = "com.example"

    assert "operators of domain 'com.example' are not supported" in refusal_of(identity_model(edit), tmp_path)


def test_old_operator_set(tmp_path):
    def edit(model):
        model.opset_import[0].version = 9

    assert "its operator set is 9; allowed: 10 .. " in refusal_of(identity_model(edit), tmp_path)


def test_unknown_operator_set(tmp_path):
    def edit(model):
        model.opset_import[0].version = 9999

    assert "its operator set is 9999" in refusal_of(identity_model(edit), tmp_path)


def test_broken_wiring(tmp_path):
    def edit(model):
        model.graph.node[2].input[0] = "nowhere"

    assert "nowhere" in refusal_of(identity_model(edit), tmp_path)


def test_output_that_nothing_computes(tmp_path):
    model = QdqModel(X)
    assert "nothing computes it" in refusal_of(model.finish(model.input), tmp_path)


def test_names_with_line_breaks_stay_on_one_line(tmp_path):
    def edit(model):
        node = next(node for node in model.graph.node if node.op_type == "Sigmoid")
        node.name, node.op_type = "bad\nname\x1b[31m" + "x" * 500, "Det"

    message = refusal_of(identity_model(edit), tmp_path)
    assert "bad\\nname\\x1b[31m" in message
    assert "x" * 100 not in message


def test_names_that_are_not_text(tmp_path):
    data = identity_model(lambda _: None).SerializeToString()
    path = tmp_path / "model.onnx"
    path.write_bytes(data.replace(b"Sigmoid", b"Sig\xffoid"))
    assert "not text" in refusal(path)


# ---- shapes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "what"),
    [
        (("N", 4, "height", 6), "axis 2 is dynamic ('height')"),
        ((2, 4, 6, 6), "its batch is 2"),
        ((1, 4, 0, 6), "its shape is 1x4x0x6"),
        ((1, 4, -3, 6), "its shape is 1x4x-3x6"),
        ((1, 70000, 70000, 6), "at most 67108864 elements"),
        ((), "it has no shape"),
    ],
)
def test_input_shapes(tmp_path, shape, what):
    model = QdqModel(shape)
    proto = model.finish(model.quantize(model.op("Sigmoid", [model.input]), 0.01))
    assert what in refusal_of(proto, tmp_path)


def test_input_of_another_type(tmp_path):
    def edit(model):
        model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64

    assert "input 'input': its element type is not supported" in refusal_of(identity_model(edit), tmp_path)


def test_shape_that_depends_on_the_input(tmp_path):
    model = QdqModel((1, 12))
    shape = model.op("Cast", [model.input], to=TensorProto.INT64)
    real = model.op("Reshape", [model.input, shape])
    refusal_of(model.finish(model.quantize(real, 0.01)), tmp_path)


def test_huge_padding(tmp_path):
    pads = (0, 0, 2**40, 0, 0, 0, 0, 0)
    refusal_of(OperatorCase("", "Pad", (A(X), N(pads)), output="input").model(), tmp_path)


def test_huge_initializer(tmp_path):
    def edit(model):
        tensor = model.graph.initializer[0]
        del tensor.dims[:]
        tensor.dims.extend([2**40, 2**40])

    assert "at most 67108864 elements" in refusal_of(identity_model(edit), tmp_path)


def test_split_that_would_kill_shape_inference(tmp_path):
    model = QdqModel((1, 3, 8))
    first, _ = model.op("Split", [model.input], 2, axis=2, num_outputs=7)
    assert "num_outputs is 7" in refusal_of(model.finish(model.quantize(first, 0.01)), tmp_path)


# ---- quantisation ----------------------------------------------------------------------------------------------------


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


# ---- operators -------------------------------------------------------------------------------------------------------

TOKENS = A((1, 5, 12))
OPERATORS = [
    (OperatorCase("conv3d", "Conv", (A((1, 2, 4, 4, 4)), W((3, 2, 3, 3, 3)))), "(1, C, L) or (1, C, H, W)"),
    (OperatorCase("batches", "MatMul", (A((2, 5, 6)), A((3, 1, 6, 4)))), "equal leading axes"),
    (OperatorCase("weights_first", "MatMul", (W((7, 5), 0), TOKENS)), "input 0 is a constant"),
    (
        OperatorCase("float_row", "Add", (TOKENS, R(np.arange(60.0).reshape(5, 12)))),
        "is not quantised to int8 per tensor",
    ),
    (OperatorCase("two_tensors", "Div", (A((1, 5, 12)), A((1, 5, 12), 0.1, -128))), "it has two tensors"),
    (OperatorCase("slopes", "PRelu", (A((1, 5, 12)), R(np.arange(60.0).reshape(5, 12)))), "varies along several axes"),
    (
        OperatorCase("same", "Conv", (A(X), W((5, 4, 2, 2))), {"auto_pad": "SAME_UPPER", "strides": [6, 6]}),
        "skips pixels",
    ),
    (OperatorCase("few", "PRelu", (A(X), R([[[0.1]], [[0.2]], [[0.3]]]))), "3 values for 4 channels"),
    (OperatorCase("linear", "Resize", (A(X), None, R([1.0, 1, 2, 2])), {"mode": "linear"}), "its mode is 'linear'"),
    (
        OperatorCase(
            "scattered", "Gather", (A((1, 300)), N(tuple(i * 7 % 300 * 41 % 300 for i in range(300)))), {"axis": 1}
        ),
        "pieces",
    ),
    (OperatorCase("training", "BatchNormalization", (A(X), *(R(np.ones(4)),) * 3, R(-np.ones(4)))), "not finite"),
    (OperatorCase("batch_softmax", "Softmax", (TOKENS,), {"axis": 0}), "along the batch axis"),
    (OperatorCase("dilated", "MaxPool", (A(X),), {"kernel_shape": [2, 2], "dilations": [2, 2]}), "dilations"),
    (OperatorCase("empty", "MaxPool", (A(X),), {"kernel_shape": [2, 2], "pads": [3, 0, 0, 0]}), "holds whole windows"),
    (OperatorCase("table", "Gather", (TOKENS, N(((0, 1), (2, 3)))), {"axis": 1}), "not a number or a list"),
    (OperatorCase("vector", "MatMul", (TOKENS, W((12,), 0))), "it multiplies (1, 5, 12) by (12,)"),
    (OperatorCase("computed_slope", "PRelu", (A((1, 5, 12)), A((1, 5, 12)))), "input 1 is computed at run time"),
    (OperatorCase("computed_gamma", "LayerNormalization", (A((1, 12)), A((12,)))), "input 1 is computed at run time"),
    (OperatorCase("constant_concat", "Concat", (C((1, 1, 12)), C((1, 1, 12)), TOKENS), {"axis": 0}), ""),
]


@pytest.mark.parametrize(("case", "what"), OPERATORS, ids=[case.name for case, _ in OPERATORS])
def test_operator_outside_what_is_supported(tmp_path, case, what):
    quiet = OperatorCase(case.name, case.op, case.operands, case.attributes, (0.1, 0), opset=case.opset)
    assert what in refusal_of(quiet.model(), tmp_path)


@pytest.mark.parametrize("value", [[0, 1], [1], [1, 2**40], [0]])
def test_strides_that_make_no_sense(tmp_path, value):
    case = OperatorCase("", "Conv", (A(X), W((5, 4, 3, 3))), {"strides": value}, (0.1, 0))
    refusal_of(case.model(), tmp_path)


def test_layer_norm_with_weights_of_another_size(tmp_path):
    case = OperatorCase("", "LayerNormalization", (TOKENS, R(np.ones(7))), output=(0.1, 0))
    refusal_of(case.model(), tmp_path)


def test_layer_norm_that_is_not_finite(tmp_path):
    case = OperatorCase("", "LayerNormalization", (TOKENS, R(np.full(12, np.inf))), output=(0.1, 0))
    assert "finite" in refusal_of(case.model(), tmp_path)


def test_channels_torn_apart(tmp_path):
    model = QdqModel((1, 5, 6))
    weight = model.constant(np.ones((4, 6), np.int8), [0.01] * 4, 0, 0)
    torn = model.op("Reshape", [weight, model.integers(6, 4)])
    proto = model.finish(model.quantize(model.op("MatMul", [model.input, torn]), 0.3))
    assert "tears the channels of quantised weights apart" in refusal_of(proto, tmp_path)


def test_sparse_initializer(tmp_path):
    def edit(model):
        sparse = model.graph.sparse_initializer.add()
        sparse.values.CopyFrom(numpy_helper.from_array(np.ones(1, np.float32), "sparse"))

    assert "'sparse': it is stored sparse" in refusal_of(identity_model(edit), tmp_path)


def test_file_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr("tinyformer.sparse_engine.frontend.reading._LARGEST_FILE_BYTES", 100)
    assert "at most 100" in refusal_of(identity_model(lambda _: None), tmp_path)


def test_input_that_nothing_quantises(tmp_path):
    model = QdqModel(X)
    model.nodes.clear()
    constant = model.constant(np.ones((1, 4), np.int8), 0.1)
    joined = model.op("Concat", [model.op("Flatten", ["input"]), constant], axis=1)
    assert "nothing quantises it" in refusal_of(model.finish(joined), tmp_path)


def test_initializer_with_too_little_data(tmp_path):
    def edit(model):
        tensor = next(t for t in model.graph.initializer if t.name.startswith("zero"))
        tensor.CopyFrom(numpy_helper.from_array(np.zeros(3, np.int8), tensor.name))
        tensor.raw_data = b"\x00"

    refusal_of(identity_model(edit), tmp_path)
