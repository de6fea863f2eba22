"""Passes that change only order: transposes, reshapes, borders, weights in another order."""

from dataclasses import replace
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pass_graphs import GraphOf, kinds, results, without_data
from tinyformer.sparse_engine import ops
from tinyformer.sparse_engine.ir import Node
from tinyformer.sparse_engine.ops import Reshape, Transpose
from tinyformer.sparse_engine.passes.channels_last import channels_last_input, channels_last_output
from tinyformer.sparse_engine.passes.permute_linear_weights import permute_linear_weights
from tinyformer.sparse_engine.passes.place_movement import place_movement
from tinyformer.sparse_engine.passes.sink_transposes import sink_transposes
from tinyformer.sparse_engine.passes.transpose_matmul import transpose_matmul

FIRST, LAST = Transpose((2, 0, 1)), Transpose((1, 2, 0))


def applied(graph, step):
    """Apply a pass, check that it changes no result and no structure without data, and return its graph."""
    after = step(graph)
    after.verify()
    assert np.array_equal(results(after), results(graph))
    bare = step(without_data(graph))
    assert [(n.name, n.op, n.inputs, n.output) for n in bare.nodes] == [
        (n.name, n.op, n.inputs, n.output) for n in after.nodes
    ]
    assert dict(bare.tensors) == dict(after.tensors)
    return after


# ---- sink_transposes -------------------------------------------------------------------------------------------------


def test_transposes_between_convolutions_cancel():
    g = GraphOf((4, 4, 3))
    x = g.add(FIRST, g.weighted(ops.Conv2D(), "input", (5, 3, 3, 3)))
    y = g.weighted(ops.Conv2D(), g.add(LAST, x), (6, 1, 1, 5))
    assert kinds(applied(g.finish(y), sink_transposes)) == ["conv2d", "conv2d"]


@pytest.mark.parametrize("constant_first", [False, True])
def test_elementwise_operators_let_transposes_through(constant_first):
    g = GraphOf((4, 4, 3))
    x = g.add(FIRST, "input")
    y = g.add(FIRST, g.add(ops.Lookup(), "input", g.table()))
    x = g.add(ops.Add(), x, y)
    c = g.constant(g.random((3, 4, 4)))
    x = g.add(ops.Mul(), *((c, x) if constant_first else (x, c)))
    x = g.add(ops.Lookup(), x, g.table())
    after = applied(g.finish(g.add(LAST, x)), sink_transposes)
    assert kinds(after) == ["lookup", "add", "mul", "lookup"]
    assert after.tensors[after.nodes[1].output].axis_order == (1, 2, 0)


def test_suffix_operand_lets_a_transpose_of_the_other_axes_through():
    g = GraphOf((2, 5, 4))
    x = g.add(ops.Mul(), g.add(Transpose((1, 0, 2)), "input"), g.constant(g.random((4,))))
    assert kinds(applied(g.finish(g.add(Transpose((1, 0, 2)), x)), sink_transposes)) == ["mul"]


def test_suffix_operand_stops_a_transpose_of_its_own_axis():
    g = GraphOf((4, 4, 3))
    x = g.add(ops.Mul(), g.add(FIRST, "input"), g.constant(g.random((4,))))
    assert "transpose" in kinds(applied(g.finish(g.add(LAST, x)), sink_transposes))


def test_slices_pads_and_concatenations_change_axes():
    g = GraphOf((4, 5, 3))
    x = g.add(FIRST, "input")
    a = g.add(ops.Slice((1, 0, 1), (2, 4, 2), (1, 1, 2)), x)
    b = g.add(ops.Pad((0, 1, 0), (0, 0, 0), -3), g.add(ops.Slice((0, 0, 0), (2, 3, 2), (1, 1, 1)), x))
    c = g.constant(g.random((2, 4, 2)))
    y = g.add(LAST, g.add(ops.Concat(1), a, c, b))
    assert kinds(applied(g.finish(y), sink_transposes)) == ["slice", "slice", "pad", "concat"]


def test_transpose_stays_where_another_reader_needs_it():
    g = GraphOf((4, 5, 3))
    x = g.add(FIRST, "input")
    a = g.add(ops.Lookup(), x, g.table())
    y = g.add(ops.MatMul(transpose_b=True), x, a)
    after = applied(g.finish(y), sink_transposes)
    assert kinds(after) == ["transpose", "lookup", "matmul"]


def test_equal_movement_is_done_once():
    g = GraphOf((4, 5))
    a, b = g.add(Transpose((1, 0)), "input"), g.add(Transpose((1, 0)), "input")
    after = applied(g.finish(g.add(ops.MatMul(transpose_b=True), a, b)), sink_transposes)
    assert kinds(after) == ["transpose", "matmul"]


