"""Candidates of the single-path search: sampled by a trial, held against the limits before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tinyformer.errors import DoesNotFitError
from tinyformer.resources import Limits, ResourceEval, Resources
from tinyformer.search_space import (
    Path,
    SearchSpace,
    SparsityConfig,
    SupernetConfig,
    path_from_dict,
    path_parameters,
    sparsity_from_dict,
    sparsity_parameters,
)
from tinyformer.sparsenas.settings import SparsenasSettings
from tinyformer.study import OpenTrial, Outcome, Skip, Tally, Trial

COSTS = ("flash_bytes", "ram_bytes", "latency_ms")  # what the front weighs against accuracy


@dataclass(frozen=True, slots=True)
class Sampled:
    """The candidate of a trial, which fits: what it is, what it takes, and the seed of its training."""

    index: int
    path: Path
    sparsity: SparsityConfig
    resources: Resources
    seed: int


def sample(
    trial: OpenTrial, space: SearchSpace, supernet: SupernetConfig, limits: Limits, evaluate: ResourceEval
) -> Sampled | Skip:
    """Sample a trial's path and sparsity configuration; skip it when it is over a limit."""
    parameters = (*path_parameters(supernet), *sparsity_parameters(space, supernet))
    chosen = {p.name: trial.choose(p.name, p.choices) for p in parameters}
    path = path_from_dict(supernet, chosen)
    sparsity = sparsity_from_dict(space, supernet, chosen)
    resources = evaluate(supernet, path, sparsity)
    broken = limits.exceeded(resources)
    if broken:
        return Skip(f"over {' and '.join(broken)}", resources.metrics())
    return Sampled(trial.index, path, sparsity, resources, int(trial.generator().integers(2**31)))


def sampled_costs(settings: SparsenasSettings) -> tuple[str, ...]:
    """Return the metrics that the sampler keeps low."""
    return COSTS if settings.objective == "front" else ()


def known(trials: Iterable[Trial], space: SearchSpace, supernet: SupernetConfig, job: Sampled) -> Outcome | None:
    """Return the result of the first finished trial of the same candidate, which says so in its details."""
    for trial in trials:
        if trial.objective is None:
            continue
        path = path_from_dict(supernet, trial.params)
        if path == job.path and sparsity_from_dict(space, supernet, trial.params) == job.sparsity:
            return Outcome(trial.objective, trial.metrics, {"repeats": trial.index})
    return None


def no_candidate(candidates: Tally, limits: Limits) -> DoesNotFitError:
    """Return the error of a search without a usable candidate; names the limit that fails most."""
    reason, count = next(iter(candidates.skipped.items()))
    return DoesNotFitError(
        f"sparse search: none of {candidates.seen} candidates is usable within {limits.to_text()}; most "
        f"often: {reason} ({count} candidates): search more candidates, use a smaller space or raise the limit"
    )
