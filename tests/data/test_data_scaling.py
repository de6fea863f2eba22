import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinyformer.data.scaling import ByteScaling
from tinyformer.errors import DataError


@given(hnp.arrays(np.float32, (4, 3), elements=st.floats(-1000, 1000, width=32)), st.integers(0, 11))
def test_scaled_values_are_within_half_a_step(values, scale):
    values *= np.float32(2.0**-scale)
    low, high = float(values.min()), float(values.max())
    if high - low < 1e-3 * max(abs(low), abs(high), 1e-30):
        return
    scaled = ByteScaling(low, high).to_bytes(values)
    assert scaled.dtype == np.uint8
    assert {int(scaled.min()), int(scaled.max())} == {0, 255}
    step = (high - low) / 255
    error = np.abs(low + scaled * step - values.astype(np.float64)).max()
    assert error <= step * (0.5 + 255 * 2.0**-22)


def test_halves_are_rounded_up_and_values_outside_clipped():
    values = np.array([-1.0, -0.0, 0.49, 0.5, 1.5, 254.49, 254.5, 255.0, 256.0, 3e38, -3e38])
    assert ByteScaling(0.0, 255.0).to_bytes(values).tolist() == [0, 0, 0, 1, 2, 254, 255, 255, 255, 255, 0]


def test_the_digits_bytes_are_those_of_the_scaling():
    values = np.arange(17)
    assert ByteScaling(0.0, 16.0).to_bytes(values).tolist() == np.rint(values * (255 / 16)).tolist()


@pytest.mark.parametrize("ends", [(1.0, 1.0), (2.0, 1.0), (0.0, float("nan")), (0.0, 1e300), (0.0, 1e-44)])
def test_ranges_that_cannot_be_divided_are_refused(ends):
    with pytest.raises(DataError, match="two different single-precision numbers"):
        ByteScaling.of(*ends)
    with pytest.raises(DataError, match="single-precision"):
        ByteScaling(0.1, 1.0)
