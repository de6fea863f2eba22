"""Files, models and shapes that are refused: one line that says where, what, what is allowed and what to do."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from qdq_models import A, N, OperatorCase, QdqModel
from refusals import X, identity_model, refusal, refusal_of
from tinyformer.errors import UnsupportedModelError
from tinyformer.sparse_engine import frontend

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
