"""Single-path search: which path and sparsity configuration make the best model that fits (paper Algorithm 3)."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Generic, TypeVar

from tinyformer.errors import TrainingError
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
from tinyformer.sparsenas.actions import PruningRun, SparsenasActions
from tinyformer.sparsenas.sampling import COSTS, Sampled, known, no_candidate, sample, sampled_costs
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
    defaults,
    pareto_front,
    save_arrays,
)

__all__ = ["COSTS", "FrontMember", "SparsenasResult", "SparsenasSettings", "search"]

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class FrontMember:
    """A candidate that no other one beats in accuracy, flash, RAM and latency at once.

    ``accuracy`` is that of the int8 model on the validation split, ``metrics`` the predicted resources by name,
    ``weights`` a safetensors file of the pruned model.
    """

    index: int
    path: Path
    sparsity: SparsityConfig
    accuracy: float
    metrics: Mapping[str, float]
    weights: pathlib.Path


@dataclass(frozen=True, slots=True)
class SparsenasResult:
    """The best sparse single-path model.

    ``accuracies`` are those on the validation split after training ("float"), pruning ("pruned") and quantisation
    ("int8"). ``trained_weights`` and ``weights`` are safetensors files of the model before and after pruning. ``front``
    holds the Pareto front, most accurate first; the best model is its first member.
    """

    supernet: SupernetConfig
    path: Path
    sparsity: SparsityConfig
    index: int
    accuracies: Mapping[str, float]
    trained_weights: pathlib.Path
    weights: pathlib.Path
    candidates: Tally
    front: tuple[FrontMember, ...]


def search(
    space: SearchSpace,
    supernet: SupernetConfig,
    weights: Arrays,
    limits: Limits,
    evaluate: ResourceEval,
    actions: SparsenasActions[M],
    settings: SparsenasSettings,
    *,
    storage: Storage,
    directory: pathlib.Path,
    executor: Executor | None = None,
    observe: Observe | None = None,
    name: str = "sparsenas",
    chosen: Sequence[Mapping[str, Choice]] | None = None,
) -> SparsenasResult:
    """Return the sparse single-path model of a supernet with the best int8 accuracy within the limits.

    Of models that are equally accurate the one with less flash, then RAM, then latency is best. A candidate that is
    sampled again is not trained again: it has the result it had.

    The search resumes what ``storage`` holds under ``name``. Weights of the models on the front stay in ``directory``
    as ``candidate-<i>-trained.safetensors`` and ``candidate-<i>-pruned.safetensors``.

    Args:
        space: gives the sparsities and block sizes to choose from.
        supernet: the supernet that Algorithm 2 found.
        weights: its trained weights.
        limits: what a model may take.
        evaluate: the board's ResourceEval.
        actions: what to do to networks.
        settings: counts, epochs, sampler, seed.
        storage: where trials are kept.
        directory: where weights are kept.
        executor: where candidates are trained; this process by default.
        observe: is shown each trial that ends.
        name: the study's name.
        chosen: the choices of the candidates, by their index, in place of sampling; fewer shorten the search.

    Raises:
        DoesNotFitError: no candidate fits; names the limit that fails most.
        ConfigError: the stored search was made with other settings.

    Reference: paper Algorithm 3 and Sec. III-C1.
    """
    return _Search(space, supernet, limits, evaluate, settings, storage, directory, name, chosen).run(
        _Evaluate(actions, settings, supernet, weights), executor or InProcessExecutor(), observe
    )


@dataclass(frozen=True, slots=True)
class _Evaluated:
    accuracies: Mapping[str, float]
    trained: Arrays
    pruned: Arrays


@dataclass(frozen=True)
class _Evaluate(Generic[M]):
    """Train, prune and measure a candidate, wherever the executor runs it; None when its training diverges."""

    actions: SparsenasActions[M]
    settings: SparsenasSettings
    supernet: SupernetConfig
    weights: Arrays

    def __call__(self, job: Sampled) -> _Evaluated | None:
        actions, settings = self.actions, self.settings
        try:
            model = actions.inherit(self.supernet, job.path, self.weights)
            name = f"candidate-{job.index:04d}"
            actions.train(model, settings.epochs, job.seed, f"{name}-training")
            trained, accuracy = actions.weights(model), actions.accuracy(model)
            pruning = PruningRun(settings.ramp_epochs, settings.prune_epochs, job.seed, name=f"{name}-pruning")
            actions.prune(model, job.sparsity, pruning)
            accuracies = {"float": accuracy, "pruned": actions.accuracy(model), "int8": actions.int8_accuracy(model)}
            return _Evaluated(accuracies, trained, actions.weights(model))
        except TrainingError:
            return None


@dataclass(frozen=True)
class _Search:
    space: SearchSpace
    supernet: SupernetConfig
    limits: Limits
    evaluate: ResourceEval
    settings: SparsenasSettings
    storage: Storage
    directory: pathlib.Path
    name: str
    chosen: Sequence[Mapping[str, Choice]] | None

    def run(self, train: _Evaluate[M], executor: Executor, observe: Observe | None) -> SparsenasResult:
        with self._study() as study:

            def prepare(trial: OpenTrial) -> Sampled | Skip | Outcome:
                job = sample(trial, self.space, self.supernet, self.limits, self.evaluate)
                return job if isinstance(job, Skip) else known(study.trials(), self.space, self.supernet, job) or job

            def keep_the_front(study_name: str, trial: Trial) -> None:
                self._remove_all_but_the_front(study)
                if observe is not None:
                    observe(study_name, trial)

            conduct(
                study,
                self._count,
                prepare=prepare,
                evaluate=train,
                conclude=self._conclude,
                executor=executor,
                observe=keep_the_front,
            )
            return self._result(study.trials())

    @property
    def _count(self) -> int:
        return self.settings.candidates if self.chosen is None else min(self.settings.candidates, len(self.chosen))

    def _study(self) -> Study:
        fixed = asdict(self.settings)
        for key in ("candidates", "sampler", "seed"):  # more candidates extend a search; the study knows the others
            del fixed[key]
        identity = {
            "supernet": supernet_to_dict(self.space, self.supernet),
            "space": asdict(self.space),
            "limits": asdict(self.limits),
            **fixed,
        }
        return Study(
            self.storage,
            self.name,
            sampler=self.settings.sampler,
            seed=self.settings.seed,
            settings=identity,
            defaults=defaults(self.settings),
            given=self.chosen,
            costs=sampled_costs(self.settings),
        )

    def _weights_files(self, index: int) -> tuple[pathlib.Path, pathlib.Path]:
        stem = f"candidate-{index:04d}"
        return self.directory / f"{stem}-trained.safetensors", self.directory / f"{stem}-pruned.safetensors"

    def _conclude(self, trial: OpenTrial, job: Sampled, result: _Evaluated | None) -> Outcome | Skip:
        if result is None:
            return Skip("training diverged", job.resources.metrics())
        description: dict[str, Json] = {"index": trial.index, "seed": job.seed, "path": job.path.choices}
        trained, pruned = self._weights_files(trial.index)
        save_arrays(trained, result.trained, description)
        save_arrays(pruned, result.pruned, description)
        accuracies = {f"accuracy_{stage}": value for stage, value in result.accuracies.items()}
        return Outcome(result.accuracies["int8"], {**job.resources.metrics(), **accuracies})

    def _remove_all_but_the_front(self, study: Study) -> None:
        trials = study.trials()
        kept = {trial.index for trial in _front(trials)}
        for trial in trials:
            if trial.ended and trial.index not in kept:
                for file in self._weights_files(trial.index):
                    file.unlink(missing_ok=True)

    def _result(self, trials: Sequence[Trial]) -> SparsenasResult:
        candidates, front = Tally.of(trials), _front(trials)
        if not front:
            raise no_candidate(candidates, self.limits)
        best = front[0]
        trained, pruned = self._weights_files(best.index)
        return SparsenasResult(
            supernet=self.supernet,
            path=path_from_dict(self.supernet, best.params),
            sparsity=sparsity_from_dict(self.space, self.supernet, best.params),
            index=best.index,
            accuracies={stage: best.metrics[f"accuracy_{stage}"] for stage in ("float", "pruned", "int8")},
            trained_weights=trained,
            weights=pruned,
            candidates=candidates,
            front=tuple(self._member(trial) for trial in front),
        )

    def _member(self, trial: Trial) -> FrontMember:
        return FrontMember(
            index=trial.index,
            path=path_from_dict(self.supernet, trial.params),
            sparsity=sparsity_from_dict(self.space, self.supernet, trial.params),
            accuracy=trial.metrics["accuracy_int8"],
            metrics=trial.metrics,
            weights=self._weights_files(trial.index)[1],
        )


def _front(trials: Sequence[Trial]) -> tuple[Trial, ...]:
    """Return the front of the trials that were trained: one that repeats another, perhaps a later one, has no files."""
    return pareto_front((trial for trial in trials if "repeats" not in trial.details), COSTS)
