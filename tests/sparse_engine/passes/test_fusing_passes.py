"""Passes that join operators: identities, clamps, tables, padding, 1x1 convolutions."""

import numpy as np
import pytest

from pass_graphs import QUANT, GraphOf, kinds, results, without_data
from tinyformer.sparse_engine import ops
from tinyformer.sparse_engine.ir import QuantParams
from tinyformer.sparse_engine.passes.fold_padding import fold_padding
from tinyformer.sparse_engine.passes.fuse_lookups import fuse_clamps, merge_lookups
from tinyformer.sparse_engine.passes.pointwise_to_linear import pointwise_to_linear
from tinyformer.sparse_engine.passes.remove_identities import remove_identities

EVERY = np.arange(-128, 128)


def applied(graph, step):
    after = step(graph)
    after.verify()
    assert after.output == graph.output
    assert np.array_equal(results(after), results(graph))
    return after


@pytest.mark.parametrize(
    "op",
    [
        ops.Reshape((4, 3)),
        ops.Transpose((0, 1)),
        ops.Slice((0, 0), (4, 3), (1, 1)),
        ops.Pad((0, 0), (0, 0), 5),
        ops.Concat(0),
    ],
)
def test_identities_go(op):
    g = GraphOf((4, 3))
    x = g.add(op, g.add(ops.Lookup(), "input", g.table()))
    assert kinds(applied(g.finish(g.add(ops.Lookup(), x, g.table())), remove_identities)) == ["lookup", "lookup"]


def test_identity_table_goes_only_with_equal_parameters():
    g = GraphOf((4, 3))
    x = g.add(ops.Lookup("tanh"), "input", g.table())
    x = g.add(ops.Lookup("relu"), x, g.table(EVERY))
    y = g.add(ops.Lookup("requantize"), x, g.table(EVERY), quant=QuantParams((0.1,), 0))
    after = applied(g.finish(y), remove_identities)
    assert [node.op.function for node in after.nodes] == ["tanh", "requantize"]


def test_output_of_its_own_stays():
    g = GraphOf((4, 3))
    graph = g.finish(g.add(ops.Reshape((4, 3)), "input"))
    assert kinds(applied(graph, remove_identities)) == ["reshape"]


def clamped(table, *, quant=QUANT, twice=False):
    g = GraphOf((4, 4, 3))
    conv = g.weighted(ops.Conv2D(low=-100, high=90), "input", (5, 1, 1, 3), quant=QUANT)
    y = g.add(ops.Lookup("relu"), conv, g.table(table), quant=quant)
    return g.finish(g.add(ops.Add(), y, conv) if twice else y)


def test_relu_becomes_a_clamp():
    graph = clamped(np.maximum(EVERY, -3))
    after = applied(graph, fuse_clamps)
    assert kinds(after) == ["conv2d"]
    assert (after.nodes[0].op.low, after.nodes[0].op.high) == (-3, 90)
    assert after.nodes[0].output == graph.output


def test_clamp_counts_only_what_the_producer_reaches():
    after = applied(clamped(np.where(EVERY < -100, 55, np.minimum(EVERY, 20))), fuse_clamps)
    assert (after.nodes[0].op.low, after.nodes[0].op.high) == (-100, 20)


@pytest.mark.parametrize(
    "graph",
    [
        clamped(np.maximum(EVERY, -3), quant=QuantParams((0.1,), -3)),
        clamped(np.maximum(EVERY, -3), twice=True),
        clamped(EVERY[::-1]),
        clamped(np.where(EVERY == 0, 1, EVERY)),
    ],
    ids=["other parameters", "two readers", "decreasing", "not a clamp"],
)
def test_what_is_not_a_clamp_stays(graph):
    assert applied(graph, fuse_clamps).nodes == graph.nodes


def test_tables_merge():
    g = GraphOf((4, 3))
    x = "input"
    for _ in range(3):
        x = g.add(ops.Lookup("f"), x, g.table())
    after = applied(g.finish(x), merge_lookups)
    assert [node.op.function for node in after.nodes] == ["f, f, f"]


def test_table_with_two_readers_stays():
    g = GraphOf((4, 3))
    x = g.add(ops.Lookup(), "input", g.table())
    y = g.add(ops.Add(), x, g.add(ops.Lookup(), x, g.table()))
    assert kinds(applied(g.finish(y), merge_lookups)) == ["lookup", "lookup", "add"]


def test_tables_without_data_stay():
    g = GraphOf((4, 3))
    graph = g.finish(g.add(ops.Lookup(), g.add(ops.Lookup(), "input", g.table()), g.table()))
    assert merge_lookups(without_data(graph)).nodes == graph.nodes


@pytest.mark.parametrize(("op", "shape"), [(ops.Conv2D, (5, 3, 3, 3)), (ops.DepthwiseConv2D, (3, 3, 3))])
def test_padding_folds_into_convolutions(op, shape):
    g = GraphOf((4, 5, 3))
    x = g.add(ops.Pad((1, 2, 0), (0, 1, 0), QUANT.zero_point), "input")
    after = applied(g.finish(g.weighted(op(padding=(0, 1, 2, 0)), x, shape)), fold_padding)
    assert [node.op.padding for node in after.nodes] == [(1, 3, 2, 1)]


@pytest.mark.parametrize(
    ("before", "after", "value"), [((1, 0, 0), (0, 0, 0), 0), ((0, 0, 1), (0, 0, 0), -3), ((0, 0, 0), (0, 0, 1), -3)]
)
def test_other_padding_stays(before, after, value):
    g = GraphOf((4, 5, 3))
    x = g.add(ops.Pad(before, after, value), "input")
    y = g.weighted(ops.Conv2D(), x, (5, 1, 1, g.tensors[x].shape[2]))
    assert kinds(applied(g.finish(y), fold_padding)) == ["pad", "conv2d"]


def test_pointwise_convolution_becomes_linear():
    g = GraphOf((4, 5, 3))
    y = g.weighted(ops.Conv2D(low=-5, high=99), "input", (7, 1, 1, 3))
    after = applied(g.finish(y), pointwise_to_linear)
    assert [node.op for node in after.nodes] == [ops.Linear(low=-5, high=99)]
    assert after.tensors[after.nodes[0].inputs[1]].shape == (7, 3)


@pytest.mark.parametrize(
    ("op", "shape"),
    [
        (ops.Conv2D(stride=(2, 1)), (6, 1, 1, 3)),
        (ops.Conv2D(padding=(0, 1, 0, 0)), (6, 1, 1, 3)),
        (ops.Conv2D(groups=3), (6, 1, 1, 1)),
        (ops.Conv2D(), (6, 1, 2, 3)),
    ],
)
def test_other_convolutions_stay(op, shape):
    g = GraphOf((4, 5, 3))
    assert kinds(applied(g.finish(g.weighted(op, "input", shape)), pointwise_to_linear)) == ["conv2d"]
