"""Fused operators, computed by blocks of rows: equal to their parts, whatever the block."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from engine_models import random_inputs, side_by_side
from pass_graphs import without_data
from tinyformer import boards
from tinyformer.sparse_engine import arrangement, coding, deployment, graph_file, host, kernels, memory, ops, reference
from tinyformer.sparse_engine.compiler import compile_graph
from tinyformer.sparse_engine.ir import Graph
from tinyformer.sparse_engine.kernels import KernelCall, TensorArgument
from tinyformer.sparse_engine.passes.fuse_attention import fuse_attention
from tinyformer.sparse_engine.passes.fuse_pooling import fuse_pooling
from tinyformer.sparse_engine.passes.split_fused import parent, split_fused
from tinyformer.sparse_engine.synthetic import GraphBuilder

M7 = boards.load("stm32f746g-disco")
BIG = boards.load("mps2-an500")
SAME = (1, 1, 1, 1)


def kinds(graph: Graph) -> list[str]:
    return [node.op.kind for node in graph.nodes]


def pooled(
    size: tuple[int, int, int],
    kernel: tuple[int, int],
    attributes: dict[str, object],
    window: tuple[int, int] = (2, 2),
    pool_padding: ops.Pads = (0, 0, 0, 0),
    stride: tuple[int, int] | None = None,
    sparsity: float = 0.0,
    block: int = 1,
) -> Graph:
    b = GraphBuilder(size, seed=4)
    x = b.conv2d(b.lookup(b.input), 6, kernel, sparsity=sparsity, block=block, **attributes)
    x = b.max_pool(x, window, stride or window, pool_padding)
    return b.finish(b.lookup(x))


POOLED = {
    "same": pooled((8, 8, 3), (3, 3), {"padding": SAME}),
    "odd, a window at the border": pooled((9, 7, 3), (3, 3), {"padding": SAME}, pool_padding=(0, 0, 1, 1)),
    "no padding": pooled((10, 9, 5), (3, 3), {}),
    "deep padding": pooled((6, 6, 4), (5, 5), {"padding": (4, 4, 4, 4)}),
    "stride": pooled((16, 12, 4), (3, 3), {"padding": (1, 1, 0, 1), "stride": (2, 2)}),
    "stride beyond the kernel": pooled((19, 9, 4), (2, 2), {"stride": (3, 1)}),
    "dilation": pooled((12, 12, 4), (3, 3), {"padding": (2, 2, 2, 2), "dilation": (2, 2)}),
    "groups": pooled((8, 8, 4), (3, 3), {"padding": SAME, "groups": 2}),
    "windows apart": pooled((15, 9, 3), (3, 3), {"padding": SAME}, window=(2, 3), stride=(3, 2)),
    "padding above": pooled((9, 9, 3), (3, 3), {"padding": SAME}, pool_padding=(1, 1, 0, 0)),
    "blocks of 2": pooled((8, 8, 7), (3, 3), {"padding": SAME}, sparsity=0.8, block=2),
    "blocks of 4": pooled((8, 8, 12), (3, 3), {"padding": SAME}, sparsity=0.8, block=4),
    "rows that run out": pooled((13, 8, 4), (3, 3), {"padding": SAME}),
}


def attention(
    tokens: int, depth: int, heads: int = 1, features: int = 0, keys: int = 0, *, transposed: bool = True
) -> Graph:
    """Attention of ``heads`` heads, from a query of its own, to ``keys`` tokens."""
    keys = keys or tokens
    b = GraphBuilder((heads * (tokens + keys), max(depth, features)), seed=5)
    rows = b.lookup(b.input)

    def part(begin: int, count: int, width: int) -> str:
        x = b.slice(rows, (begin, 0), (count, width), (1, 1))
        return b.reshape(x, (heads, count // heads, width) if heads > 1 else (count, width))

    query = part(0, heads * tokens, depth)
    key = part(heads * tokens, heads * keys, depth)
    value = part(heads * tokens, heads * keys, features or depth)
    if not transposed:
        key = b.transpose(key, (0, 2, 1) if heads > 1 else (1, 0))
    weights = b.softmax(b.matmul(query, key, transpose_b=transposed))
    return b.finish(b.lookup(b.matmul(weights, value)))


ATTENTION = {
    "one block": attention(9, 6),
    "rows that run out": attention(77, 10),
    "heads": attention(35, 8, heads=3),
    "heads, whole blocks": attention(64, 8, heads=2),
    "keys by columns": attention(70, 6, heads=2, transposed=False),
    "other tokens": attention(67, 6, keys=21),
    "other features": attention(67, 6, features=9),
}
FUSED = {f"pooled, {name}": fuse_pooling(graph) for name, graph in POOLED.items()} | {
    f"attention, {name}": fuse_attention(graph) for name, graph in ATTENTION.items()
}


@pytest.mark.parametrize("name", POOLED)
def test_pooling_is_fused(name: str) -> None:
    graph, fused = POOLED[name], FUSED[f"pooled, {name}"]
    fused.verify()
    assert kinds(fused) == ["lookup", "pooled_conv2d", "lookup"]
    assert fused.nodes[1].name == graph.nodes[1].name
    samples = random_inputs(graph, 3)
    np.testing.assert_array_equal(reference.run(fused, samples), reference.run(graph, samples))


@pytest.mark.parametrize("name", FUSED)
def test_fused_nodes_split_into_what_they_were(name: str) -> None:
    fused, (kind, _, case) = FUSED[name], name.partition(", ")
    graph = POOLED[case] if kind == "pooled" else ATTENTION[case]
    split = split_fused(fused)
    split.verify()
    assert kinds(split) == kinds(graph)
    assert [node.output for node in split.nodes] == [node.output for node in graph.nodes]
    assert {parent(node.name, fused) for node in split.nodes} == {node.name for node in fused.nodes}
    samples = random_inputs(graph, 3)
    np.testing.assert_array_equal(reference.run(split, samples), reference.run(graph, samples))


@pytest.mark.parametrize("name", ATTENTION)
def test_attention_is_fused(name: str) -> None:
    graph, fused = ATTENTION[name], FUSED[f"attention, {name}"]
    fused.verify()
    assert [kind for kind in kinds(fused) if kind in {"matmul", "softmax", "attention"}] == ["attention"]
    samples = random_inputs(graph, 3)
    np.testing.assert_array_equal(reference.run(fused, samples), reference.run(graph, samples))
    assert sum(map(fused.macs, fused.nodes)) == sum(map(graph.macs, graph.nodes))


def test_what_must_not_be_fused_is_not() -> None:
    overlapping = pooled((9, 9, 3), (3, 3), {"padding": SAME}, window=(3, 3), stride=(2, 2))
    padded_beyond = pooled((6, 6, 3), (3, 3), {"padding": (3, 3, 3, 3)})
    b = GraphBuilder((8, 8, 3))
    x = b.conv2d(b.input, 4, (3, 3))
    read_twice = b.finish(b.add(b.max_pool(x, (2, 2), (2, 2)), b.slice(x, (0, 0, 0), (3, 3, 4), (1, 1, 1))))
    for graph in (overlapping, padded_beyond, read_twice):
        assert fuse_pooling(graph) is graph
    b = GraphBuilder((6, 6))
    scores = b.matmul(b.input, b.input, transpose_b=True)
    kept = b.finish(b.add(b.matmul(b.softmax(scores), b.input), scores))
    b = GraphBuilder((6, 6))
    weights = b.softmax(b.matmul(b.input, b.input, transpose_b=True))
    itself = b.finish(b.matmul(weights, weights))
    for graph in (kept, itself):
        assert fuse_attention(graph) is graph


def test_graphs_without_data_are_fused_alike() -> None:
    for graph in POOLED.values():
        assert kinds(fuse_pooling(without_data(graph))) == kinds(fuse_pooling(graph))


def fused_call(graph: Graph) -> KernelCall:
    calls = kernels.select(graph, coding.options(graph), M7, "size")
    return next(call for call in calls if call.node.op.kind in {"pooled_conv2d", "attention"})


@pytest.mark.parametrize("name", FUSED)
def test_every_block_runs_inside_its_tensors(name: str) -> None:
    """All turns of the loops write every element of the output once, in order, and read within the inputs."""
    graph = FUSED[name]
    call = fused_call(graph)
    for way in (call, *call.alternatives):
        written = []
        for c_call in way.calls:
            for turn in product(*map(range, c_call.loops)):
                for argument in c_call.arguments:
                    if isinstance(argument, TensorArgument):
                        at = argument.offset + sum(i * s for i, s in zip(turn, argument.steps, strict=False))
                        assert 0 <= at < graph.tensors[argument.name].elements
                        if argument.name == call.node.output:
                            written.append(at)
        assert len(set(written)) == len(written)
        assert 0 in written


def test_more_scratch_takes_fewer_calls() -> None:
    for graph in FUSED.values():
        call = fused_call(graph)
        ways = (call, *call.alternatives)
        scratch = [way.scratch_bytes for way in ways]
        turns = [sum(c_call.times for c_call in way.calls) for way in ways]
        assert scratch == sorted(set(scratch))
        assert turns == sorted(turns, reverse=True)


def test_room_is_filled_and_no_more() -> None:
    call = fused_call(FUSED["attention, rows that run out"])
    ways = (call, *call.alternatives)
    assert len(ways) > 2
    for way in ways:
        for room, expected in ((0, way), (7, way)):
            found = kernels.fill(call, way.scratch_bytes - call.scratch_bytes + room)
            assert (found.calls, found.scratch_bytes) == (expected.calls, expected.scratch_bytes)
    assert kernels.fill(call, 10**9).scratch_bytes == ways[-1].scratch_bytes


def test_scores_never_exist_and_the_query_gives_its_place() -> None:
    plain = attention(96, 8)
    fused = fuse_attention(plain)
    plain_plan, plan = (
        memory.plan(graph, kernels.select(graph, coding.options(graph), M7, "size")) for graph in (plain, fused)
    )
    assert plan.arena_bytes < 96 * 96 < plain_plan.arena_bytes
    node = fused_call(fused).node
    assert fused_call(fused).overwrites == (node.inputs[0],)
    assert fused_call(FUSED["attention, other features"]).overwrites == ()
    assert plan.aliases[node.output] == plan.aliases.get(node.inputs[0], node.inputs[0])


@pytest.mark.emulator
@pytest.mark.slow
@pytest.mark.parametrize("room", ["least", "all"])
def test_c_equals_the_reference(room: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On this machine under a sanitiser and on the emulated core, with the fewest rows a block, and with all."""
    chosen = kernels.fill
    monkeypatch.setattr(arrangement, "_KNOWN", {})  # what is known was filled in another way
    monkeypatch.setattr(kernels, "fill", lambda call, _: call if room == "least" else chosen(call, 10**9))
    graph, outputs = side_by_side(FUSED)
    compiled = compile_graph(graph, BIG, tmp_path / "bundle", objective="size")
    samples = random_inputs(graph, 3)
    expected = [reference.run_all(graph, sample) for sample in samples]
    layers = compiled.manifest.layers
    on_host = host.load(compiled.directory, sanitize=True)
    traces = [on_host.trace(sample) for sample in samples]
    emulated = deployment.run(compiled.directory, compiled.manifest, samples, traced=layers).traces
    for name, output in outputs.items():
        index = next(layer.index for layer in layers if layer.output == output)
        wanted = np.stack([values[output].ravel() for values in expected])
        assert len(np.unique(wanted)) > 8
        np.testing.assert_array_equal(np.stack([trace[index].ravel() for trace in traces]), wanted, name)
        np.testing.assert_array_equal(emulated[index], wanted, name)


