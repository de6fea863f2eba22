"""The pipeline as a whole: golden text of two nets, equality with onnxruntime operator by operator, errors."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import pytest

import qdq_nets
from forced_comparison import operator_differences
from pass_graphs import GraphOf, without_data
from qdq_models import run_onnx
from tinyformer.errors import UnsupportedModelError
from tinyformer.sparse_engine import frontend, ops, passes, reference
from tinyformer.sparse_engine.ir import Graph, GraphError, Node
from tinyformer.sparse_engine.ops import Transpose

GOLDEN = Path(__file__).parent / "golden"
NETS = {
    "convolutional_net": qdq_nets.convolutional_net,
    "encoder_net": qdq_nets.encoder_net,
}


@pytest.fixture(params=NETS)
def net(request, tmp_path) -> tuple[str, onnx.ModelProto, Graph]:
    model = NETS[request.param]()
    path = tmp_path / f"{request.param}.onnx"
    onnx.save(model, path)
    return request.param, model, frontend.load(path)


@pytest.mark.parametrize("stage", ["loaded", "lowered"])
def test_golden_text(net, stage):
    name, _, graph = net
    text = (passes.run(graph) if stage == "lowered" else graph).to_text()
    assert text == (GOLDEN / f"{name}.{stage}.txt").read_text(encoding="utf-8")


def test_every_operator_is_within_one_step_of_onnxruntime(net):
    _, model, graph = net
    single = [step for step in passes.PIPELINE if step.name not in ("fuse_pooling", "fuse_attention")]
    lowered = passes.run(graph, single)
    generator = np.random.default_rng(0)
    for _ in range(3):
        sample = generator.integers(-128, 128, (3, 8, 8)).astype(np.int8)
        differences = operator_differences(model, lowered, sample)
        assert len(differences) >= 8
        assert max(differences.values()) <= 1


def test_fusing_changes_no_integer(net):
    _, _, graph = net
    single = [step for step in passes.PIPELINE if step.name not in ("fuse_pooling", "fuse_attention")]
    apart, fused = passes.run(graph, single), passes.run(graph)
    assert len(fused.nodes) < len(apart.nodes)
    samples = np.random.default_rng(0).integers(-128, 128, (3, *fused.tensors[fused.input].shape)).astype(np.int8)
    np.testing.assert_array_equal(reference.run(fused, samples), reference.run(apart, samples))


def test_same_class_as_onnxruntime():
    model = qdq_nets.convolutional_net()
    values = np.random.default_rng(1).integers(-128, 128, (40, 3, 8, 8)).astype(np.int8)
    expected = [int(np.argmax(run_onnx(model, value[np.newaxis])[model.graph.output[0].name])) for value in values]
    assert len(set(expected)) > 2
    graph = passes.run(load(model))
    actual = reference.run(graph, graph.tensors[graph.input].from_model(values)).argmax(axis=1)
    assert np.mean(actual == expected) >= 0.99


def load(model: onnx.ModelProto) -> Graph:
    with TemporaryDirectory() as directory:
        onnx.save(model, Path(directory) / "model.onnx")
        return frontend.load(Path(directory) / "model.onnx")


def test_convolutional_net_has_no_transpose(net):
    name, _, graph = net
    left = [node.op for node in passes.run(graph).nodes if isinstance(node.op, Transpose)]
    heads = [Transpose((1, 0, 2))] * 4  # queries, keys, values, and their result
    assert left == ([] if name == "convolutional_net" else heads)


def test_one_head_has_no_transpose():
    graph = passes.run(load(qdq_nets.encoder_net(heads=1)))
    assert not [node for node in graph.nodes if isinstance(node.op, Transpose)]


def test_pipeline_is_deterministic(net):
    graph = net[2]
    first, second = passes.run(graph), passes.run(graph)
    assert first.to_text() == second.to_text()
    assert all(np.array_equal(first.data[name], second.data[name]) for name in first.data)


def test_graph_without_data_becomes_the_same_graph(net):
    graph = net[2]
    lowered, bare = passes.run(graph), passes.run(without_data(graph))
    assert bare.nodes == lowered.nodes
    assert dict(bare.tensors) == dict(lowered.tensors)


def test_layout_does_not_change_when_run_again(net):
    integers = ("fold_zero_points", "lower_requantization", "prove_accumulators")
    layout = [step for step in passes.PIPELINE if step.name not in integers]
    once = passes.run(net[2], layout)
    assert passes.run(once, layout).nodes == once.nodes


# ---- the runner ------------------------------------------------------------------------------------------------------


def small_graph() -> Graph:
    g = GraphOf((4, 3))
    return g.finish(g.add(ops.Lookup(), "input", g.table()))


def keep(graph: Graph) -> Graph:
    return graph


def break_wiring(graph: Graph) -> Graph:
    return graph.with_(nodes=[Node("n", ops.Lookup(), ("nowhere", "c0"), graph.output)])


def crash(graph: Graph) -> Graph:
    raise KeyError("some name")


def refuse(graph: Graph) -> Graph:
    raise UnsupportedModelError("not this one")


@pytest.mark.parametrize("step", [break_wiring, crash])
def test_failing_pass_is_named_with_those_before_it(step):
    pipeline = [passes.Pass(f, "for the test") for f in (keep, passes.PIPELINE[0].apply, step, keep)]
    with pytest.raises(passes.PassError) as caught:
        passes.run(small_graph(), pipeline)
    assert str(caught.value).startswith(f"pass {step.__name__}: ")
    assert str(caught.value).endswith("; ran before it: keep, remove_identities")


def test_refusals_pass_through():
    with pytest.raises(UnsupportedModelError, match="not this one"):
        passes.run(small_graph(), [passes.Pass(refuse, "for the test")])


def test_broken_graph_is_refused_before_the_first_pass():
    with pytest.raises(GraphError):
        passes.run(break_wiring(small_graph()), [])


def test_every_pass_has_a_name_and_a_reason():
    assert all(step.name and len(step.reason) > 20 for step in passes.PIPELINE)
