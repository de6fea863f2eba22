"""Channels that carry nothing go, and no integer changes."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine_models import random_inputs
from pass_graphs import without_data
from tinyformer.sparse_engine import ops, reference
from tinyformer.sparse_engine.ir import Graph, QuantParams
from tinyformer.sparse_engine.passes.remove_channels import remove_channels
from tinyformer.sparse_engine.synthetic import GraphBuilder

SAME = (1, 1, 1, 1)


def emptied(graph: Graph, filters: dict[str, list[int]], bias: int | None = None) -> Graph:
    """Zero the named nodes' filters; ``bias``: what they then give, before the requantisation."""
    data = dict(graph.data)
    for node in graph.nodes:
        if node.name in filters:
            weight, constant = node.inputs[1:3]
            data[weight] = data[weight].copy()
            data[weight][filters[node.name]] = 0
            if bias is not None:
                data[constant] = data[constant].copy()
                data[constant][filters[node.name]] = bias
    return graph.with_(data=data)


def channels(graph: Graph) -> list[int]:
    return [graph.tensors[node.output].shape[-1] for node in graph.nodes]


def assert_equal(graph: Graph, found: Graph) -> None:
    found.verify()
    samples = random_inputs(graph, 4)
    np.testing.assert_array_equal(reference.run(found, samples), reference.run(graph, samples))


def test_constant_is_folded_into_a_linear_layer() -> None:
    b = GraphBuilder((5, 12))
    graph = emptied(b.finish(b.linear(b.linear(b.input, 8), 6)), {"linear_0": [1, 5]})
    found = remove_channels(graph)
    assert channels(found) == [6, 6]
    assert found.data[found.nodes[1].inputs[1]].shape == (6, 6)
    assert_equal(graph, found)


def test_through_everything_that_keeps_channels_apart() -> None:
    b = GraphBuilder((12, 12, 3))
    x = b.conv2d(b.input, 8, (3, 3), padding=SAME)
    x = b.max_pool(b.lookup(x), (2, 2), (2, 2))
    x = b.depthwise(x, (3, 3))
    x = b.avg_pool(x, (2, 2), (2, 2))
    x = b.linear(b.reshape(x, (32,)), 5)
    graph = emptied(b.finish(x), {"conv2d_0": [0, 1, 2, 7]})
    found = remove_channels(graph)
    assert channels(found) == [4, 4, 4, 4, 4, 16, 5]
    assert_equal(graph, found)


def test_padding_border_is_the_zero_point_and_not_the_constant() -> None:
    """Into a padded convolution a constant goes only if it is the zero point; into an unpadded one it always does."""
    for padding, bias, expected in ((SAME, 3000, 8), (SAME, 0, 6), ((0, 0, 0, 0), 3000, 6)):
        b = GraphBuilder((6, 6, 3))
        x = b.conv2d(b.input, 8, (3, 3), padding=SAME)
        graph = emptied(b.finish(b.conv2d(x, 4, (3, 3), padding=padding)), {"conv2d_0": [2, 3]}, bias)
        found = remove_channels(graph)
        assert channels(found) == [expected, 4], (padding, bias)
        assert_equal(graph, found)


def test_padded_depthwise_keeps_a_constant_that_changes_at_the_border() -> None:
    for bias, expected in ((3000, 8), (0, 7)):
        b = GraphBuilder((6, 6, 3))
        x = b.depthwise(b.conv2d(b.input, 8, (1, 1)), (3, 3), padding=SAME)
        graph = emptied(b.finish(b.conv2d(x, 4, (1, 1))), {"conv2d_0": [2]}, bias)
        found = remove_channels(graph)
        assert channels(found) == [expected, expected, 4]
        assert_equal(graph, found)


def test_channel_that_a_depthwise_convolution_drops_is_not_computed() -> None:
    b = GraphBuilder((6, 6, 8))
    x = b.depthwise(b.conv2d(b.input, 16, (1, 1)), (3, 3), padding=SAME)
    graph = emptied(b.finish(b.conv2d(x, 8, (1, 1))), {"depthwise_conv2d_1": [3, 4, 5]})
    found = remove_channels(graph)
    assert channels(found) == [13, 13, 8]
    assert_equal(graph, found)


