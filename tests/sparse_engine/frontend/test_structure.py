"""What stands around operators: borders, data movement without quantisation, constants, names, folded shapes."""

import numpy as np
import onnx
import pytest
from onnx import helper

from qdq_models import QdqModel, run_onnx
from tinyformer.sparse_engine import frontend, ops, passes, reference
from tinyformer.sparse_engine.ir import Graph, QuantParams


def load(model: onnx.ModelProto, tmp_path) -> Graph:
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    return frontend.load(tmp_path / "model.onnx")


def assert_equal(model: onnx.ModelProto, graph: Graph, samples, steps: int = 0) -> None:
    """Check that the lowered graph computes what onnxruntime does."""
    lowered = passes.run(graph)
    source, output = lowered.tensors[lowered.input], lowered.tensors[lowered.output]
    for sample in samples:
        expected = run_onnx(model, sample[np.newaxis], intermediates=True)[lowered.output].astype(np.int64)
        actual = reference.run(lowered, source.from_model(sample[np.newaxis]))
        batch = expected if expected.shape[0] == 1 else expected[np.newaxis]
        assert np.abs(output.from_model(batch) - actual).max() <= steps


def integers(*shape: int) -> np.ndarray:
    return np.random.default_rng(2).integers(-128, 128, shape).astype(np.int8)


def weights(model: QdqModel, shape, axis=0) -> str:
    generator = np.random.default_rng(4)
    scales = generator.uniform(0.01, 0.02, shape[axis])
    return model.constant(generator.integers(-127, 128, shape).astype(np.int8), scales, 0, axis)


# ---- borders ---------------------------------------------------------------------------------------------------------


def test_float_input_is_the_quantised_tensor(tmp_path):
    model = QdqModel((1, 3, 4, 4), quant=(0.02, 5))
    graph = load(model.finish(model.quantize(model.op("Sigmoid", [model.input]), 0.01, -128)), tmp_path)
    assert graph.input == "input_q"
    assert graph.tensors["input_q"].shape == (3, 4, 4)
    assert graph.tensors["input_q"].quant == QuantParams((float(np.float32(0.02)),), 5)
    assert graph.output.startswith("sigmoid")
    assert graph.output.endswith("_q")


@pytest.mark.parametrize("border", ["int8", "uint8"])
def test_integer_borders(tmp_path, border):
    model = QdqModel((1, 3, 4, 4), border=border, quant=(0.02, 5))
    result = model.quantize(model.op("Sigmoid", [model.input]), 0.01, -128, border)
    graph = load(model.finish(result), tmp_path)
    assert graph.input == "input"
    assert graph.tensors["input"].quant == QuantParams((float(np.float32(0.02)),), 5)
    assert graph.tensors[graph.output].quant == QuantParams((float(np.float32(0.01)),), -128)


def test_movement_between_float_input_and_quantize(tmp_path):
    model = QdqModel((1, 4, 4, 3))
    model.nodes.clear()
    moved = model.op("Transpose", ["input"], perm=[0, 3, 1, 2])
    x = model.quantize(moved, 0.05, -7)
    real = model.op("Conv", [x, weights(model, (5, 3, 3, 3))])
    proto = model.finish(model.quantize(real, 0.2))
    graph = load(proto, tmp_path)
    assert graph.tensors[graph.input].shape == (4, 4, 3)
    assert [node.op.kind for node in passes.run(graph).nodes] == ["conv2d"]
    assert_equal(proto, graph, integers(2, 4, 4, 3))


def test_movement_between_dequantize_and_float_output(tmp_path):
    model = QdqModel((1, 3, 4))
    inner = model.quantize(model.op("Sigmoid", [model.input]), 0.01, -128)
    graph = load(model.finish(model.op("Reshape", [inner, model.integers(1, 12)])), tmp_path)
    assert graph.tensors[graph.output].shape == (12,)


def test_dynamic_batch_is_one(tmp_path):
    model = QdqModel(("batch", 3, 4))
    graph = load(model.finish(model.quantize(model.op("Sigmoid", [model.input]), 0.01, -128)), tmp_path)
    assert graph.tensors[graph.input].shape == (3, 4)


