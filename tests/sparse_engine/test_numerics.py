"""The error of the integer operators against real arithmetic and onnxruntime: the bounds of docs/numerics.md."""

from __future__ import annotations

from collections.abc import Callable
from math import log, sqrt

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import activation_cases
from activation_cases import integers
from qdq_models import QdqModel, run_onnx
from tinyformer.sparse_engine import fixed_point, frontend, ops, passes, reference

QUICK = settings(deadline=None, max_examples=60)
INPUT_SCALE = 0.05
EPSILON = 1e-5


def unclipped(real: np.ndarray, result: np.ndarray) -> float:
    """Return the largest error in steps of the results whose real value lies within int8."""
    inside = (real >= -128) & (real <= 127)
    return float(np.abs(real - result)[inside].max(initial=0.0))


# ---- against real arithmetic


@QUICK
@given(
    seed=st.integers(0, 2**32 - 1),
    columns=st.sampled_from([1, 2, 17, 64, 256, 1023, 1024, 1500]),
    scale=st.floats(1e-3, 3.0),
    spread=st.integers(0, 127),
)
def test_softmax_rows_are_within_a_step_of_real_ones(seed: int, columns: int, scale: float, spread: int) -> None:
    """Half a step of rounding, and what the exponentials' own rounding and the scale's add up to."""
    x = integers(np.random.default_rng(seed), (4, columns), -spread, spread)
    result = activation_cases.softmax(x, scale).expected()
    exponentials = np.exp((x - x.max(axis=1, keepdims=True).astype(float)) * scale)
    real = 256 * exponentials / exponentials.sum(axis=1, keepdims=True) - 128
    unit = 2.0 ** -fixed_point.softmax_fraction_bits(columns)
    bound = 0.5 + 256 * (0.8 * columns * unit + 255 * 2.0**-20 * log(2)) + 2.0**-9
    assert bound < 1
    assert unclipped(real, result) <= bound


def lowered_layer_norm(
    x: np.ndarray, gamma: np.ndarray, beta: np.ndarray, output_scale: float
) -> activation_cases.Case:
    """Lower a real LayerNorm of int8 rows at INPUT_SCALE: gamma in int16, beta in int32 at that scale times 2**-7."""
    gamma_scale = float(np.abs(gamma).max()) / 32767
    return activation_cases.layer_norm(
        x,
        np.rint(gamma / gamma_scale).astype(np.int16),
        np.rint(beta / (gamma_scale / 128)).astype(np.int32),
        epsilon_term=max(1, round(x.shape[-1] ** 2 * EPSILON / INPUT_SCALE**2 * 2**16)),
        factor=gamma_scale / 128 / output_scale,
        zero_point=0,
    )


@QUICK
@given(
    seed=st.integers(0, 2**32 - 1),
    columns=st.sampled_from([1, 2, 5, 44, 192, 700]),
    spread=st.integers(0, 127),
    outlier=st.booleans(),
    output_scale=st.floats(0.02, 0.2),
)
def test_layer_norm_rows_are_within_a_step_of_real_ones(
    seed: int, columns: int, spread: int, outlier: bool, output_scale: float
) -> None:
    """Half a step of rounding, half a 128th of the normalised value times gamma, and 2**-20 of the rest."""
    rng = np.random.default_rng(seed)
    x = integers(rng, (4, columns), -spread, spread)
    if outlier:
        x[:, 0] = 127
    gamma, beta = rng.uniform(-1.5, 1.5, columns), rng.uniform(-1, 1, columns)
    gamma[rng.integers(columns)] = 1.5
    result = lowered_layer_norm(x, gamma, beta, output_scale).expected()
    values = x * INPUT_SCALE
    centred = values - values.mean(axis=1, keepdims=True)
    real = centred / np.sqrt(values.var(axis=1, keepdims=True) + EPSILON) * gamma + beta
    of_gamma = 1.5 / 65534 * sqrt(columns) / output_scale
    bound = 0.5 + 1.5 / 256 / output_scale + of_gamma + 0.01
    assert unclipped(real / output_scale, result) <= bound
    assert bound < 1 or output_scale < 1.5 / 64


def test_layer_norm_of_equal_values_is_beta() -> None:
    """Zero variance, with an epsilon too small to be represented: the rows are exactly beta."""
    x = np.repeat(np.array([[-128], [0], [127]], np.int8), 9, axis=1)
    gamma, beta = np.linspace(-1, 1, 9), np.linspace(-2, 2, 9)
    result = lowered_layer_norm(x, gamma, beta, 2 / 127).expected()
    np.testing.assert_array_equal(result, np.rint(np.tile(beta / (2 / 127), (3, 1))))


