"""Real features as bytes, in arithmetic that a microcontroller repeats to the last bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyformer.errors import DataError

HALF_STEPS = 510.0  # from byte 0 to byte 255


@dataclass(frozen=True, slots=True)
class ByteScaling:
    """A linear map of real values to bytes: ``low`` becomes 0, ``high`` 255, what lies outside is clipped.

    In single precision, halves rounded up::

        half_steps = clip((value - low) * gain, 0, 510)
        byte       = (int(half_steps) + 1) >> 1

    No sum follows a product, so that a compiler cannot fuse the two: C gives the same bytes with and without a fused
    multiply-add.

    Attributes:
        low: the value of byte 0, a single-precision number.
        high: the value of byte 255, a single-precision number.

    Raises:
        DataError: not an interval that single precision can divide in 255 steps.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        ends = np.array((self.low, self.high), np.float64)
        single = ends.astype(np.float32).astype(np.float64)
        if not (np.isfinite(ends).all() and np.array_equal(ends, single) and np.isfinite(self.gain) and self.gain > 0):
            raise DataError(
                f"value range {self.low:g} to {self.high:g}; allowed: two different single-precision numbers, "
                f"the lower one first"
            )

    @classmethod
    def of(cls, low: float, high: float) -> ByteScaling:
        """Return the map of a range, its ends rounded to single precision.

        Raises:
            DataError: not an interval of single-precision numbers.
        """
        with np.errstate(over="ignore"):
            return cls(float(np.float32(low)), float(np.float32(high)))

    @property
    def gain(self) -> float:
        """Half steps per unit, a single-precision number; not finite or not positive for no interval."""
        with np.errstate(all="ignore"):
            return float(np.float32(np.float64(HALF_STEPS) / (np.float64(self.high) - np.float64(self.low))))

    def to_bytes(self, values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Return finite real values of any shape as bytes."""
        with np.errstate(over="ignore"):
            half_steps = (values.astype(np.float32) - np.float32(self.low)) * np.float32(self.gain)
        whole = np.clip(half_steps, 0.0, HALF_STEPS).astype(np.int32)
        rounded: npt.NDArray[np.uint8] = ((whole + 1) >> 1).astype(np.uint8)
        return rounded
