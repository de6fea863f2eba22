"""The search stages of a run: Algorithms 1 to 3, then stage two."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from tinyformer import study
from tinyformer.errors import DoesNotFitError
from tinyformer.pipeline import space
from tinyformer.pipeline.context import Progress, RunContext
from tinyformer.pipeline.epochs import Epochs
from tinyformer.pipeline.machines import Machines
from tinyformer.pipeline.studies import Studies, open_studies
from tinyformer.pipeline.tensorboard import FOLDER, TensorBoard
from tinyformer.search_space import SearchSpace, path_to_dict, sparsity_to_dict, supernet_to_dict
from tinyformer.sparsenas import search as sparsenas
from tinyformer.sparsenas import torch_actions as sparse_actions
from tinyformer.sparsenas.checkpoint import SparseModel
from tinyformer.sparsenas.finetune import finetune
from tinyformer.sparsenas.screening import Screened, screen
from tinyformer.sparsenas.search import SparsenasResult
from tinyformer.supernas import search as supernas
from tinyformer.supernas import torch_actions as super_actions
from tinyformer.supernas.search import SupernasResult
from tinyformer.supernas.space_analysis import SpaceAnalysis, analyze
from tinyformer.supernet import SinglePathModel
from tinyformer.training import Callback, EpochRow, Watch, read_log

_SPARSENAS = "sparsenas"
_SCREENING = "screening"
_SUPERNAS = "supernas"


@dataclass(frozen=True)
class Found:
    """What a search found, and its summary for ``result.json``."""

    space: SearchSpace
    best: SparsenasResult
    summary: dict[str, Any]

    def model(self) -> SparseModel:
        """Return the best model as it was trained, before pruning."""
        best = self.best
        weights, _ = study.load_arrays(best.trained_weights)
        return SparseModel(self.space, best.supernet, best.path, best.sparsity, weights)


def search(run: RunContext, machines: Machines, *, force: bool = False) -> Found:
    """Run Algorithms 1 to 3, resuming what the folder holds.

    Raises:
        DoesNotFitError: the space is not accepted (``force`` goes on), or nothing in it fits.
    """
    run.progress.stage("space analysis")
    analysis = analyze(run.space, run.limits, run.evaluate, run.config.analysis)
    if not (analysis.acceptable or force):
        raise DoesNotFitError(f"{analysis.to_text()} (--force)")
    with contextlib.ExitStack() as stack:
        studies = stack.enter_context(open_studies(run, machines.database))
        ray = machines.executor()
        executor = None if ray is None else stack.enter_context(ray)
        supernet = _search_supernet(run, studies, executor)
        screened = _screen(run, supernet, studies, executor)
        best = _search_path(run, supernet, screened, studies, executor)
        trials = studies.trials(_SPARSENAS)
    return Found(run.space, best, _summary(run, analysis, supernet, screened, best, trials))


def start_summary(file: str, model: SparseModel) -> dict[str, Any]:
    """Return what ``result.json`` says in place of a search, where a run goes on from a model."""
    return {
        "start": file,
        "path": path_to_dict(model.supernet, model.path),
        "sparsity": sparsity_to_dict(model.supernet, model.sparsity),
    }


def fine_tune(run: RunContext, model: SparseModel) -> tuple[SparseModel, tuple[EpochRow, ...]]:
    """Run stage two; return the fine-tuned model and the epochs of its training."""
    settings = run.config.finetune
    run.progress.stage("fine-tuning", settings.epochs + settings.qat_epochs)
    teacher = run.teacher
    actions = sparse_actions.torch_actions(
        run.dataset,
        settings,
        run.config.training,
        run.quantizing,
        _watch(run),
        None if teacher is None else teacher.network,
    )
    tuned = finetune(
        model.supernet, model.path, model.sparsity, model.weights, actions, settings,
        directory=run.directory / _SPARSENAS, teacher="" if teacher is None else teacher.sha256,
    )  # fmt: skip
    weights, _ = study.load_arrays(tuned.weights)
    epochs = [row for log in tuned.logs for row in read_log(log)]
    return replace(model, weights=weights), tuple(replace(row, epoch=i) for i, row in enumerate(epochs, 1))


def teacher_summary(run: RunContext) -> dict[str, str] | None:
    """Return what ``result.json`` says of the teacher; None without one."""
    teacher = run.teacher
    return None if teacher is None else {"file": str(teacher.file), "sha256": teacher.sha256}


def network(model: SparseModel) -> SinglePathModel:
    """Return a model's network with its weights."""
    return sparse_actions.restore(model.supernet, model.path, model.weights)


