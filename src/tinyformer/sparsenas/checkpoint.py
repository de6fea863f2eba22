"""A sparse model as one compact file, from which a later run goes on: weights in half precision and what they are."""

from __future__ import annotations

import pathlib
from dataclasses import dataclass

import numpy as np

from tinyformer.errors import ConfigError, DataError
from tinyformer.search_space import (
    Path,
    SearchSpace,
    SparsityConfig,
    SupernetConfig,
    path_from_dict,
    path_to_dict,
    sparsity_from_dict,
    sparsity_to_dict,
    supernet_from_dict,
    supernet_to_dict,
)
from tinyformer.study import Arrays, Json, load_arrays, save_arrays

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class SparseModel:
    """A single-path model, how sparse each of its blocks is or is to become, and its weights (float32 or integer)."""

    supernet: SupernetConfig
    path: Path
    sparsity: SparsityConfig
    weights: Arrays


def save_checkpoint(path: pathlib.Path, space: SearchSpace, model: SparseModel) -> None:
    """Write a model; float arrays become float16, which keeps zeros.

    Args:
        path: a ``.safetensors`` file.
        space: that the model is of.
        model: the model.
    """
    halves = {
        name: array.astype(np.float16) if np.issubdtype(array.dtype, np.floating) else array
        for name, array in model.weights.items()
    }
    description: dict[str, Json] = {
        "format": _FORMAT,
        "supernet": supernet_to_dict(space, model.supernet),
        "path": path_to_dict(model.supernet, model.path),
        "sparsity": sparsity_to_dict(model.supernet, model.sparsity),
    }
    save_arrays(path, halves, description)


def load_checkpoint(path: pathlib.Path, space: SearchSpace) -> SparseModel:
    """Read a model.

    Raises:
        ConfigError: the model is not of this space.
        DataError: the file is missing or something else.
    """
    arrays, description = load_arrays(path)
    if description.get("format") != _FORMAT:
        raise DataError(f"checkpoint {path}: written by another version; allowed: format {_FORMAT}")
    try:
        supernet = supernet_from_dict(space, description["supernet"])
        chosen = path_from_dict(supernet, description["path"])
        sparsity = sparsity_from_dict(space, supernet, description["sparsity"])
    except (ConfigError, KeyError, ValueError) as error:
        raise ConfigError(f"checkpoint {path}: its model is not in the run file's space: {error}") from error
    floats = {name: a.astype(np.float32) if a.dtype == np.float16 else a for name, a in arrays.items()}
    return SparseModel(supernet, chosen, sparsity, floats)