def test_initializers_among_the_inputs(tmp_path):
    model = QdqModel((1, 3, 4))
    proto = model.finish(model.quantize(model.op("Sigmoid", [model.input]), 0.01, -128))
    for tensor in proto.graph.initializer:
        proto.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    load(proto, tmp_path)


def test_output_kept_in_the_order_of_the_file(tmp_path):
    model = QdqModel((1, 3, 4, 5))
    conv = model.quantize(model.op("Conv", [model.input, weights(model, (6, 3, 1, 1))]), 0.2)
    proto = model.finish(model.moved("Transpose", [conv], perm=[0, 2, 3, 1]))
    graph = passes.run(load(proto, tmp_path))
    output = graph.tensors[graph.output]
    assert (output.shape, output.axis_order) == ((4, 5, 6), ())
    assert [node.op.kind for node in graph.nodes] == ["linear"]
    assert_equal(proto, load(proto, tmp_path), integers(2, 3, 4, 5))


def test_channels_last_output_says_so(tmp_path):
    model = QdqModel((1, 3, 4, 5))
    proto = model.finish(model.quantize(model.op("Conv", [model.input, weights(model, (6, 3, 1, 1))]), 0.2))
    graph = passes.run(load(proto, tmp_path))
    assert graph.tensors[graph.input].axis_order == graph.tensors[graph.output].axis_order == (1, 2, 0)
    assert_equal(proto, load(proto, tmp_path), integers(2, 3, 4, 5))


# ---- a converted TFLite model ----------------------------------------------------------------------------------------