def _search_supernet(run: RunContext, studies: Studies, executor: study.Executor | None) -> SupernasResult:
    settings = run.config.supernas
    run.progress.stage("supernet search", settings.supernets)
    return supernas.search(
        run.space,
        run.limits,
        run.evaluate,
        super_actions.torch_actions(run.dataset, settings, run.config.training, _watch(run, executor)),
        settings,
        storage=studies.storage,
        directory=run.directory / _SUPERNAS,
        executor=executor,
        observe=_observer(run.progress, studies.name(_SUPERNAS)),
        name=studies.name(_SUPERNAS),
        evaluate_ram=run.evaluate_ram,
    )


def _screen(
    run: RunContext, supernet: SupernasResult, studies: Studies, executor: study.Executor | None
) -> Screened | None:
    """Judge candidates without training, when the run file wants it."""
    settings = run.config.sparsenas
    if not settings.screened:
        return None
    run.progress.stage("screening", settings.screened)
    weights, _ = study.load_arrays(supernet.weights)
    return screen(
        run.space,
        supernet.supernet,
        weights,
        run.limits,
        run.evaluate,
        sparse_actions.torch_actions(run.dataset, settings, run.config.training, run.quantizing),
        settings,
        storage=studies.storage,
        executor=executor,
        observe=_observer(run.progress, studies.name(_SCREENING)),
        name=studies.name(_SCREENING),
    )


def _search_path(
    run: RunContext,
    supernet: SupernasResult,
    screened: Screened | None,
    studies: Studies,
    executor: study.Executor | None,
) -> SparsenasResult:
    settings = run.config.sparsenas
    run.progress.stage("sparse search", settings.candidates)
    weights, _ = study.load_arrays(supernet.weights)
    return sparsenas.search(
        run.space,
        supernet.supernet,
        weights,
        run.limits,
        run.evaluate,
        sparse_actions.torch_actions(run.dataset, settings, run.config.training, run.quantizing, _watch(run, executor)),
        settings,
        storage=studies.storage,
        directory=run.directory / _SPARSENAS,
        executor=executor,
        observe=_observer(run.progress, studies.name(_SPARSENAS)),
        name=studies.name(_SPARSENAS),
        chosen=None if screened is None else screened.choices,
    )


def _watch(run: RunContext, executor: study.Executor | None = None) -> Watch | None:
    """Return what shows and records trainings; other processes have neither this one's terminal nor its folder."""

    def watch(name: str) -> list[Callback]:
        recorders = [TensorBoard(run.directory / FOLDER / name)] if run.tensorboard else []
        return [Epochs(run.progress), *recorders]

    return watch if executor is None else None


def _observer(progress: Progress, name: str) -> Callable[[str, study.Trial], None]:
    """Return what advances a stage with every trial of its own study that ends."""

    def observe(study_name: str, trial: study.Trial) -> None:
        if study_name == name:
            note = trial.reason if trial.objective is None else f"accuracy {trial.objective:.1%}"
            progress.advance(trial.index + 1, note=note or "")

    return observe


def _summary(
    run: RunContext,
    analysis: SpaceAnalysis,
    supernet: SupernasResult,
    screened: Screened | None,
    best: SparsenasResult,
    trials: tuple[study.Trial, ...],
) -> dict[str, Any]:
    return {
        "space": run.space.name,
        "acceptance": analysis.probability,
        "analysis": space.summary(analysis),
        "supernets_seen": supernet.supernets.seen,
        "supernets_accepted": supernet.supernets.accepted,
        "supernets_skipped": dict(supernet.supernets.skipped),
        "supernet_candidates": asdict(supernet.candidates),
        "supernet_accuracy": supernet.accuracy,
        "supernet": supernet_to_dict(run.space, best.supernet),
        "screening": None if screened is None else asdict(screened.candidates),
        "candidates_seen": best.candidates.seen,
        "candidates_accepted": best.candidates.accepted,
        "candidates_skipped": dict(best.candidates.skipped),
        "best_candidate": best.index,
        "best_accuracies": dict(best.accuracies),
        "path": path_to_dict(best.supernet, best.path),
        "sparsity": sparsity_to_dict(best.supernet, best.sparsity),
        "trials": [{"index": t.index, "accuracy": t.objective, "skipped": t.reason, **t.metrics} for t in trials],
    }
