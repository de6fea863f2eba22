"""A sparse model as one compact file, from which a later run goes on: weights in half precision and what they are."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinyformer.errors import ConfigError, DataError
from tinyformer.search_space import (
    ImageShape,
    Path,
    SearchSpace,
    SparsityConfig,
    SupernetConfig,
    path_from_dict,
    path_to_dict,
    space_of_one_model,
    sparsity_from_dict,
    sparsity_to_dict,
    supernet_from_dict,
    supernet_to_dict,
)
from tinyformer.study import Arrays, Json, load_arrays, save_arrays

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class SparseModel:
    """A single-path model, how sparse each of its blocks is or is to become, and its weights (float32 or integer).

    ``space`` holds the model: the one that it was found in, or that of it alone.
    """

    space: SearchSpace
    supernet: SupernetConfig
    path: Path
    sparsity: SparsityConfig
    weights: Arrays


def save_checkpoint(path: pathlib.Path, model: SparseModel) -> None:
    """Write a model to a ``.safetensors`` file; float arrays become float16, which keeps zeros."""
    halves = {
        name: array.astype(np.float16) if np.issubdtype(array.dtype, np.floating) else array
        for name, array in model.weights.items()
    }
    description: dict[str, Json] = {
        "format": _FORMAT,
        "input_shape": list(model.supernet.input_shape),
        "classes": model.supernet.classes,
        "supernet": supernet_to_dict(model.space, model.supernet),
        "path": path_to_dict(model.supernet, model.path),
        "sparsity": sparsity_to_dict(model.supernet, model.sparsity),
    }
    save_arrays(path, halves, description)


def load_checkpoint(path: pathlib.Path, input_shape: ImageShape, classes: int) -> SparseModel:
    """Read a model, whatever space it was found in, for the images and classes of a run.

    Args:
        path: a ``checkpoint.safetensors``.
        input_shape: (height, width, channels) of the run's images. Files of versions that did not write theirs are
            taken to have it.
        classes: how many the run has.

    Raises:
        ConfigError: the model is for other images or another number of classes.
        DataError: the file is missing, damaged or something else.
    """
    weights, description = _read(path)
    try:
        found = tuple(description.get("input_shape", input_shape))
        outputs = description.get("classes", len(weights["pooling.classifier.bias"]))
        space = space_of_one_model(input_shape, classes, description["supernet"], description["path"])
        model = _model(space, description, weights)
    except (ConfigError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"checkpoint {path}: damaged, it describes no model: {error}") from error
    for what, of_file, of_run in (("images (H, W, C)", found, input_shape), ("classes", outputs, classes)):
        if of_file != of_run:
            raise ConfigError(f"checkpoint {path}: its model is for {what} {of_file}; this run has {of_run}")
    return model


def _read(path: pathlib.Path) -> tuple[Arrays, Mapping[str, Any]]:
    try:
        arrays, description = load_arrays(path)
    except DataError as error:
        reason = error.__cause__
        raise DataError(
            f"checkpoint {path}: not readable ({reason}); give the checkpoint.safetensors of a run"
        ) from error
    if not isinstance(description, dict) or description.get("format") != _FORMAT:
        raise DataError(f"checkpoint {path}: written by another version; allowed: format {_FORMAT}")
    return {name: a.astype(np.float32) if a.dtype == np.float16 else a for name, a in arrays.items()}, description


def _model(space: SearchSpace, description: Mapping[str, Any], weights: Arrays) -> SparseModel:
    supernet = supernet_from_dict(space, description["supernet"])
    path = path_from_dict(supernet, description["path"])
    return SparseModel(space, supernet, path, sparsity_from_dict(space, supernet, description["sparsity"]), weights)