@QUICK
@given(
    seed=st.integers(0, 2**32 - 1),
    factors=st.tuples(st.floats(1e-3, 8.0), st.floats(1e-3, 8.0)),
    zero_points=st.tuples(*[st.integers(-128, 127)] * 3),
)
def test_sums_are_within_a_hundredth_of_their_half_step(
    seed: int, factors: tuple[float, float], zero_points: tuple[int, int, int]
) -> None:
    rng = np.random.default_rng(seed)
    a, b = integers(rng, 200), integers(rng, 200)
    shift = next(s for s in range(22, 0, -1) if round(max(factors) * 2**s) <= 32767)
    multipliers = (round(factors[0] * 2**shift), round(factors[1] * 2**shift))
    centre = zero_points[2] - zero_points[0] * factors[0] - zero_points[1] * factors[1]
    offset = round(centre * 2**shift) + 2 ** (shift - 1)
    result = activation_cases.add(a, b, multipliers, offset=offset, shift=shift).expected()
    real = a * factors[0] + b * factors[1] + centre
    assert unclipped(real, result) <= 0.5 + 129 * 2.0**-shift
    assert 129 * 2.0**-shift <= 0.008 * max(1.0, max(factors) * 2)


@QUICK
@given(seed=st.integers(0, 2**32 - 1), ratio=st.floats(0.1, 4.0), zero_points=st.tuples(*[st.integers(-128, 127)] * 2))
def test_averages_are_rounded_once(seed: int, ratio: float, zero_points: tuple[int, int]) -> None:
    x = integers(np.random.default_rng(seed), (7, 7, 5))
    op = ops.AvgPool2D((3, 3), (2, 2), (1, 1, 1, 1))
    result = activation_cases.avg_pool(x, op, zero_points=zero_points, ratio=ratio).expected()
    padded = np.pad(x.astype(float), ((1, 1), (1, 1), (0, 0)), constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (0, 1))[::2, ::2]
    real = (np.nanmean(windows, axis=(3, 4)) - zero_points[0]) * ratio + zero_points[1]
    assert unclipped(real, result) <= 0.5 + 1e-5


# ---- against onnxruntime


def softmax_model(columns: int, scale: float) -> onnx.ModelProto:
    model = QdqModel((1, 32, columns), border="int8", quant=(scale, 3))
    return model.finish(model.quantize(model.op("Softmax", [model.input], axis=-1), 1 / 256, -128), stored=True)


def layer_norm_model(columns: int) -> onnx.ModelProto:
    rng = np.random.default_rng(columns)
    model = QdqModel((1, 32, columns), border="int8", quant=(INPUT_SCALE, -5))
    gamma = model.constant(rng.integers(40, 127, columns).astype(np.int8), 0.012)
    beta = model.plain(rng.normal(0, 0.3, columns), np.float32)
    normalized = model.op("LayerNormalization", [model.input, gamma, beta], axis=-1, epsilon=EPSILON)
    return model.finish(model.quantize(normalized, 0.03, -4), stored=True)


def add_model(scale: float, output_scale: float) -> onnx.ModelProto:
    model = QdqModel((1, 2, 2048), border="int8", quant=(INPUT_SCALE, -7))
    halves = model.moved("Split", [model.input, model.integers(1, 1)], 2, axis=1)
    total = model.op("Add", [halves[0], model.quantize(halves[1], scale, 9)])
    return model.finish(model.quantize(total, output_scale, 5), stored=True)


def average_model(kernel: int, output_scale: float) -> onnx.ModelProto:
    model = QdqModel((1, 8, 24, 24), border="int8", quant=(INPUT_SCALE, -7))
    pooled = model.op("AveragePool", [model.input], kernel_shape=[kernel, kernel], strides=[2, 2])
    return model.finish(model.quantize(pooled, output_scale, 3), stored=True)


@pytest.mark.parametrize(
    ("build", "shape", "differing"),
    [
        pytest.param(lambda: softmax_model(64, 0.1), (32, 64), 0.0005, id="softmax 64"),
        pytest.param(lambda: softmax_model(256, 0.02), (32, 256), 0.0005, id="softmax 256"),
        pytest.param(lambda: softmax_model(1500, 0.1), (32, 1500), 0.0005, id="softmax 1500"),
        pytest.param(lambda: layer_norm_model(44), (32, 44), 0.09, id="layer norm 44"),
        pytest.param(lambda: layer_norm_model(192), (32, 192), 0.09, id="layer norm 192"),
        pytest.param(lambda: add_model(0.013, 0.05), (2, 2048), 0.002, id="add"),
        pytest.param(lambda: add_model(0.05, 0.08), (2, 2048), 0.08, id="add with ties"),
        pytest.param(lambda: average_model(3, 0.045), (8, 24, 24), 0.002, id="average"),
        pytest.param(lambda: average_model(2, 0.05), (8, 24, 24), 0.15, id="average with ties"),
    ],
)
def test_onnxruntime_is_at_most_a_step_away(
    build: Callable[[], onnx.ModelProto], shape: tuple[int, ...], differing: float, tmp_path_factory
) -> None:
    """At most one step, and how many outputs differ at all; ties go up here and to the even step there."""
    model = build()
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    onnx.save(model, path)
    graph = passes.run(frontend.load(path))
    rng = np.random.default_rng(0)
    samples = np.clip(np.rint(rng.normal(0, 35, (6, *shape))), -128, 127).astype(np.int8)
    expected = np.concatenate([run_onnx(model, x[np.newaxis])[model.graph.output[0].name] for x in samples])
    actual = reference.run(graph, graph.tensors[graph.input].from_model(samples))
    difference = np.abs(actual.astype(int) - graph.tensors[graph.output].from_model(expected.astype(int)))
    assert difference.max() <= 1
    assert difference.mean() <= differing