def test_tokens_and_back_to_an_image():
    g = GraphOf((4, 4, 3))
    x = g.add(FIRST, g.weighted(ops.Conv2D(), "input", (5, 1, 1, 3)))
    tokens = g.add(Transpose((1, 0)), g.add(Reshape((5, 16)), x))
    y = g.weighted(ops.Linear(), tokens, (5, 5))
    image = g.add(Reshape((5, 4, 4)), g.add(Transpose((1, 0)), y))
    z = g.add(ops.Add(), image, x)
    after = applied(g.finish(g.add(LAST, z)), sink_transposes)
    assert kinds(after) == ["conv2d", "reshape", "linear", "reshape", "add"]


def test_output_that_is_the_input_stays_a_node():
    g = GraphOf((4, 5, 3))
    after = applied(g.finish(g.add(LAST, g.add(FIRST, "input"))), sink_transposes)
    assert kinds(after) == ["reshape"]


def test_output_keeps_name_and_order_when_it_turns_out_to_be_another_tensor():
    g = GraphOf((4, 4, 3))
    conv = g.weighted(ops.Conv2D(), "input", (5, 1, 1, 3))
    graph = g.finish(g.add(LAST, g.add(FIRST, conv)))
    after = applied(graph, sink_transposes)
    assert after.output == graph.output
    assert after.tensors[after.output] == graph.tensors[graph.output]
    assert kinds(after) == ["conv2d"]


SHAPES = [(2, 3, 4), (6, 4), (24,), (4, 3, 2), (3, 8)]


def _transpose(draw, g, x, shape, _):
    return g.add(Transpose(tuple(draw(st.permutations(range(len(shape)))))), x)


def _reshape(draw, g, x, shape, _):
    return g.add(Reshape(draw(st.sampled_from([shape, *(s for s in SHAPES if prod(s) == prod(shape))]))), x)


def _lookup(draw, g, x, shape, _):
    return g.add(ops.Lookup(), x, g.table())


def _add(draw, g, x, shape, same):
    return g.add(ops.Add(), x, draw(st.sampled_from(same)))


def _constant(draw, g, x, shape, _):
    return g.add(ops.Mul(), x, g.constant(g.random(shape[draw(st.integers(0, len(shape))) :])))


def _concat(draw, g, x, shape, same):
    return g.add(ops.Concat(draw(st.integers(0, len(shape) - 1))), x, draw(st.sampled_from(same)))


def _slice(draw, g, x, shape, _):
    sizes = tuple(draw(st.integers(1, size)) for size in shape)
    return g.add(ops.Slice((0,) * len(shape), sizes, (1,) * len(shape)), x)


def _pad(draw, g, x, shape, _):
    return g.add(ops.Pad(tuple(draw(st.integers(0, 1)) for _ in shape), (0,) * len(shape), 9), x)


STEPS = [_transpose, _transpose, _reshape, _lookup, _add, _constant, _concat, _slice, _pad]


@st.composite
def movement_graphs(draw):
    g = GraphOf(draw(st.sampled_from(SHAPES)))
    names = [g.add(ops.Lookup(), "input", g.table()), "input"]
    for _ in range(draw(st.integers(1, 12))):
        x = draw(st.sampled_from(names))
        shape = g.tensors[x].shape
        if prod(shape) < 1000:
            same = [name for name in names if g.tensors[name].shape == shape]
            names.append(draw(st.sampled_from(STEPS))(draw, g, x, shape, same))
    return g.finish(names[-1] if names[-1] != "input" else names[0])


def moved(graph):
    return sum(graph.tensors[n.output].elements for n in graph.nodes if isinstance(n.op, Transpose))


@settings(max_examples=80, deadline=None)
@given(movement_graphs())
def test_layout_passes_change_no_result(graph):
    expected = results(graph)
    after = sink_transposes(graph)
    assert np.array_equal(results(after), expected)
    assert after.output == graph.output
    source = sink_transposes(channels_last_input(graph))
    assert moved(source) <= moved(after)
    borders = channels_last_output(source)
    borders.verify()
    assert np.array_equal(results(borders), expected)
    placed = place_movement(borders)
    placed.verify()
    assert np.array_equal(results(placed), expected)


# ---- borders ---------------------------------------------------------------------------------------------------------


def test_image_input_becomes_channels_last():
    g = GraphOf((3, 4, 5))
    x = g.add(ops.Lookup(), "input", g.table())
    y = g.add(FIRST, g.weighted(ops.Conv2D(), g.add(LAST, x), (6, 1, 1, 3)))
    after = channels_last_output(sink_transposes(applied(g.finish(y), channels_last_input)))
    assert kinds(after) == ["lookup", "conv2d"]
    source, output = after.tensors[after.input], after.tensors[after.output]
    assert (source.shape, source.axis_order) == ((4, 5, 3), (1, 2, 0))
    assert (output.name, output.shape, output.axis_order) == (y, (4, 5, 6), (1, 2, 0))
    assert np.array_equal(results(after), results(g.finish(y)))


def test_sequence_input_becomes_channels_last():
    g = GraphOf((3, 9))
    x = g.add(Reshape((1, 9, 3)), g.add(Transpose((1, 0)), "input"))
    y = g.weighted(ops.Conv2D(), x, (6, 1, 3, 3))
    after = applied(g.finish(y), channels_last_input)
    assert (after.tensors["input"].shape, after.tensors["input"].axis_order) == ((9, 3), (1, 0))


