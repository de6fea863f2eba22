"""The quantisation of the model's input, chosen so that camera bytes enter as they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tinyformer.errors import ConfigError


@dataclass(frozen=True, slots=True)
class InputQuantization:
    """The quantisation of the model's input: real = scale * (integer - zero_point), int8."""

    scale: float
    zero_point: int

    def __post_init__(self) -> None:
        if not (self.scale > 0 and -128 <= self.zero_point <= 127):
            raise ConfigError(
                f"input quantisation: scale {self.scale}, zero point {self.zero_point}; "
                f"allowed: a positive scale, -128 to 127"
            )

    @classmethod
    def of_bytes(cls, mean: float, std: float) -> InputQuantization:
        """Return the quantisation under which camera bytes enter as they are: integer = byte - 128.

        Zero, and with it a convolution's padding, is the byte ``mean``.

        Args:
            mean: the byte subtracted in training, 0 to 255, the same for all channels.
            std: what the difference is divided by in training.

        Raises:
            ConfigError: the mean is no whole byte, or std is not positive.
        """
        if mean != round(mean) or not 0 <= mean <= 255 or not std > 0:
            raise ConfigError(
                f"input normalisation (byte - {mean}) / {std}; allowed: a whole byte as mean and a positive std, "
                f"so that bytes are the int8 input"
            )
        return cls(1 / std, round(mean) - 128)

    def quantize(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.int8]:
        """Return real values as the model's int8 input."""
        integers = np.rint(values / np.float32(self.scale)).astype(np.int32) + self.zero_point
        clipped: npt.NDArray[np.int8] = np.clip(integers, -128, 127).astype(np.int8)
        return clipped
