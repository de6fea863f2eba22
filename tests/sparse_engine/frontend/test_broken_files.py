"""Thousands of slightly broken files: every one loads or is refused, and nothing else is ever raised."""

import random

import onnx
import pytest
from onnx import AttributeProto

import qdq_nets
from qdq_cases import CASES
from tinyformer.errors import UnsupportedModelError
from tinyformer.sparse_engine import frontend, passes

NUMBERS = [0, 1, -1, 2, 3, 127, 2**15, 2**31, -(2**31), 2**62]


def rewire(rng, graph, node):
    names = [name for other in graph.node for name in (*other.input, *other.output)]
    ends = rng.choice([end for end in (node.input, node.output) if end])
    ends[rng.randrange(len(ends))] = rng.choice([*names, "", "nowhere"])


def rename_operator(rng, graph, node):
    node.op_type = rng.choice([*frontend.SUPPORTED_OPERATORS, "QuantizeLinear", "DequantizeLinear"])


def remove_node(rng, graph, node):
    graph.node.remove(node)


def change_attribute(rng, graph, node):
    if not node.attribute:
        return
    attribute = rng.choice(node.attribute)
    if attribute.type == AttributeProto.INT:
        attribute.i = rng.choice(NUMBERS)
    elif attribute.type == AttributeProto.INTS and attribute.ints:
        attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(NUMBERS)
    elif attribute.type == AttributeProto.FLOAT:
        attribute.f = rng.choice([0.0, -1.0, float("nan"), float("inf"), 1e38])
    else:
        attribute.type = rng.choice([AttributeProto.INT, AttributeProto.STRING, AttributeProto.TENSOR])


def change_dims(rng, graph, node):
    tensor = rng.choice(graph.initializer)
    if tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(NUMBERS)
    else:
        tensor.dims.append(rng.choice(NUMBERS))


def change_type(rng, graph, node):
    rng.choice(graph.initializer).data_type = rng.randrange(26)


def change_data(rng, graph, node):
    tensor = rng.choice(graph.initializer)
    data = bytearray(tensor.raw_data)
    for _ in range(rng.randrange(4) if data else 0):
        data[rng.randrange(len(data))] = rng.randrange(256)
    tensor.raw_data = bytes(data[: rng.choice([len(data), len(data), len(data) // 2])])


def change_input(rng, graph, node):
    tensor = graph.input[0].type.tensor_type
    if rng.random() < 0.3:
        tensor.elem_type = rng.randrange(26)
    else:
        rng.choice(tensor.shape.dim).dim_value = rng.choice(NUMBERS)


MUTATIONS = [
    rewire, rewire, rename_operator, remove_node, change_attribute, change_attribute,
    change_dims, change_type, change_data, change_data, change_input,
]  # fmt: skip


def outcome(path) -> str:
    try:
        graph = frontend.load(path)
    except UnsupportedModelError as error:
        return "refused" if "\n" not in str(error) else "refused at length"
    try:
        passes.run(graph)
    except UnsupportedModelError:
        return "refused later"
    return "accepted"


@pytest.fixture(scope="module")
def models() -> list[onnx.ModelProto]:
    return [*(case.model() for case in CASES[::3]), qdq_nets.convolutional_net(), qdq_nets.encoder_net()]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_broken_structure(tmp_path, models, seed):
    rng = random.Random(seed)
    found = set()
    for _ in range(300):
        model = onnx.ModelProto()
        model.CopyFrom(rng.choice(models))
        for _ in range(rng.choice([1, 1, 2, 3])):
            if model.graph.node:
                rng.choice(MUTATIONS)(rng, model.graph, rng.choice(model.graph.node))
        path = tmp_path / "model.onnx"
        path.write_bytes(model.SerializeToString())
        found.add(outcome(path))
    assert {"refused", "accepted"} <= found <= {"refused", "accepted", "refused later"}


@pytest.mark.slow
def test_broken_bytes(tmp_path, models):
    rng = random.Random(9)
    for _ in range(300):
        data = bytearray(rng.choice(models).SerializeToString())
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path = tmp_path / "model.onnx"
        path.write_bytes(data)
        assert outcome(path) != "refused at length"
