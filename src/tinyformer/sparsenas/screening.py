"""Screening: candidates are judged with the supernet's weights, and only the best of them are worth training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Generic, TypeVar

from tinyformer.resources import Limits, ResourceEval
from tinyformer.search_space import (
    Path,
    SearchSpace,
    SparsityConfig,
    SupernetConfig,
    path_from_dict,
    sparsity_from_dict,
    supernet_to_dict,
)
from tinyformer.sparsenas.actions import SparsenasActions
from tinyformer.sparsenas.sampling import Sampled, known, no_candidate, sample, sampled_costs
from tinyformer.sparsenas.settings import SparsenasSettings
from tinyformer.study import (
    Arrays,
    Choice,
    Executor,
    InProcessExecutor,
    Json,
    Observe,
    OpenTrial,
    Outcome,
    Skip,
    Storage,
    Study,
    Tally,
    Trial,
    conduct,
)

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class Screened:
    """The choices of the candidates that fit, the one judged best first, none twice; and how many were seen."""

    choices: tuple[Mapping[str, Choice], ...]
    candidates: Tally


def screen(
    space: SearchSpace,
    supernet: SupernetConfig,
    weights: Arrays,
    limits: Limits,
    evaluate: ResourceEval,
    actions: SparsenasActions[M],
    settings: SparsenasSettings,
    *,
    storage: Storage,
    executor: Executor | None = None,
    observe: Observe | None = None,
    name: str = "screening",
) -> Screened:
    """Judge ``settings.screened`` candidates with a supernet's weights, without training.

    Each is pruned in one shot, batch norm sees training images once, and the float accuracy on the validation split
    counts. The screening resumes what ``storage`` holds under ``name``.

    Args:
        space: gives the sparsities and block sizes to choose from.
        supernet: the supernet that Algorithm 2 found.
        weights: its trained weights.
        limits: what a model may take.
        evaluate: the board's ResourceEval.
        actions: what to do to networks.
        settings: count, sampler, seed.
        storage: where trials are kept.
        executor: where candidates are judged; this process by default.
        observe: is shown each trial that ends.
        name: the study's name.

    Raises:
        DoesNotFitError: no candidate fits; names the limit that fails most.
        ConfigError: the stored screening was made with other settings.
    """
    identity: dict[str, Json] = {
        "supernet": supernet_to_dict(space, supernet),
        "space": asdict(space),
        "limits": asdict(limits),
        "objective": settings.objective,
    }

    def conclude(trial: OpenTrial, job: Sampled, accuracy: float) -> Outcome:  # noqa: ARG001 - one signature for all
        return Outcome(accuracy, job.resources.metrics())

    study = Study(
        storage,
        name,
        sampler=settings.sampler,
        seed=settings.seed,
        settings=identity,
        costs=sampled_costs(settings),
    )
    with study:

        def prepare(trial: OpenTrial) -> Sampled | Skip | Outcome:
            job = sample(trial, space, supernet, limits, evaluate)
            return job if isinstance(job, Skip) else known(study.trials(), space, supernet, job) or job

        conduct(
            study,
            settings.screened,
            prepare=prepare,
            evaluate=_Judge(actions, supernet, weights),
            conclude=conclude,
            executor=executor or InProcessExecutor(),
            observe=observe,
        )
        trials = study.trials()
    candidates = Tally.of(trials)
    if not candidates.accepted:
        raise no_candidate(candidates, limits)
    return Screened(_best_first(trials, supernet, space), candidates)


@dataclass(frozen=True)
class _Judge(Generic[M]):
    actions: SparsenasActions[M]
    supernet: SupernetConfig
    weights: Arrays

    def __call__(self, job: Sampled) -> float:
        return self.actions.judge(self.actions.inherit(self.supernet, job.path, self.weights), job.sparsity)


def _best_first(
    trials: Sequence[Trial], supernet: SupernetConfig, space: SearchSpace
) -> tuple[Mapping[str, Choice], ...]:
    ranked = sorted((t for t in trials if t.objective is not None), key=lambda t: (-(t.objective or 0.0), t.index))
    unlike: dict[tuple[Path, SparsityConfig], Mapping[str, Choice]] = {}
    for trial in ranked:
        model = path_from_dict(supernet, trial.params), sparsity_from_dict(space, supernet, trial.params)
        unlike.setdefault(model, trial.params)
    return tuple(unlike.values())
