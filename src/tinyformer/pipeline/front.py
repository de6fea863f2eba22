"""The Pareto front of a search as models that can be compiled."""

from __future__ import annotations

from typing import Any

from tinyformer import study
from tinyformer.pipeline.context import RunContext
from tinyformer.pipeline.proving import quantize
from tinyformer.sparsenas import torch_actions as sparse_actions
from tinyformer.sparsenas.search import COSTS, SparsenasResult

_FOLDER = "front"


def export_front(run: RunContext, found: SparsenasResult) -> list[dict[str, Any]]:
    """Write ``front/candidate-<i>.onnx`` for every model on the front, and return what is known of each.

    Returns:
        Most accurate first: ``index``, ``model`` (the file, relative to the run's folder), ``accuracy`` (int8, on the
        validation split after the search's few epochs) and the predicted resources.
    """
    run.progress.stage("models of the front", len(found.front))
    (run.directory / _FOLDER).mkdir(exist_ok=True)
    members = []
    for done, member in enumerate(found.front, start=1):
        weights, _ = study.load_arrays(member.weights)
        model = sparse_actions.restore(found.supernet, member.path, weights)
        target = run.directory / _FOLDER / f"candidate-{member.index:04d}.onnx"
        quantize(run, model, target)
        costs = {cost: member.metrics[cost] for cost in COSTS if cost in member.metrics}
        file = target.relative_to(run.directory).as_posix()
        members.append({"index": member.index, "model": file, "accuracy": member.accuracy, **costs})
        run.progress.advance(done)
    return members