def test_names_of_the_input_transposed_back_are_free():
    g = GraphOf((3, 4, 5))
    g.tensors["input/layout"] = replace(g.tensors["input"], name="input/layout")
    g.nodes.append(Node("input/layout", ops.Lookup(), ("input", g.table()), "input/layout"))
    y = g.weighted(ops.Conv2D(), g.add(LAST, "input/layout"), (6, 1, 1, 3))
    applied(g.finish(y), channels_last_input)


def test_input_stays_where_nothing_is_gained():
    g = GraphOf((3, 4, 5))
    graph = g.finish(g.add(ops.Lookup(), "input", g.table()))
    assert applied(graph, channels_last_input).tensors["input"].axis_order == ()


def test_transposed_input_is_not_given_out_as_output():
    g = GraphOf((3, 4, 5))
    graph = g.finish(g.add(FIRST, "input"))
    assert kinds(applied(graph, channels_last_output)) == ["transpose"]


# ---- permute_linear_weights ------------------------------------------------------------------------------------------


def test_flatten_in_front_of_a_classifier_permutes_weights():
    g = GraphOf((2, 3, 4))
    x = g.add(Reshape((24,)), g.add(FIRST, g.add(ops.Lookup(), "input", g.table())))
    after = applied(g.finish(g.weighted(ops.Linear(), x, (5, 24))), permute_linear_weights)
    assert kinds(after) == ["lookup", "reshape", "linear"]


def test_features_permuted_within_rows():
    g = GraphOf((5, 2, 6))
    x = g.add(Reshape((5, 12)), g.add(Transpose((0, 2, 1)), "input"))
    after = applied(g.finish(g.weighted(ops.Linear(), x, (7, 12))), permute_linear_weights)
    assert kinds(after) == ["reshape", "linear"]


def test_rows_permuted_stay_transposed():
    g = GraphOf((2, 5, 6))
    x = g.add(Reshape((5, 12)), g.add(Transpose((1, 0, 2)), "input"))
    after = applied(g.finish(g.weighted(ops.Linear(), x, (7, 12))), permute_linear_weights)
    assert kinds(after) == ["transpose", "reshape", "linear"]


def test_shared_weights_are_permuted_for_one_reader_only():
    g = GraphOf((2, 3))
    flat = g.add(Reshape((6,)), g.add(Transpose((1, 0)), "input"))
    first = g.weighted(ops.Linear(), flat, (6, 6))
    second = g.add(ops.Linear(), first, *g.nodes[-1].inputs[1:], quant=g.tensors[first].quant)
    after = applied(g.finish(second), permute_linear_weights)
    weights = [node.inputs[1] for node in after.nodes if node.op.kind == "linear"]
    assert len(set(weights)) == 2


# ---- transpose_matmul and place_movement -----------------------------------------------------------------------------


def test_transposed_keys_are_read_in_place():
    g = GraphOf((2, 5, 6))
    k = g.add(Transpose((0, 2, 1)), g.add(ops.Lookup(), "input", g.table()))
    graph = g.finish(g.add(ops.MatMul(), "input", k))
    after = sink_transposes(applied(graph, transpose_matmul))
    assert kinds(after) == ["lookup", "matmul"]
    assert after.nodes[-1].op.transpose_b


def test_keys_of_split_heads_keep_rows_whole():
    g = GraphOf((5, 2, 6))
    q = g.add(Transpose((1, 0, 2)), "input")
    k = g.add(Transpose((1, 2, 0)), g.add(ops.Lookup(), "input", g.table()))
    after = applied(g.finish(g.add(ops.MatMul(), q, k)), transpose_matmul)
    assert after.nodes[-1].op.transpose_b
    assert Transpose((1, 0, 2)) in [node.op for node in after.nodes[1:]]


def test_values_are_not_transposed():
    g = GraphOf((2, 5, 6))
    v = g.add(Transpose((1, 0, 2)), g.add(Reshape((5, 2, 6)), "input"))
    graph = g.finish(g.add(ops.MatMul(transpose_b=True), "input", v))
    assert applied(graph, transpose_matmul).nodes == graph.nodes


def test_movement_stands_before_its_first_reader():
    g = GraphOf((4, 6))
    late = g.add(Reshape((6, 4)), "input")
    early = g.add(Transpose((1, 0)), "input")
    x = g.add(ops.Lookup(), "input", g.table())
    y = g.add(ops.MatMul(), x, early)
    graph = g.finish(g.add(ops.Linear(), g.add(ops.MatMul(), y, g.add(Reshape((4, 6)), late)), *_linear(g)))
    after = applied(graph, place_movement)
    assert kinds(after) == ["lookup", "transpose", "matmul", "reshape", "reshape", "matmul", "linear"]


def _linear(g):
    g.weighted(ops.Linear(), g.add(Reshape((4, 6)), "input"), (3, 6))
    node = g.nodes.pop()
    del g.tensors[node.output]
    return node.inputs[1:]
