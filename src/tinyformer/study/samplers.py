"""The samplers by name. Each trial gets a fresh one, seeded by (seed, index), so that resuming changes nothing."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from tinyformer.errors import ConfigError, MissingExtraError
from tinyformer.study.trial import Choice

try:
    from optuna.samplers import BaseSampler, NSGAIISampler, PartialFixedSampler, RandomSampler, TPESampler
except ImportError as error:
    raise MissingExtraError("optuna", "search", "the search") from error


def _random(seed: int) -> BaseSampler:
    return RandomSampler(seed=seed)


def _tpe(seed: int) -> BaseSampler:
    with warnings.catch_warnings():  # Optuna calls some of these arguments experimental
        warnings.simplefilter("ignore")
        return TPESampler(seed=seed, multivariate=True, constant_liar=True)


def _nsga2(seed: int) -> BaseSampler:
    # Optuna's population of 50 would leave a search of a hundred trials two generations
    return NSGAIISampler(seed=seed, population_size=20)


SAMPLERS: Mapping[str, Callable[[int], BaseSampler]] = MappingProxyType(
    {"random": _random, "tpe": _tpe, "nsga2": _nsga2}
)


def make_sampler(name: str, seed: int, index: int, given: Mapping[str, Choice] | None = None) -> BaseSampler:
    """Return the sampler of trial ``index`` of a study, which takes the ``given`` choices as they are.

    Raises:
        ConfigError: no sampler has this name.
    """
    if name not in SAMPLERS:
        raise ConfigError(f"sampler '{name}': unknown; choose one of {', '.join(SAMPLERS)}")
    state = np.random.SeedSequence((seed, index)).generate_state(1)
    sampler = SAMPLERS[name](int(state[0]))
    if given is None:
        return sampler
    with warnings.catch_warnings():  # experimental, too
        warnings.simplefilter("ignore")
        return PartialFixedSampler(dict(given), sampler)