def test_removal_goes_on_where_it_empties_other_filters() -> None:
    """The second layer's filter 0 reads only channel 0; the third has no weights for what is left of channel 1."""
    b = GraphBuilder((4, 8))
    graph = emptied(b.finish(b.linear(b.linear(b.linear(b.input, 4), 4), 4)), {"linear_0": [0]})
    data = dict(graph.data)
    second, third = (node.inputs[1] for node in graph.nodes[1:])
    data[second] = data[second].copy()
    data[second][0, 1:] = 0
    data[third] = data[third].copy()
    data[third][:, 1] = 0
    graph = graph.with_(data=data)
    found = remove_channels(graph)
    assert channels(found) == [3, 2, 4]
    assert_equal(graph, found)


def test_blocks_of_four_stay_whole() -> None:
    b = GraphBuilder((4, 8))
    graph = emptied(b.finish(b.linear(b.linear(b.input, 16), 4)), {"linear_0": [1, 9, 10]})
    found = remove_channels(graph)
    reader, before = (g.data[g.nodes[1].inputs[1]] for g in (found, graph))
    np.testing.assert_array_equal(reader, before[:, [4, 5, 6, 7, 12, 13, 14, 15, 0, 2, 3, 8, 11]])
    assert_equal(graph, found)


def test_a_layer_that_is_all_zero_keeps_one_filter() -> None:
    b = GraphBuilder((4, 8))
    graph = emptied(b.finish(b.linear(b.linear(b.input, 8), 4)), {"linear_0": list(range(8))})
    found = remove_channels(graph)
    assert channels(found) == [1, 4]
    assert_equal(graph, found)


def test_what_others_need_stays() -> None:
    """The graph's output, both sides of a sum, and what a matrix product or a grouped convolution reads."""
    b = GraphBuilder((4, 8))
    x = b.linear(b.input, 8)
    y = b.add(x, b.linear(x, 8))
    z = b.linear(b.matmul(y, b.linear(y, 8), transpose_b=True), 8)
    graph = emptied(b.finish(z), {f"linear_{i}": [1] for i in (0, 1, 3, 5)})
    assert remove_channels(graph) is graph
    b = GraphBuilder((4, 4, 8))
    x = b.conv2d(b.conv2d(b.input, 8, (1, 1)), 8, (1, 1), groups=2)
    graph = emptied(b.finish(b.conv2d(x, 8, (1, 1))), {"conv2d_0": [1], "conv2d_1": [1]})
    assert remove_channels(graph) is graph


def test_graph_without_data_stays_as_it_is() -> None:
    b = GraphBuilder((5, 12))
    graph = without_data(b.finish(b.linear(b.linear(b.input, 8), 6)))
    assert remove_channels(graph) is graph


def assert_channels_are_known(graph: Graph, found: Graph) -> None:
    """Narrowed tensors say which channels of the wide ones they have."""
    sample = random_inputs(graph, 1)[0]
    wide, narrow = reference.run_all(graph, sample), reference.run_all(found, sample)
    for node in found.nodes:
        tensor = found.tensors[node.output]
        expected = tensor.from_model(wide[node.output][np.newaxis])[0]
        np.testing.assert_array_equal(narrow[node.output], expected)
        assert tensor.model_elements == graph.tensors[node.output].elements


def test_narrowed_tensors_keep_their_names_and_know_their_channels() -> None:
    b = GraphBuilder((5, 12))
    graph = emptied(b.finish(b.linear(b.linear(b.input, 8), 6)), {"linear_0": [1, 6]})
    found = remove_channels(graph)
    assert [node.output for node in found.nodes] == [node.output for node in graph.nodes]
    assert found.tensors[found.nodes[0].output].channels == (0, 2, 3, 4, 5, 7, 1, 6)
    assert_channels_are_known(graph, found)


SHRINK = (0, 0, 0, 0)
UNEVEN = (0, 1, 1, 0)


