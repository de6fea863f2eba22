"""The Pareto front of a search as models that can be compiled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tinyformer import study
from tinyformer.pipeline.context import RunContext
from tinyformer.pipeline.proving import quantize
from tinyformer.sparse_engine import compiler
from tinyformer.sparsenas import torch_actions as sparse_actions
from tinyformer.sparsenas.search import SparsenasResult

_FOLDER = "front"


def export_front(run: RunContext, found: SparsenasResult) -> list[dict[str, Any]]:
    """Write ``front/candidate-<i>.onnx`` for every model on the front, and return what is known of each.

    Returns:
        Most accurate first: ``index``, ``model`` (the file, relative to the run's folder), ``accuracy`` (int8, on the
        validation split after the search's few epochs) and what the file takes. The search predicted that before it
        knew the weights; of the file, what pruning and quantisation left is known, filters that are empty included.
    """
    run.progress.stage("models of the front", len(found.front))
    (run.directory / _FOLDER).mkdir(exist_ok=True)
    members = []
    for done, member in enumerate(found.front, start=1):
        weights, _ = study.load_arrays(member.weights)
        model = sparse_actions.restore(found.supernet, member.path, weights)
        target = run.directory / _FOLDER / f"candidate-{member.index:04d}.onnx"
        quantize(run, model, target)
        file = target.relative_to(run.directory).as_posix()
        members.append({"index": member.index, "model": file, "accuracy": member.accuracy, **_costs(run, target)})
        run.progress.advance(done)
    return members


def _costs(run: RunContext, model: Path) -> dict[str, float]:
    """Return the predicted costs of an exported model; those that the core's tables do not give are left out."""
    figures = compiler.analyze(
        model,
        run.board,
        objective=run.config.compile.objective,
        flash_limit_bytes=run.limits.flash_bytes,
        ram_limit_bytes=run.limits.ram_bytes,
        latency_limit_ms=run.limits.latency_ms,
    ).figures
    if figures.latency_ms_estimated is None or figures.flash_bytes is None:
        return {"ram_bytes": figures.ram_bytes}
    return {
        "flash_bytes": figures.flash_bytes,
        "ram_bytes": figures.ram_bytes,
        "latency_ms": figures.latency_ms_estimated,
    }
