"""Stage two: prune and fine-tune the winner of the search at length (paper Sec. III-C1)."""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from tinyformer.search_space import (
    Path,
    SparsityConfig,
    SupernetConfig,
    path_to_dict,
    sparsity_to_dict,
)
from tinyformer.sparsenas.actions import PruningRun, QuantizedRun, SparsenasActions
from tinyformer.sparsenas.settings import FinetuneSettings
from tinyformer.study import Arrays, Json, find_arrays, identity, save_arrays

__all__ = ["FinetuneResult", "FinetuneSettings", "finetune"]

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class FinetuneResult:
    """The fine-tuned model.

    ``weights`` is a safetensors file of its sparse weights, ``logs`` CSV files of the epochs, in order; ``accuracies``
    are on the validation split.
    """

    weights: pathlib.Path
    logs: tuple[pathlib.Path, ...]
    accuracies: Mapping[str, float]


def finetune(
    supernet: SupernetConfig,
    path: Path,
    sparsity: SparsityConfig,
    weights: Arrays,
    actions: SparsenasActions[M],
    settings: FinetuneSettings,
    *,
    directory: pathlib.Path,
    teacher: str = "",
) -> FinetuneResult:
    """Prune a trained model to its sparsity configuration and fine-tune it, at the end as its int8 version computes.

    Writes ``finetuned.safetensors``, ``finetuning.csv`` and ``quantised.csv`` (the epochs) into ``directory`` and,
    while it runs, checkpoints from which an interrupted call with the same arguments goes on. What a finished call
    wrote is not trained again.

    Args:
        supernet: the supernet that the path runs through.
        path: the winner of the search.
        sparsity: its sparsity configuration.
        weights: its dense trained weights.
        actions: what to do to networks.
        settings: epochs and seed.
        directory: where weights are kept.
        teacher: SHA-256 of the teacher that the actions train with; empty without one.

    Reference: paper Sec. III-C1, "second stage".
    """
    description: dict[str, Json] = {
        "path": path_to_dict(supernet, path),
        "sparsity": sparsity_to_dict(supernet, sparsity),
        "settings": identity(replace(settings, teacher="")),  # what it is counts, not where
        **({"teacher": teacher} if teacher else {}),
    }
    digest = hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()[:8]
    file = directory / "finetuned.safetensors"
    checkpoints = [directory / f"{stage}-{digest}.safetensors" for stage in ("finetuning", "quantised")]
    logs = [directory / "finetuning.csv", directory / "quantised.csv"]
    found = find_arrays(file, description)
    model = actions.restore(supernet, path, weights if found is None else found)
    if found is None:
        if settings.epochs:
            run = PruningRun(
                settings.ramp_epochs, settings.epochs, settings.seed, checkpoints[0], logs[0], "fine-tuning"
            )
            actions.prune(model, sparsity, run)
        if settings.qat_epochs:
            actions.train_quantized(
                model,
                sparsity,
                QuantizedRun(settings.qat_epochs, settings.qat_learning_rate, settings.seed, checkpoints[1], logs[1]),
            )
        save_arrays(file, actions.weights(model), description)
        for checkpoint in checkpoints:
            checkpoint.unlink(missing_ok=True)
    accuracies = {"pruned": actions.accuracy(model), "int8": actions.int8_accuracy(model)}
    trained = (settings.epochs, settings.qat_epochs)
    return FinetuneResult(file, tuple(log for log, epochs in zip(logs, trained, strict=True) if epochs), accuracies)
