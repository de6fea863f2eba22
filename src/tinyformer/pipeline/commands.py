"""What the two long commands do: a search alone, and the whole way."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from tinyformer import report
from tinyformer.config import RunConfig
from tinyformer.errors import ConfigError
from tinyformer.pipeline import features, proving, searching
from tinyformer.pipeline.context import Progress, RunContext, Silent
from tinyformer.pipeline.folder import locked, open_folder, write_json
from tinyformer.pipeline.front import export_front
from tinyformer.pipeline.machines import Machines
from tinyformer.sparsenas.checkpoint import SparseModel, save_checkpoint

_HERE = Machines()


def search(
    config: RunConfig,
    out: str | Path,
    *,
    resume: bool = False,
    force: bool = False,
    machines: Machines = _HERE,
    progress: Progress | None = None,
    tensorboard: bool = False,
) -> dict[str, Any]:
    """Search a supernet and a sparse single-path model (Algorithms 1 to 3).

    Args:
        config: the run.
        out: the run's folder; new or empty, unless it is resumed.
        resume: go on with what the folder holds.
        force: search although the space analysis does not accept the space.
        machines: where trials are kept and evaluated. Processes that share a database and the folder search together;
            all but the first resume.
        progress: is told what goes on.
        tensorboard: write the epochs of every training into ``tensorboard/``, a folder for each; not on Ray.

    Returns:
        The search's summary, as under ``search`` in ``result.json``, and ``front``: the models that none beats in
        accuracy, flash, RAM and latency at once, each as an ONNX file in ``front/``.

    Raises:
        ConfigError: the folder belongs to another run.
        DoesNotFitError: the space is not accepted, or nothing in it fits.
    """
    context = _open(config, out, resume, machines, progress, tensorboard)
    found = searching.search(context, machines, force=force)
    with locked(context.directory, wait=machines.database is not None):
        summary = {**found.summary, "front": export_front(context, found.best)}
        write_json(context.directory / "search.json", summary)
    return summary


def run(
    config: RunConfig,
    out: str | Path,
    *,
    resume: bool = False,
    force: bool = False,
    machines: Machines = _HERE,
    progress: Progress | None = None,
    tensorboard: bool = False,
) -> dict[str, Any]:
    """Search, fine-tune, quantise, compile and prove a model.

    With ``start`` under ``[finetune]`` nothing is searched: the checkpoint's model, of whatever space, is trained on.
    Every run leaves such a ``checkpoint.safetensors``, in half precision. With ``teacher`` there the model also learns
    from another one's logits while it is fine-tuned. Arguments and errors are those of ``search``.

    Returns:
        What ``result.json`` holds.

    Raises:
        DoesNotFitError: besides, the image takes longer than the limit.
    """
    context = _open(config, out, resume, machines, progress, tensorboard)
    if context.start is not None:
        trained, summary = context.start, searching.start_summary(config.finetune.start, context.start)
    else:
        found = searching.search(context, machines, force=force)
        trained, summary = found.model(), found.summary
    with locked(context.directory, wait=machines.database is not None):
        return _finish(context, trained, summary)


def _finish(context: RunContext, trained: SparseModel, summary: dict[str, Any]) -> dict[str, Any]:
    """Run stage two: fine-tune, quantise, compile and prove a model."""
    config = context.config
    tuned, epochs = searching.fine_tune(context, trained)
    save_checkpoint(context.directory / "checkpoint.safetensors", tuned)
    pruned = searching.network(tuned)
    context.progress.stage("quantisation")
    model = context.directory / proving.MODEL_FILE
    proving.quantize(context, pruned, model)
    bundle = proving.compile_model(context, model).directory
    proving.require_latency(context, bundle)
    proof = proving.prove(context, bundle)
    nonzero, weights = proving.weight_counts(bundle)
    result = {
        "name": config.name,
        "board": context.board.name,
        "seed": config.seed,
        "limits": asdict(context.limits),
        "input": features.input_summary(context.dataset),
        "accuracy": {
            "float": proving.float_accuracy(searching.network(trained), context.dataset),
            "pruned": proving.float_accuracy(pruned, context.dataset),
            "int8": proof.int8,
            "device": proof.device,
            "device_samples": proof.device_samples,
        },
        "bit_exact": proof.bit_exact,
        "nonzero_weights": nonzero,
        "weight_sparsity": 1 - nonzero / weights,
        **proof.figures,
        "search": summary,
        "teacher": searching.teacher_summary(context),
        "training": [asdict(row) for row in epochs],
        "versions": proving.versions(),
    }
    features.write_header(context)
    write_json(context.directory / "result.json", result)
    report.write(context.directory)
    return result


def _open(
    config: RunConfig, out: str | Path, resume: bool, machines: Machines, progress: Progress | None, tensorboard: bool
) -> RunContext:
    if tensorboard and machines.ray is not None:
        raise ConfigError("--tensorboard with --ray: trainings on Ray are not recorded; leave one of the two out")
    context = RunContext(config, Path(out), progress or Silent(), tensorboard, resume)
    open_folder(context, resume)
    return context