@st.composite
def image_nets(draw: st.DrawFn) -> Graph:
    """Chains over an image whose filters, and their biases, are zero here and there."""
    shape = (draw(st.integers(7, 8)), draw(st.integers(7, 9)), draw(st.integers(1, 6)))
    b = GraphBuilder(shape, draw(st.integers(0, 99)))
    x = b.input
    for _ in range(draw(st.integers(1, 3))):
        pads = draw(st.sampled_from([SAME, SAME, SHRINK, UNEVEN]))
        kernel = (2, 2) if pads == UNEVEN else (3, 3)
        kind = draw(st.sampled_from(["conv", "conv", "pointwise", "depthwise"]))
        if kind == "conv":
            x = b.conv2d(x, draw(st.integers(1, 9)), kernel, padding=pads)
        elif kind == "pointwise":
            x = b.linear(x, draw(st.integers(1, 9)))
        else:
            x = b.depthwise(x, kernel, padding=pads)
        after = draw(st.sampled_from(["", "lookup", "max", "avg"]))
        if after == "lookup":
            x = b.lookup(x)
        elif after == "max":
            x = b.max_pool(x, (2, 2), (1, 1), (0, 0, 1, 1))
        elif after == "avg":
            x = b.avg_pool(x, (2, 2), (1, 1), (0, 0, 1, 1))
    if draw(st.booleans()):
        image = b.finish(x).tensors[x]
        x = b.reshape(x, (image.elements,))
    graph = b.finish(b.linear(x, 3))
    data = {name: array.copy() for name, array in graph.data.items()}
    for node in graph.nodes:
        if isinstance(node.op, ops.Conv2D | ops.DepthwiseConv2D | ops.Linear):
            weight, bias = (data[name] for name in node.inputs[1:3])
            zero = draw(st.lists(st.integers(0, len(weight) - 1), max_size=6))
            weight[zero] = 0
            if draw(st.booleans()):
                bias[zero] = 0  # gives the zero point, as after a Relu
            if weight.ndim != 3:
                weight[..., draw(st.lists(st.integers(0, weight.shape[-1] - 1), max_size=3))] = 0
    return replace(graph, data=data)


@settings(max_examples=150, deadline=None)
@given(image_nets())
def test_no_integer_changes(graph: Graph) -> None:
    found = remove_channels(graph)
    assert all(after <= before for before, after in zip(channels(graph), channels(found), strict=True))
    assert_equal(graph, found)
    assert_channels_are_known(graph, found)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(2, 9), min_size=3, max_size=5), st.integers(0, 99), st.data())
def test_every_zero_filter_of_a_chain_of_linear_layers_goes(sizes: list[int], seed: int, data: st.DataObject) -> None:
    b = GraphBuilder((3, sizes[0]), seed)
    x = b.input
    for size in sizes[1:]:
        x = b.linear(x, size)
    graph = b.finish(x)
    zero = {
        f"linear_{i}": data.draw(st.lists(st.integers(0, size - 1), unique=True, max_size=size - 1))
        for i, size in enumerate(sizes[1:])
    }
    graph = emptied(graph, zero)
    found = remove_channels(graph)
    expected = [size - len(zero[f"linear_{i}"]) for i, size in enumerate(sizes[1:])]
    assert channels(found) == [*expected[:-1], sizes[-1]]
    assert all(
        found.tensors[second.inputs[0]].shape == found.tensors[first.output].shape
        for first, second in pairwise(found.nodes)
    )
    assert_equal(graph, found)


def test_scales_follow_their_filters() -> None:
    b = GraphBuilder((5, 12))
    graph = emptied(b.finish(b.linear(b.linear(b.input, 8), 6)), {"linear_0": [0, 6]})
    weight = graph.nodes[0].inputs[1]
    scales = tuple(0.1 * (i + 1) for i in range(8))
    tensor = replace(graph.tensors[weight], quant=QuantParams(scales))
    found = remove_channels(replace(graph, tensors={**graph.tensors, weight: tensor}))
    assert found.tensors[found.nodes[0].inputs[1]].quant == QuantParams(tuple(scales[i] for i in (1, 2, 3, 4, 5, 7)))


@pytest.mark.parametrize("count_include_pad", [False, True])
def test_mean_at_the_border(count_include_pad: bool) -> None:
    """A padded mean of a constant is one where padding does not count, and where it does only at the zero point."""
    b = GraphBuilder((6, 6, 3))
    x = b.conv2d(b.input, 8, (1, 1))
    x = b.avg_pool(x, (3, 3), (1, 1), SAME)
    graph = emptied(b.finish(b.linear(x, 4)), {"conv2d_0": [2]}, 40_000)
    pool = graph.nodes[1]
    if count_include_pad:
        op = replace(pool.op, count_include_pad=True)
        tensors, data = dict(graph.tensors), dict(graph.data)
        data[pool.inputs[1]] = data[pool.inputs[1]][-1:]
        tensors[pool.inputs[1]] = replace(tensors[pool.inputs[1]], shape=(1,))
        nodes = [replace(pool, op=op) if node is pool else node for node in graph.nodes]
        graph = replace(graph, tensors=tensors, data=data, nodes=tuple(nodes))
    found = remove_channels(graph)
    assert channels(found)[0] == (8 if count_include_pad else 7)
    assert_equal(graph, found)
