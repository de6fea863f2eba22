"""Search space analysis: the probability that a search space suits the hardware (paper Algorithm 1)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tinyformer.errors import ConfigError, DoesNotFitError
from tinyformer.resources import Limits, ResourceEval
from tinyformer.search_space import SearchSpace, count_parameters, sample_path, sample_sparsity, sample_supernet


@dataclass(frozen=True, slots=True)
class AnalysisSettings:
    """How Algorithm 1 samples and judges; the ratios and the threshold are the paper's.

    ``samples`` is T_sup; ``lower`` and ``upper`` (lambda) are dense parameters per byte of the storage limit;
    ``threshold`` is the least probability to accept a search space.

    Raises:
        ConfigError: a value is out of range.
    """

    samples: int = 500
    lower: float = 0.8
    upper: float = 2.8
    threshold: float = 0.9
    seed: int = 0

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise ConfigError(f"space analysis: {self.samples} samples; allowed: 1 or more")
        if not 0 <= self.lower < self.upper:
            raise ConfigError(f"space analysis: ratios {self.lower} to {self.upper}; allowed: 0 <= lower < upper")
        if not 0 <= self.threshold <= 1:
            raise ConfigError(f"space analysis: threshold {self.threshold}; allowed: 0 to 1")


@dataclass(frozen=True, slots=True)
class SpaceAnalysis:
    """What Algorithm 1 found.

    ``evaluated`` of the ``samples`` sparse models meet the hardware limits; ``unfit`` counts, for each limit, the
    models that break it. Of the evaluated ones ``accepted`` have a dense parameter count within ``bounds``,
    ``too_small`` lie below and ``too_large`` above. ``parameters`` are their counts, sorted.
    """

    space: str
    samples: int
    evaluated: int
    accepted: int
    too_small: int
    too_large: int
    unfit: Mapping[str, int]
    bounds: tuple[int, int]
    parameters: tuple[int, ...]
    threshold: float

    @property
    def probability(self) -> float:
        """The probability to accept the search space: accepted / evaluated."""
        return self.accepted / self.evaluated

    @property
    def acceptable(self) -> bool:
        """Whether the probability reaches the threshold."""
        return self.probability >= self.threshold

    @property
    def failing_bound(self) -> str | None:
        """The bound that fails most, "lower" or "upper"; None when none fails."""
        if not self.too_small and not self.too_large:
            return None
        return "lower" if self.too_small >= self.too_large else "upper"

    def to_text(self) -> str:
        """Return the verdict in one line; below the threshold it names the bound that fails most and what to do."""
        found = (
            f"search space '{self.space}': {self.accepted} of {self.evaluated} models that fit have "
            f"{self.bounds[0]} to {self.bounds[1]} parameters, {self.probability:.1%}"
        )
        if self.acceptable:
            return f"{found} (accepted, {self.threshold:.0%} is needed)"
        failing, count, remedy = {
            "lower": ("lower", self.too_small, "more channels or blocks"),
            "upper": ("upper", self.too_large, "fewer channels or blocks"),
        }[self.failing_bound or "lower"]
        return (
            f"{found}, {self.threshold:.0%} is needed; the {failing} bound fails most ({count} models): "
            f"give the space {remedy}, or force the search"
        )


def analyze(
    space: SearchSpace, limits: Limits, evaluate: ResourceEval, settings: AnalysisSettings | None = None
) -> SpaceAnalysis:
    """Sample sparse single-path models of a space and count those that suit the limits.

    The listing in the paper compares parameter counts with the memory limit; the text explains the bounds by the
    storage limit, which is what is used here.

    Raises:
        DoesNotFitError: no sampled model meets the hardware limits, so that there is no probability; names the limit
            that fails most.

    Reference: paper Algorithm 1 and Sec. III-B2.
    """
    settings = settings or AnalysisSettings()
    bounds = (round(settings.lower * limits.flash_bytes), round(settings.upper * limits.flash_bytes))
    unfit: Counter[str] = Counter()
    parameters = []
    for index in range(settings.samples):
        rng = np.random.default_rng(np.random.SeedSequence((settings.seed, index)))
        config = sample_supernet(space, rng)
        path = sample_path(config, rng)
        broken = limits.exceeded(evaluate(config, path, sample_sparsity(space, config, rng)))
        if broken:
            unfit.update(broken)
        else:
            parameters.append(count_parameters(config, path))
    if not parameters:
        name, count = unfit.most_common(1)[0]
        raise DoesNotFitError(
            f"search space '{space.name}': none of {settings.samples} sampled models fits {limits.to_text()}; {name} "
            f"fails most ({count} models): use a smaller space or input, or raise the limit"
        )
    too_small = sum(count < bounds[0] for count in parameters)
    too_large = sum(count > bounds[1] for count in parameters)
    return SpaceAnalysis(
        space=space.name,
        samples=settings.samples,
        evaluated=len(parameters),
        accepted=len(parameters) - too_small - too_large,
        too_small=too_small,
        too_large=too_large,
        unfit=dict(unfit),
        bounds=bounds,
        parameters=tuple(sorted(parameters)),
        threshold=settings.threshold,
    )