@pytest.mark.parametrize("name", FUSED)
def test_fused_graphs_go_to_files_and_back(name: str, tmp_path: Path) -> None:
    graph_file.save(FUSED[name], tmp_path / "graph.npz")
    found = graph_file.load(tmp_path / "graph.npz")
    assert found.nodes == FUSED[name].nodes
    samples = random_inputs(found, 2)
    np.testing.assert_array_equal(reference.run(found, samples), reference.run(FUSED[name], samples))


def test_lazy_softmax_is_used_in_blocks() -> None:
    graph = FUSED["attention, heads"]
    calls = kernels.select(graph, coding.options(graph), M7, "size", softmax="lazy")
    fused = next(call for call in calls if call.node.op.kind == "attention")
    assert {c_call.symbol for c_call in fused.calls} == {"se_matmul_s8", "se_softmax_lazy_s8"}


def test_weights_of_a_fused_convolution_are_encoded() -> None:
    graph = FUSED["pooled, blocks of 4"]
    call = fused_call(graph)
    assert (call.encoding_name, call.symbol) == ("block_bitmap/4", "se_conv2d_bitmap_block4_s8")
    assert replace(call, alternatives=()).params_type == "se_conv2d_params"


@pytest.mark.parametrize("shared", ["the key", "the value", "both", "a view of the key"])
def test_a_query_that_is_read_as_something_else_too_is_not_written_over(shared: str, tmp_path: Path) -> None:
    """The queries of a block would lie under its outputs, while the next blocks still read all keys and values."""
    b = GraphBuilder((1, 48, 16), seed=3)
    query = b.linear(b.input, 16)
    key = {"the value": b.linear(b.input, 16), "a view of the key": b.reshape(query, (1, 48, 16))}.get(shared, query)
    value = query if shared in ("the value", "both") else b.linear(b.input, 16)
    scores = b.softmax(b.matmul(query, key, transpose_b=True))
    graph = fuse_attention(b.finish(b.linear(b.matmul(scores, value), 16)))
    assert "attention" in kinds(graph)
    compile_graph(graph, M7, tmp_path / "bundle", toolchain=None)
    samples = random_inputs(graph, 3)
    np.testing.assert_array_equal(host.load(tmp_path / "bundle").run(samples), reference.run(graph, samples))
