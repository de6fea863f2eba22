import numpy as np
import onnx
import pytest

from qdq_models import QdqModel
from tinyformer.sparse_engine import frontend, ops, passes, reference


def lowered(model: onnx.ModelProto, tmp_path, without: str = ""):
    onnx.save(model, tmp_path / "model.onnx")
    pipeline = [step for step in passes.PIPELINE if step.name != without]
    return passes.run(frontend.load(tmp_path / "model.onnx"), pipeline)


def gated(combine: str, *, twice: bool = False) -> onnx.ModelProto:
    model = QdqModel((1, 5, 64))
    gate = model.quantize(model.op("Sigmoid", [model.input]), 1 / 256, -128)
    result = model.quantize(model.op(combine, [model.input, gate]), 0.03, -40)
    if twice:
        result = model.quantize(model.op("Mul", [gate, result]), 0.02, -40)
    return model.finish(result)


@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("combine", ["Add", "Mul", "Sub"])
def test_a_tensor_with_tables_of_itself_is_one_table_of_the_same_integers(combine, twice, tmp_path):
    model = gated(combine, twice=twice)
    graph, apart = lowered(model, tmp_path), lowered(model, tmp_path, "tabulate_pointwise")
    assert [type(node.op) for node in graph.nodes] == [ops.Lookup]
    assert len(apart.nodes) == 2 + twice
    values = np.arange(320).astype(np.int8).reshape(1, *graph.tensors[graph.input].shape)
    np.testing.assert_array_equal(reference.run(graph, values), reference.run(apart, values))


def test_tables_of_two_tensors_stay_apart(tmp_path):
    model = QdqModel((1, 8, 4))
    halves = model.moved("Split", [model.input, model.integers(4, 4)], 2, axis=1)
    gate = model.quantize(model.op("Sigmoid", [halves[0]]), 1 / 256, -128)
    result = model.quantize(model.op("Mul", [halves[1], gate]), 0.03, -40)
    assert ops.Mul in [type(node.op) for node in lowered(model.finish(result), tmp_path).nodes]
