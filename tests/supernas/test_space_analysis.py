"""Algorithm 1: the probability that a search space suits the hardware."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from search_fakes import fake_resources
from tinyformer.errors import ConfigError, DoesNotFitError
from tinyformer.resources import Limits, Resources
from tinyformer.search_space import Path, SparsityConfig, SupernetConfig, count_parameters, preset
from tinyformer.supernas.space_analysis import AnalysisSettings, analyze

SPACE = preset("digits")
SETTINGS = AnalysisSettings(samples=60, seed=5)


def constant(flash_bytes: int, ram_bytes: int) -> Callable[[SupernetConfig, Path, SparsityConfig], Resources]:
    return lambda config, path, sparsity: Resources(flash_bytes, ram_bytes, ram_bytes, flash_bytes, 0, 0)


def parameter_counts() -> list[int]:
    analysis = analyze(SPACE, Limits(10**9, 10**9), constant(1, 1), SETTINGS)
    return list(analysis.parameters)


def test_models_within_the_bounds_are_accepted() -> None:
    counts = parameter_counts()
    assert len(counts) == 60
    limit = round(np.mean(counts))
    analysis = analyze(SPACE, Limits(limit, 10**9), constant(1, 1), SETTINGS)
    assert analysis.bounds == (round(0.8 * limit), round(2.8 * limit))
    accepted = sum(0.8 * limit <= count <= 2.8 * limit for count in counts)
    assert (analysis.samples, analysis.evaluated, analysis.accepted) == (60, 60, accepted)
    assert analysis.probability == accepted / 60
    assert analysis.too_small == sum(count < 0.8 * limit for count in counts)
    assert analysis.accepted + analysis.too_small + analysis.too_large == 60


@pytest.mark.parametrize(
    ("factor", "bound", "remedy"), [(1 / 10, "upper", "fewer channels"), (10, "lower", "more channels")]
)
def test_a_rejected_space_names_the_bound_that_fails_most(factor: float, bound: str, remedy: str) -> None:
    limit = round(factor * float(np.mean(parameter_counts())))
    analysis = analyze(SPACE, Limits(limit, 10**9), constant(1, 1), SETTINGS)
    assert not analysis.acceptable
    assert analysis.failing_bound == bound
    assert f"the {bound} bound fails most" in analysis.to_text()
    assert remedy in analysis.to_text()
    assert "\n" not in analysis.to_text()


def test_an_accepted_space() -> None:
    counts = parameter_counts()
    limit = round(min(counts) / 0.8)
    analysis = analyze(SPACE, Limits(limit, 10**9), constant(1, 1), SETTINGS)
    assert analysis.acceptable
    assert "accepted" in analysis.to_text()


def test_the_bounds_belong_to_the_accepted_range() -> None:
    counts = parameter_counts()
    settings = AnalysisSettings(samples=60, seed=5, lower=1.0, upper=2.0)
    smallest = analyze(SPACE, Limits(min(counts), 10**9), constant(1, 1), settings)
    assert smallest.too_small == 0
    larger = analyze(SPACE, Limits(min(counts) + 1, 10**9), constant(1, 1), settings)
    assert larger.too_small >= 1


def test_only_models_that_fit_are_counted() -> None:
    limits = Limits(60_000, 24_000)
    analysis = analyze(SPACE, limits, fake_resources, SETTINGS)
    assert 0 < analysis.evaluated < 60
    assert analysis.probability == analysis.accepted / analysis.evaluated > analysis.accepted / 60
    assert set(analysis.unfit) == {"flash", "RAM"}
    assert sum(analysis.unfit.values()) >= 60 - analysis.evaluated


def test_nothing_evaluated_is_an_error_that_names_the_limit() -> None:
    with pytest.raises(DoesNotFitError, match=r"none of 60 sampled models fits .* RAM fails most \(60 models\)"):
        analyze(SPACE, Limits(10**9, 1000), constant(1, 2000), SETTINGS)


def test_samples_depend_on_the_seed_only() -> None:
    limits = Limits(60_000, 24_000)
    first = analyze(SPACE, limits, fake_resources, SETTINGS)
    assert first == analyze(SPACE, limits, fake_resources, SETTINGS)
    assert first != analyze(SPACE, limits, fake_resources, AnalysisSettings(samples=60, seed=6))


def test_dense_parameters_are_counted_whatever_the_sparsity() -> None:
    seen: list[int] = []

    def evaluate(config: SupernetConfig, path: Path, sparsity: SparsityConfig) -> Resources:
        seen.append(count_parameters(config, path))
        assert any(block.sparsity for block in sparsity.blocks)
        return Resources(1, 1, 1, 1, 1, 1)

    analysis = analyze(SPACE, Limits(10**9, 10**9), evaluate, SETTINGS)
    assert analysis.parameters == tuple(sorted(seen))


@pytest.mark.parametrize("wrong", [{"samples": 0}, {"lower": 3.0}, {"threshold": 1.5}])
def test_settings_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="allowed"):
        AnalysisSettings(**wrong)


def test_it_needs_neither_torch_nor_optuna() -> None:
    heavy = {"torch", "optuna", "safetensors"}
    code = f"import sys, tinyformer.supernas.space_analysis; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