def converted_model() -> onnx.ModelProto:
    """Return a net as tf2onnx writes it: symbolic batch, int8 borders, channels-last input, Relu behind operators."""
    model = QdqModel(("unk__1", 8, 8, 3), border="int8", opset=13)
    x = model.op("Transpose", [model.input], perm=[0, 3, 1, 2])
    x = model.op("Conv", [x, weights(model, (6, 3, 3, 3))], auto_pad="SAME_UPPER", strides=[2, 2])
    x = model.quantize(model.op("Relu", [x]), 0.3, -128)
    x = model.quantize(model.op("Conv", [x, weights(model, (6, 1, 3, 3))], group=6, pads=[1] * 4), 0.4, 3)
    x = model.moved("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
    x = model.op("Transpose", [x], perm=[0, 2, 3, 1])
    shape = model.op("Shape", [x])
    batch = model.op("Gather", [shape, model.plain(0, np.int64)], axis=0)
    batch = model.op("Unsqueeze", [batch, model.integers(0)])
    target = model.op("Concat", [batch, model.integers(-1)], axis=0)
    x = model.op("Reshape", [x, target])
    x = model.op("MatMul", [x, weights(model, (24, 10), 1)])
    bias = np.arange(-500, 500, 100).astype(np.float32) / 100
    x = model.quantize(model.op("Add", [x, model.plain(bias)]), 0.4, 3)
    return model.finish(model.quantize(model.op("Softmax", [x]), 1 / 256, -128))


def test_converted_tflite_model(tmp_path):
    proto = converted_model()
    graph = load(proto, tmp_path)
    lowered = passes.run(graph)
    expected = ["conv2d", "depthwise_conv2d", "max_pool2d", "reshape", "linear", "softmax"]
    assert [node.op.kind for node in lowered.nodes] == expected
    assert lowered.nodes[0].op.low == -128  # Relu at zero point -128
    assert_equal(proto, graph, integers(4, 8, 8, 3), steps=1)


# ---- constants -------------------------------------------------------------------------------------------------------


def test_weights_quantised_in_the_graph(tmp_path):
    model = QdqModel((1, 6))
    real = np.random.default_rng(3).normal(0, 0.3, (4, 6)).astype(np.float32)
    scales, zeros = model.plain(np.full(4, 0.01), np.float32), model.plain(np.zeros(4), np.int8)
    stored = model.op("QuantizeLinear", [model.plain(real), scales, zeros], axis=0)
    weight = model.op("DequantizeLinear", [stored, scales, zeros], axis=0)
    proto = model.finish(model.quantize(model.op("Gemm", [model.input, weight], transB=1), 0.05))
    graph = load(proto, tmp_path)
    assert_equal(proto, graph, integers(3, 6))


def test_transposed_weights_keep_their_channels(tmp_path):
    model = QdqModel((1, 5, 6))
    weight = model.op("Transpose", [weights(model, (4, 6))], perm=[1, 0])
    proto = model.finish(model.quantize(model.op("MatMul", [model.input, weight]), 0.3))
    graph = load(proto, tmp_path)
    linear = next(node for node in graph.nodes if node.op.kind == "linear")
    assert graph.tensors[linear.inputs[1]].shape == (4, 6)
    assert_equal(proto, graph, integers(3, 5, 6))


def test_weights_behind_constant_nodes(tmp_path):
    model = QdqModel((1, 6))
    value = onnx.numpy_helper.from_array(np.eye(6, dtype=np.int8) * 100)
    stored = model.op("Constant", [], value=value)
    weight = model.op("DequantizeLinear", [stored, model.plain(0.01, np.float32), model.plain(0, np.int8)])
    proto = model.finish(model.quantize(model.op("MatMul", [model.input, weight]), 0.05))
    assert_equal(proto, load(proto, tmp_path), integers(3, 6))


def test_bias_of_int32_is_taken_as_it_is(tmp_path):
    model = QdqModel((1, 6))
    weight = model.constant(np.ones((4, 6), np.int8), [0.01] * 4, 0, 0)
    steps = np.array([1, -(2**24) - 1, 2**28 + 1, 0], np.int32)
    bias = model.constant(steps, [np.float32(0.05) * np.float32(0.01)] * 4, 0, 0)
    proto = model.finish(model.quantize(model.op("Gemm", [model.input, weight, bias], transB=1), 1e4))
    graph = load(proto, tmp_path)
    assert np.array_equal(graph.data[graph.nodes[-1].inputs[2]], steps)


def test_float_bias_is_rounded_to_the_contract(tmp_path):
    model = QdqModel((1, 6))
    weight = model.constant(np.ones((4, 6), np.int8), [0.01] * 4, 0, 0)
    bias = model.plain(np.array([0.4, 0.6, -0.6, 1e4]) * 0.05 * 0.01, np.float32)
    proto = model.finish(model.quantize(model.op("Gemm", [model.input, weight, bias], transB=1), 1.0))
    graph = load(proto, tmp_path)
    assert graph.data[graph.nodes[-1].inputs[2]].tolist() == [0, 1, -1, 10000]


@pytest.mark.parametrize("gamma", [0.0, 1e-5])
def test_layer_norm_with_tiny_gamma_keeps_a_precise_multiplier(tmp_path, gamma):
    model = QdqModel((1, 5, 4))
    inputs = [model.input, model.plain(np.full(4, gamma), np.float32), model.plain([0.5, 1, 2, -3], np.float32)]
    proto = model.finish(model.quantize(model.op("LayerNormalization", inputs), 0.02))
    graph = load(proto, tmp_path)
    assert passes.run(graph).nodes[0].op.multiplier >= 2**14
    assert_equal(proto, graph, integers(2, 5, 4), steps=1)


def test_layer_norm_parameters_are_integers(tmp_path):
    model = QdqModel((1, 5, 4))
    gamma, beta = np.array([1.0, -0.5, 0.25, 0.0]), np.array([0.5, -0.25, 0.0, 1.0])
    inputs = [model.input, model.plain(gamma, np.float32), model.plain(beta, np.float32)]
    graph = load(model.finish(model.quantize(model.op("LayerNormalization", inputs), 0.02)), tmp_path)
    (node,) = graph.nodes
    stored = [graph.data[name] for name in node.inputs[1:]]
    scales = [graph.tensors[name].quant.scale for name in node.inputs[1:]]
    assert [array.dtype for array in stored] == [np.int16, np.int32]
    assert scales[1] == scales[0] * 2**-7
    np.testing.assert_allclose(stored[0] * scales[0], gamma, atol=scales[0])
    np.testing.assert_allclose(stored[1] * scales[1], beta, atol=scales[1])


def test_huge_bias_of_layer_norm_coarsens_its_scale(tmp_path):
    model = QdqModel((1, 5, 4))
    inputs = [model.input, model.plain(np.full(4, 1e-6), np.float32), model.plain([1e6, 0, -1e6, 1], np.float32)]
    proto = model.finish(model.quantize(model.op("LayerNormalization", inputs), 0.02))
    graph = load(proto, tmp_path)
    assert np.abs(graph.data[graph.nodes[0].inputs[2]].astype(np.int64)).max() < 2**31 - 1
    assert_equal(proto, graph, integers(2, 5, 4), steps=1)


def test_weights_used_twice_are_stored_once(tmp_path):
    model = QdqModel((1, 5, 6))
    weight = weights(model, (6, 6), 1)
    x = model.quantize(model.op("MatMul", [model.input, weight]), 0.3)
    proto = model.finish(model.quantize(model.op("MatMul", [x, weight]), 2.0))
    graph = load(proto, tmp_path)
    first, second = (node.inputs for node in graph.nodes)
    assert first[1] == second[1]
    assert first[2] != second[2]
    assert_equal(proto, graph, integers(2, 5, 6))


def test_requantisation_between_two_operators(tmp_path):
    model = QdqModel((1, 6))
    proto = model.finish(model.quantize(model.quantize(model.op("Neg", [model.input]), 0.06, 9), 0.11, -4))
    graph = load(proto, tmp_path)
    assert [node.op.function for node in graph.nodes] == ["neg", "requantize"]
    assert_equal(proto, graph, integers(4, 6))


def test_same_parameters_again_cost_nothing(tmp_path):
    model = QdqModel((1, 6))
    proto = model.finish(model.quantize(model.quantize(model.op("Neg", [model.input]), 0.06, 9), 0.06, 9))
    assert len(load(proto, tmp_path).nodes) == 1


def test_missing_zero_point_is_that_of_uint8(tmp_path):
    model = QdqModel((1, 6))
    scale = model.plain(0.01, np.float32)
    stored = model.op("QuantizeLinear", [model.op("Sigmoid", [model.input]), scale])
    graph = load(model.finish(model.op("DequantizeLinear", [stored, scale])), tmp_path)
    assert graph.tensors[graph.output].quant.zero_point == -128


def test_flattened_constant(tmp_path):
    model = QdqModel((1, 6))
    constant = model.constant(integers(2, 3), 0.03, 4)
    row = model.op("Reshape", [constant, model.integers(1, 6)])
    proto = model.finish(model.quantize(model.op("Add", [model.input, row]), 0.06, 9))
    assert_equal(proto, load(proto, tmp_path), integers(3, 6), steps=1)


# ---- names -----------------------------------------------------------------------------------------------------------


def test_names_are_data(tmp_path):
    model = QdqModel((1, 3, 4))
    proto = model.finish(model.quantize(model.op("Sigmoid", [model.input]), 0.01, -128))
    next(node for node in proto.graph.node if node.op_type == "Sigmoid").name = '*/ int main(void) { "'
    graph = load(proto, tmp_path)
    assert graph.nodes[0].name.startswith("*/ int main")


def test_nodes_without_names_get_unique_ones(tmp_path):
    model = QdqModel((1, 3, 4))
    x = model.quantize(model.op("Sigmoid", [model.input]), 0.01, -128)
    proto = model.finish(model.quantize(model.op("Tanh", [x]), 0.01, -128))
    for node in proto.graph.node:
        node.name = ""
    graph = load(proto, tmp_path)
    assert [type(node.op) for node in graph.nodes] == [ops.Lookup, ops.Lookup]
    assert len({node.name for node in graph.nodes}) == 2


def test_local_functions_are_inlined(tmp_path):
    model = QdqModel((1, 3, 4))
    proto = model.finish(model.quantize(model.op("Sigmoid", [model.input]), 0.01, -128))
    node = next(node for node in proto.graph.node if node.op_type == "Sigmoid")
    body = [helper.make_node("Sigmoid", ["a"], ["b"])]
    opsets = [helper.make_opsetid("", 20)]
    proto.functions.append(helper.make_function("local", "Activation", ["a"], ["b"], body, opsets))
    proto.opset_import.append(helper.make_opsetid("local", 1))
    node.op_type, node.domain = "Activation", "local"
    graph = load(proto, tmp_path)
    assert [n.op.kind for n in graph.nodes] == ["lookup"]


def test_load_is_deterministic(tmp_path):
    proto = converted_model()
    assert load(proto, tmp_path).to_text() == load(proto, tmp_path).to_text()
