"""How to calibrate: known without what calibrates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from tinyformer.errors import ConfigError

Method = Literal["min_max", "percentile", "mse"]
METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True, slots=True)
class CalibrationSettings:
    """How ranges are found.

    Attributes:
        method: ``min_max`` covers every value seen; ``percentile`` leaves out the rarest at both ends; ``mse`` takes
            the part of that range whose quantisation has the least mean squared error.
        percentile: the share of values that ``percentile`` covers, 50 to 100.
        samples: how many inputs are drawn from those given.
        seed: of that draw.
    """

    method: Method = "percentile"
    percentile: float = 99.99
    samples: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(f"calibration method '{self.method}'; allowed: {', '.join(METHODS)}")
        if not 50 <= self.percentile <= 100:
            raise ConfigError(f"calibration percentile {self.percentile}; allowed: 50 to 100")
        if self.samples < 1:
            raise ConfigError(f"calibration samples {self.samples}; allowed: 1 or more")
