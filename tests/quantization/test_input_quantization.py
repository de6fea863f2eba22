import numpy as np
import pytest

from tinyformer.errors import ConfigError
from tinyformer.quantization import InputQuantization


@pytest.mark.parametrize(("mean", "std"), [(0.0, 255.0), (73.0, 90.37), (127.0, 1.0), (255.0, 64.5)])
def test_bytes_enter_as_they_are(mean: float, std: float):
    pixels = np.arange(256, dtype=np.uint8)
    real = ((pixels.astype(np.float32) - np.float32(mean)) / np.float32(std)).astype(np.float32)
    integers = InputQuantization.of_bytes(mean, std).quantize(real)
    np.testing.assert_array_equal(integers, (pixels ^ 0x80).view(np.int8))


def test_padding_is_the_mean_byte():
    entry = InputQuantization.of_bytes(73.0, 90.0)
    assert entry.quantize(np.zeros(1, np.float32))[0] == entry.zero_point == 73 - 128


@pytest.mark.parametrize(("mean", "std"), [(73.5, 90.0), (-1.0, 90.0), (256.0, 90.0), (73.0, 0.0)])
def test_other_normalisations_are_refused(mean: float, std: float):
    with pytest.raises(ConfigError, match="whole byte"):
        InputQuantization.of_bytes(mean, std)


def test_a_wrong_zero_point_is_refused():
    with pytest.raises(ConfigError, match="-128 to 127"):
        InputQuantization(0.1, 128)
