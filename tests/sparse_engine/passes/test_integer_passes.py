"""Passes that turn scales into integers and prove that they suffice."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pass_graphs import LOWERING, GraphOf, results, without_data
from tinyformer.errors import UnsupportedModelError
from tinyformer.sparse_engine import ops, passes, reference
from tinyformer.sparse_engine.ir import QuantParams
from tinyformer.sparse_engine.passes.fold_zero_points import fold_zero_points
from tinyformer.sparse_engine.passes.lower_requantization import lower_requantization
from tinyformer.sparse_engine.passes.prove_accumulators import prove_accumulators
from tinyformer.sparse_engine.passes.rescale_zero_filters import rescale_zero_filters

SCALES = st.floats(1e-3, 10.0)
ZEROS = st.integers(-128, 127)


def every_pair():
    a, b = np.meshgrid(np.arange(-128, 128), np.arange(-128, 128), indexing="ij")
    return a.reshape(-1), b.reshape(-1)


def pairwise(op, quants):
    """Lower an operator of two tensors and return what it gives for every pair of int8 values."""
    g = GraphOf((2, 65536), quants[0])
    rows = [g.add(ops.Slice((i, 0), (1, 65536), (1, 1)), "input", quant=quants[i]) for i in (0, 1)]
    graph = passes.run(g.finish(g.add(op, *rows, quant=quants[2])), LOWERING)
    prove_accumulators(graph)
    return reference.run(graph, np.array([every_pair()]).astype(np.int8))[0, 0]


def real(values, quant):
    return (values - quant.zero_point) * quant.scale


@st.composite
def quant_params(draw):
    return QuantParams((draw(SCALES),), draw(ZEROS))


@settings(max_examples=30, deadline=None)
@given(
    st.tuples(quant_params(), quant_params()), st.floats(0.3, 3.0), ZEROS, st.sampled_from([(1, 1), (1, -1), (-1, 1)])
)
def test_addition_is_right_to_a_rounding(inputs, headroom, zero_point, signs):
    output = QuantParams((max(q.scale for q in inputs) * headroom,), zero_point)
    actual = pairwise(ops.Add(signs=signs), (*inputs, output))
    a, b = every_pair()
    exact = (signs[0] * real(a, inputs[0]) + signs[1] * real(b, inputs[1])) / output.scale + output.zero_point
    assert np.abs(actual - np.clip(exact, -128, 127)).max() < 0.55


@settings(max_examples=30, deadline=None)
@given(st.tuples(quant_params(), quant_params()), st.floats(20.0, 500.0), ZEROS)
def test_multiplication_is_right_to_a_rounding(inputs, headroom, zero_point):
    output = QuantParams((inputs[0].scale * inputs[1].scale * headroom,), zero_point)
    actual = pairwise(ops.Mul(), (*inputs, output))
    a, b = every_pair()
    exact = real(a, inputs[0]) * real(b, inputs[1]) / output.scale + output.zero_point
    assert np.abs(actual - np.clip(exact, -128, 127)).max() <= 0.5 + 1e-6


def test_shift_of_an_addition_is_the_largest():
    g = GraphOf((4,), QuantParams((1.0,), 0))
    graph = lower_requantization(g.finish(g.add(ops.Add(), "input", "input", quant=QuantParams((2.0,), 0))))
    assert graph.nodes[0].op == ops.Add(1 << 14, 1 << 14, 1 << 14, 15)


def test_extreme_addition_is_refused():
    g = GraphOf((4,), QuantParams((1.0,), 0))
    graph = g.finish(g.add(ops.Add(), "input", "input", quant=QuantParams((1e-6,), 0)))
    with pytest.raises(UnsupportedModelError, match=r"node n0 \(add\): .* times the output's; allowed: "):
        lower_requantization(graph)


def test_softmax_output_of_a_hopeless_scale_is_refused():
    g = GraphOf((4,))
    graph = g.finish(g.add(ops.Softmax(), "input", quant=QuantParams((1e-9,), 0)))
    with pytest.raises(UnsupportedModelError, match="softmax output of scale"):
        lower_requantization(graph)


def test_factor_of_a_product_too_large_is_refused():
    g = GraphOf((4,), QuantParams((1e9,), 0))
    graph = g.finish(g.add(ops.Mul(), "input", "input", quant=QuantParams((1.0,), 0)))
    with pytest.raises(UnsupportedModelError, match="is too large"):
        lower_requantization(graph)


def test_average_has_a_multiplier_for_each_count():
    g = GraphOf((4, 4, 2), QuantParams((0.1,), 0))
    pool = ops.AvgPool2D((2, 3), (1, 1), (1, 1, 0, 1))
    graph = lower_requantization(g.finish(g.add(pool, "input", quant=QuantParams((0.1,), 0))))
    multipliers = graph.data[graph.nodes[0].inputs[1]]
    np.testing.assert_allclose(multipliers * 2.0 ** (graph.nodes[0].op.left_shift - 32), 1 / np.arange(1, 7), rtol=1e-8)


def test_per_tensor_weights_get_a_multiplier_for_each_channel():
    g = GraphOf((6,))
    weight = g.constant(g.random((5, 6)), quant=QuantParams((0.01,)))
    y = g.add(ops.Linear(), "input", weight, g.constant([0] * 5, np.int32, None), quant=QuantParams((0.1,), 0))
    graph = lower_requantization(g.finish(y))
    assert graph.data[graph.nodes[0].inputs[3]].shape == (5,)


def test_lowering_fills_in_every_attribute():
    g = GraphOf((5, 6))
    x = g.add(ops.Softmax(), "input", quant=QuantParams((1 / 256,), -128))
    x = g.add(ops.MatMul(transpose_b=True), x, "input")
    gamma = g.constant([100] * 5, np.int16, QuantParams((0.01,)))
    beta = g.constant([9] * 5, np.int32, QuantParams((0.01 / 128,)))
    x = g.add(ops.LayerNorm(), x, gamma, beta, quant=QuantParams((0.03,), 0))
    graph = lower_requantization(g.finish(x))
    for node in graph.nodes:
        assert None not in [getattr(node.op, name) for name in node.op.__dataclass_fields__]


def test_epsilon_is_at_least_one_step():
    g = GraphOf((4,), QuantParams((1e3,), 0))
    gamma = g.constant([100] * 4, np.int16, QuantParams((0.01,)))
    beta = g.constant([9] * 4, np.int32, QuantParams((0.01 / 128,)))
    graph = lower_requantization(g.finish(g.add(ops.LayerNorm(), "input", gamma, beta)))
    assert graph.nodes[0].op.epsilon_term == 1


# ---- fold_zero_points ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "shape"),
    [(ops.Conv2D(padding=(1, 1, 1, 1)), (5, 3, 3, 3)), (ops.DepthwiseConv2D(), (3, 3, 3)), (ops.Linear(), (5, 3))],
)
def test_folded_bias_makes_raw_products_right(op, shape):
    g = GraphOf((4, 5, 3), QuantParams((0.05,), -77))
    graph = g.finish(g.weighted(op, "input", shape))
    weight, bias = (graph.data[name] for name in graph.nodes[0].inputs[1:])
    folded = fold_zero_points(graph)
    expected = bias + 77 * weight.reshape(len(weight), -1).astype(np.int64).sum(axis=1)
    assert np.array_equal(folded.data[folded.nodes[0].inputs[2]], expected)
    lowered = lower_requantization(folded)
    zeros = np.full((1, 4, 5, 3), -77, np.int8)  # real zeros everywhere: the output is the bias alone
    output = reference.run(lowered, zeros)[0].reshape(-1, len(bias))
    factors = 0.05 * np.array(graph.tensors[graph.nodes[0].inputs[1]].quant.scales) / 0.1
    assert np.abs(output - np.clip(bias * factors + 7, -128, 127)).max() <= 0.5 + 1e-6


def test_shared_bias_is_folded_for_each_reader():
    g = GraphOf((5,), QuantParams((0.05,), 10))
    first = g.weighted(ops.Linear(), "input", (5, 5))
    second = g.add(ops.Linear(), first, *g.nodes[0].inputs[1:], quant=QuantParams((0.1,), 0))
    graph = g.finish(second)
    folded = fold_zero_points(graph)
    biases = [node.inputs[2] for node in folded.nodes]
    assert len(set(biases)) == 2
    sums = graph.data[graph.nodes[0].inputs[1]].sum(axis=1, dtype=np.int64)
    difference = folded.data[biases[0]].astype(np.int64) - folded.data[biases[1]]
    assert np.array_equal(difference, (7 - 10) * sums)


def test_bias_that_leaves_int32_is_refused():
    g = GraphOf((5,), QuantParams((0.05,), -128))
    weight = g.constant(np.full((1, 5), 127))
    bias = g.constant([2**31 - 1], np.int32, None)
    with pytest.raises(UnsupportedModelError, match="leaves int32"):
        fold_zero_points(g.finish(g.add(ops.Linear(), "input", weight, bias)))


# ---- rescale_zero_filters --------------------------------------------------------------------------------------------


def test_empty_filters_cost_the_others_nothing():
    g = GraphOf((6,))
    values = g.random((3, 6))
    values[1] = 0
    weight = g.constant(values, quant=QuantParams((0.002, 1.0, 0.004)))
    bias = g.constant([100, 20, -50], np.int32, None)
    graph = g.finish(g.add(ops.Linear(), "input", weight, bias, quant=QuantParams((0.1,), 7)))
    after = rescale_zero_filters(graph)
    assert after.tensors[after.nodes[0].inputs[1]].quant.scales == (0.002, 0.004, 0.004)
    assert after.data[after.nodes[0].inputs[2]].tolist() == [100, 5000, -50]
    assert lower_requantization(after).nodes[0].op.left_shift < lower_requantization(graph).nodes[0].op.left_shift
    assert np.array_equal(results(after), results(graph))


@pytest.mark.parametrize("values", [np.zeros((2, 6)), np.ones((2, 6))])
def test_layers_without_a_mixture_stay(values):
    g = GraphOf((6,))
    weight = g.constant(values, quant=QuantParams((0.002, 1.0)))
    graph = g.finish(g.add(ops.Linear(), "input", weight, g.constant([1, 2], np.int32, None)))
    assert rescale_zero_filters(graph).data.keys() == graph.data.keys()
    assert dict(rescale_zero_filters(graph).tensors) == dict(graph.tensors)


# ---- prove_accumulators ----------------------------------------------------------------------------------------------


def proved(graph):
    prove_accumulators(passes.run(graph, LOWERING))


def linear(inputs, weight, bias=0, scale=1e-3):
    g = GraphOf((inputs,), QuantParams((1.0,), 0))
    weights = g.constant(np.full((1, inputs), weight), quant=QuantParams((1.0,)))
    return g.finish(
        g.add(ops.Linear(), "input", weights, g.constant([bias], np.int32, None), quant=QuantParams((1 / scale,), 0))
    )


def test_sums_up_to_the_limit_pass():
    inputs = (2**31 - 1) // (128 * 127)
    proved(linear(inputs, 127))
    with pytest.raises(UnsupportedModelError, match=r"node n0 \(linear\): its accumulator may reach .*; allowed: "):
        proved(linear(inputs + 1, 127))


def test_bias_counts():
    with pytest.raises(UnsupportedModelError, match="accumulator"):
        proved(linear(2, 127, bias=2**31 - 30000))
    proved(linear(2, 127, bias=2**31 - 40000))


def test_left_shift_counts():
    inputs = 40000
    proved(linear(inputs, 127, scale=0.2))
    with pytest.raises(UnsupportedModelError, match="accumulator"):
        proved(linear(inputs, 127, scale=4.0))


def test_products_of_activations():
    g = GraphOf((2, 40000), QuantParams((1.0,), -128))
    graph = g.finish(g.add(ops.MatMul(transpose_b=True), "input", "input", quant=QuantParams((1e6,), 0)))
    with pytest.raises(UnsupportedModelError, match=r"\(matmul\)"):
        proved(graph)


def test_layer_norm_rows_beyond_int16():
    g = GraphOf((70000,))
    gamma = g.constant(np.ones(70000), np.int16, QuantParams((0.01,)))
    beta = g.constant(np.zeros(70000), np.int32, QuantParams((0.01 / 128,)))
    with pytest.raises(UnsupportedModelError, match=r"\(layer_norm\)"):
        proved(g.finish(g.add(ops.LayerNorm(), "input", gamma, beta)))


def test_graph_without_weights_passes():
    g = GraphOf((6,))
    prove_accumulators(without_data(lower_requantization(g.finish(g.weighted(ops.Linear(), "input", (5, 6))))))
