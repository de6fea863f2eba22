"""Supernet search: sample supernets, train them, keep the one whose sparse models do best (paper Algorithm 2)."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Final, Generic, TypeVar

import numpy as np

from tinyformer.errors import DoesNotFitError, TrainingError
from tinyformer.resources import Limits, ResourceEval, Resources
from tinyformer.search_space import (
    Path,
    SearchSpace,
    SparsityConfig,
    SupernetConfig,
    path_to_dict,
    sample_path,
    sample_sparsity,
    sparsity_to_dict,
    supernet_from_dict,
    supernet_parameters,
    supernet_to_dict,
)
from tinyformer.study import (
    Arrays,
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
    defaults,
    find_arrays,
    save_arrays,
)
from tinyformer.supernas.actions import SupernasActions
from tinyformer.supernas.settings import SupernasSettings

__all__ = ["SupernasResult", "SupernasSettings", "search"]

_PATH: Final = 1  # streams of random numbers
_SPARSITY: Final = 2

S = TypeVar("S")
M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class SupernasResult:
    """The best supernet.

    ``index`` is its trial's, ``accuracy`` the mean over its sparse models, ``weights`` the safetensors file.
    """

    supernet: SupernetConfig
    index: int
    accuracy: float
    weights: pathlib.Path
    supernets: Tally
    candidates: Tally


def search(
    space: SearchSpace,
    limits: Limits,
    evaluate: ResourceEval,
    actions: SupernasActions[S, M],
    settings: SupernasSettings,
    *,
    storage: Storage,
    directory: pathlib.Path,
    executor: Executor | None = None,
    observe: Observe | None = None,
    name: str = "supernas",
    evaluate_ram: ResourceEval | None = None,
) -> SupernasResult:
    """Return the supernet of a space whose sparse single-path models have the best average accuracy.

    The search resumes what ``storage`` holds under ``name``: supernets are its trials, the candidates of supernet i
    the trials of ``<name>/<i>``. Trained weights stay in ``directory`` as ``supernet-<i>.safetensors``.

    ``evaluate_ram`` judges the dense paths of TestSupernet, which need not fit the flash; by default ``evaluate``.

    Raises:
        DoesNotFitError: every supernet was skipped; gives the most frequent reason.
        ConfigError: the stored search was made with other settings.

    Reference: paper Algorithm 2 and Sec. III-B3.
    """
    return _Search(
        space,
        limits,
        evaluate,
        evaluate_ram or evaluate,
        actions,
        settings,
        storage,
        directory,
        executor or InProcessExecutor(),
        observe,
        name,
    ).run()


@dataclass(frozen=True, slots=True)
class _Supernet:
    """The supernet of a trial, to be trained; ``weights`` when that was done before an interruption."""

    index: int
    config: SupernetConfig
    seed: int
    weights: Arrays | None


@dataclass(frozen=True, slots=True)
class _Candidate:
    config: SupernetConfig
    weights: Arrays
    path: Path
    sparsity: SparsityConfig
    resources: Resources


@dataclass(frozen=True)
class _Search(Generic[S, M]):
    space: SearchSpace
    limits: Limits
    evaluate: ResourceEval
    evaluate_ram: ResourceEval
    actions: SupernasActions[S, M]
    settings: SupernasSettings
    storage: Storage
    directory: pathlib.Path
    executor: Executor
    observe: Observe | None
    name: str

    def run(self) -> SupernasResult:
        settings, train = self.settings, _Train(self.actions, self.settings.epochs)
        with self._study(self.name, settings.sampler) as study:
            conduct(
                study,
                settings.supernets,
                prepare=self._prepare_supernet,
                evaluate=train,
                conclude=self._conclude_supernet,
                executor=self.executor,
                observe=self.observe,
            )
            trials, best = study.trials(), study.best()
        return self._result(trials, best)

    def _study(self, name: str, sampler: str) -> Study:
        fixed = asdict(self.settings)
        for key in ("supernets", "sampler", "seed"):  # more supernets extend a search; the study knows the others
            del fixed[key]
        identity = {"space": asdict(self.space), "limits": asdict(self.limits), **fixed}
        return Study(
            self.storage,
            name,
            sampler=sampler,
            seed=self.settings.seed,
            settings=identity,
            defaults=defaults(self.settings),
        )

    def _weights_file(self, index: int) -> pathlib.Path:
        return self.directory / f"supernet-{index:04d}.safetensors"

    def _prepare_supernet(self, trial: OpenTrial) -> _Supernet | Skip:
        chosen = {p.name: trial.choose(p.name, p.choices) for p in supernet_parameters(self.space)}
        config = supernet_from_dict(self.space, chosen)
        rng = trial.generator()
        seed = int(rng.integers(2**31))
        over = self._share_over_memory(config, rng)
        if over > self.settings.test_share:
            return Skip("most paths over RAM", {"share_over_memory": over})
        if not self._any_candidate_fits(trial.index, config):  # seen before the training, which would be in vain
            tally = Tally.of(self._run_candidates(trial.index, config, {}))
            return Skip("no sparse model fits", details={"candidates": asdict(tally)})
        weights = find_arrays(self._weights_file(trial.index), self._describe(config, seed))
        return _Supernet(trial.index, config, seed, weights)

    def _share_over_memory(self, config: SupernetConfig, rng: np.random.Generator) -> float:
        """TestSupernet: the share of sampled dense paths that exceed the memory limit."""
        dense = SparsityConfig.uniform(config, 0.0, self.space.block_sizes[0])
        paths = [sample_path(config, rng) for _ in range(self.settings.test_paths)]
        over = [self.evaluate_ram(config, path, dense).ram_bytes > self.limits.ram_bytes for path in paths]
        return sum(over) / len(paths)

    def _describe(self, config: SupernetConfig, seed: int) -> dict[str, Json]:
        settings = self.settings
        training: dict[str, Json] = {
            "epochs": settings.epochs,
            "batch_size": settings.batch_size,
            "learning_rate": settings.learning_rate,
            "seed": seed,
        }
        return {"supernet": supernet_to_dict(self.space, config), "training": training}

    def _conclude_supernet(self, trial: OpenTrial, job: _Supernet, weights: Arrays | None) -> Outcome | Skip:
        if weights is None:
            return Skip("training diverged")
        if job.weights is None:
            save_arrays(self._weights_file(trial.index), weights, self._describe(job.config, job.seed))
        trials = self._run_candidates(trial.index, job.config, weights)
        averages = self._path_averages(trials)
        return Outcome(fmean(averages), {"paths": len(averages)}, {"candidates": asdict(Tally.of(trials))})

    def _run_candidates(self, supernet: int, config: SupernetConfig, weights: Arrays) -> tuple[Trial, ...]:
        """Evaluate T_j paths with T_k sparsity configurations each."""
        with self._study(f"{self.name}/{supernet}", "random") as study:
            conduct(
                study,
                self._candidates,
                prepare=lambda trial: self._prepare_candidate(supernet, trial.index, config, weights),
                evaluate=_Accuracy(self.actions),
                conclude=_conclude_candidate,
                executor=self.executor,
                observe=self.observe,
            )
            return study.trials()

    @property
    def _candidates(self) -> int:
        return self.settings.paths * self.settings.sparsities

    def _any_candidate_fits(self, supernet: int, config: SupernetConfig) -> bool:
        prepared = (self._prepare_candidate(supernet, index, config, {}) for index in range(self._candidates))
        return any(isinstance(candidate, _Candidate) for candidate in prepared)

    def _prepare_candidate(
        self, supernet: int, index: int, config: SupernetConfig, weights: Arrays
    ) -> _Candidate | Skip:
        j, k = divmod(index, self.settings.sparsities)
        path = sample_path(config, self._generator(_PATH, supernet, j))
        sparsity = sample_sparsity(self.space, config, self._generator(_SPARSITY, supernet, j, k))
        resources = self.evaluate(config, path, sparsity)
        broken = self.limits.exceeded(resources)
        if broken:
            details: dict[str, Json] = {**path_to_dict(config, path), **sparsity_to_dict(config, sparsity)}
            return Skip(f"over {' and '.join(broken)}", resources.metrics(), details)
        return _Candidate(config, weights, path, sparsity, resources)

    def _generator(self, *key: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence((self.settings.seed, *key)))

    def _path_averages(self, trials: Sequence[Trial]) -> list[float]:
        """Return AvgAcc of each path that has a sparse model that fits."""
        accuracies: dict[int, list[float]] = {}
        for trial in trials:
            if trial.objective is not None:
                accuracies.setdefault(trial.index // self.settings.sparsities, []).append(trial.objective)
        return [fmean(values) for values in accuracies.values()]

    def _result(self, trials: Sequence[Trial], best: Trial | None) -> SupernasResult:
        supernets = Tally.of(trials)
        if best is None or best.objective is None:
            reason, count = next(iter(supernets.skipped.items()))
            raise DoesNotFitError(
                f"search space '{self.space.name}': none of {supernets.seen} supernets is usable within "
                f"{self.limits.to_text()}; most often: {reason} ({count} supernets): "
                "use a smaller space or raise the limit"
            )
        return SupernasResult(
            supernet=supernet_from_dict(self.space, best.params),
            index=best.index,
            accuracy=best.objective,
            weights=self._weights_file(best.index),
            supernets=supernets,
            candidates=Tally.total(trial.details["candidates"] for trial in trials if "candidates" in trial.details),
        )


@dataclass(frozen=True)
class _Train(Generic[S, M]):
    """Build and train a supernet, wherever the executor runs it; None when its training diverges."""

    actions: SupernasActions[S, M]
    epochs: int

    def __call__(self, job: _Supernet) -> Arrays | None:
        if job.weights is not None:
            return job.weights
        supernet = self.actions.build(job.config, job.seed)
        try:
            self.actions.train(supernet, self.epochs, job.seed, f"supernet-{job.index:04d}")
        except TrainingError:
            return None
        return self.actions.weights(supernet)


@dataclass(frozen=True)
class _Accuracy(Generic[S, M]):
    """Prune a path's model in one shot and measure it, wherever the executor runs it."""

    actions: SupernasActions[S, M]

    def __call__(self, job: _Candidate) -> float:
        model = self.actions.extract(self.actions.restore(job.config, job.weights), job.path)
        self.actions.prune(model, job.sparsity)
        return self.actions.accuracy(model)


def _conclude_candidate(trial: OpenTrial, job: _Candidate, accuracy: float) -> Outcome:  # noqa: ARG001 - the signature
    details: dict[str, Json] = {**path_to_dict(job.config, job.path), **sparsity_to_dict(job.config, job.sparsity)}
    return Outcome(accuracy, job.resources.metrics(), details)
