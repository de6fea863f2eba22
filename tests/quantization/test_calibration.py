import numpy as np
import onnx
import pytest
from onnx import parser

from tinyformer.errors import ConfigError, DataError
from tinyformer.quantization import CalibrationSettings, calibrate, canonicalize


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return canonicalize(
        parser.parse_model("""
            <ir_version: 8, opset_import: ["" : 17]>
            g (float[1, 4] x) => (float[1, 4] y) { r = Relu(x)
                n = Neg(r)
                y = Add(n, n) }
        """)
    )


def _inputs(count: int = 500) -> np.ndarray:
    x = np.random.default_rng(0).uniform(-1, 1, (count, 4)).astype(np.float32)
    x[7, 2] = 100
    return x


def test_min_max_covers_every_value(model: onnx.ModelProto):
    x = _inputs()
    ranges = calibrate(model, x, CalibrationSettings(method="min_max", samples=len(x)))
    assert ranges["x"] == (x.min(), x.max())
    assert ranges["r"] == (0, 100)
    assert ranges["y"] == (-200, 0)


def test_percentile_leaves_out_the_rare(model: onnx.ModelProto):
    x = _inputs()
    ranges = calibrate(model, x, CalibrationSettings(percentile=99.0, samples=len(x)))
    bin_width = 101 / 4096
    low, high = np.quantile(x, [0.005, 0.995])
    assert ranges["x"] == pytest.approx((low, high), abs=2 * bin_width)
    assert ranges["y"] == (-200, 0)  # the output keeps its range


def test_a_seed_repeats_the_draw(model: onnx.ModelProto):
    def ranges(seed: int):
        return calibrate(model, _inputs(), CalibrationSettings(method="min_max", samples=20, seed=seed))

    assert ranges(1) == ranges(1)
    assert ranges(1) != ranges(2)


def test_the_order_of_the_readers_data_is_left_alone(model: onnx.ModelProto):
    x = _inputs()
    before = x.copy()
    calibrate(model, x, CalibrationSettings(samples=5))
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("shape", [(0, 4), (3, 5), (4,)])
def test_data_of_another_shape_is_refused(model: onnx.ModelProto, shape: tuple[int, ...]):
    with pytest.raises(DataError, match=r"allowed: \(N, 4\)"):
        calibrate(model, np.zeros(shape, np.float32), CalibrationSettings())


def test_values_that_are_not_finite_are_refused(model: onnx.ModelProto):
    with pytest.raises(DataError, match="not finite"):
        calibrate(model, np.full((1, 4), np.nan, np.float32), CalibrationSettings())


@pytest.mark.parametrize("change", [{"method": "entropy"}, {"percentile": 10.0}, {"samples": 0}])
def test_wrong_settings_are_refused(change: dict[str, object]):
    with pytest.raises(ConfigError, match="allowed"):
        CalibrationSettings(**change)


def test_mse_keeps_the_range_of_least_error():
    """A rare outlier costs less, clipped, than finer steps gain for the rest."""
    model = canonicalize(
        parser.parse_model("""
            <ir_version: 8, opset_import: ["" : 17]>
            g (float[1, 20000] x) => (float[1, 20000] y) { y = Neg(x) }
        """)
    )
    x = np.random.default_rng(3).normal(0, 1, (20, 20000)).astype(np.float32)
    x[7, 2] = 12

    def error(low: float, high: float) -> float:
        step = (high - low) / 255
        quantised = np.clip(np.rint((x - low) / step), 0, 255) * step + low
        return float(np.square(x - quantised).mean())

    chosen = calibrate(model, x, CalibrationSettings(method="mse", samples=len(x)))["x"]
    whole = calibrate(model, x, CalibrationSettings(method="min_max", samples=len(x)))["x"]
    assert whole[0] <= chosen[0] < 0 < chosen[1] < whole[1]
    assert error(*chosen) < error(*whole)
    assert error(*chosen) <= 1.02 * min(error(whole[0] * part, whole[1] * part) for part in np.arange(0.2, 1, 0.01))
