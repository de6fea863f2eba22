"""How supernet search samples and trains."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from tinyformer.errors import ConfigError
from tinyformer.study.names import SAMPLER_NAMES, Sampler


@dataclass(frozen=True, slots=True)
class SupernasSettings:
    """How Algorithm 2 samples and trains.

    ``supernets``, ``paths`` and ``sparsities`` are the paper's T_i, T_j and T_k, for which it gives no values.
    TestSupernet samples ``test_paths`` paths and skips the supernet when more than ``test_share`` of them need too
    much memory. ``epochs`` (10), ``batch_size`` and ``learning_rate`` (its peak) are the paper's. ``sampler`` chooses
    supernets; paths and sparsity configurations are always random, because their accuracies are averaged.

    Raises:
        ConfigError: a value is out of range.
    """

    supernets: int = 8
    paths: int = 10
    sparsities: int = 5
    test_paths: int = 100
    test_share: float = 0.5
    epochs: int = 10
    batch_size: int = 128
    learning_rate: float = 55e-5
    sampler: Sampler = "random"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("supernets", "paths", "sparsities", "test_paths", "epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"supernas: {name} = {getattr(self, name)}; allowed: 1 or more")
        if not 0 < self.learning_rate < inf:
            raise ConfigError(f"supernas: learning_rate = {self.learning_rate}; allowed: above 0")
        if not 0 <= self.test_share <= 1:
            raise ConfigError(f"supernas: test_share = {self.test_share}; allowed: 0 to 1")
        if self.sampler not in SAMPLER_NAMES:
            raise ConfigError(f"supernas: sampler = '{self.sampler}'; allowed: {', '.join(SAMPLER_NAMES)}")
