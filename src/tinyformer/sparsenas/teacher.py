"""A model trained before, whose logits stage two learns from."""

from __future__ import annotations

import hashlib
import pathlib
from dataclasses import dataclass

import numpy as np
import torch

from tinyformer.errors import ConfigError, DataError
from tinyformer.search_space import ImageShape
from tinyformer.sparsenas.checkpoint import SparseModel, load_checkpoint
from tinyformer.supernet import SinglePathModel
from tinyformer.supernet.arrays import from_arrays

_KEY = "[finetune] teacher"


@dataclass(frozen=True, slots=True)
class Teacher:
    """A frozen network in evaluation mode, the file that it is from, and the SHA-256 of that file."""

    network: SinglePathModel
    file: pathlib.Path
    sha256: str


def load_teacher(file: pathlib.Path, input_shape: ImageShape, classes: int) -> Teacher:
    """Return the teacher of a run.

    Args:
        file: the ``checkpoint.safetensors`` of a run; its model may be of any space, size and sparsity.
        input_shape: (height, width, channels) of the run's images.
        classes: how many the run has.

    Raises:
        ConfigError: there is no such file, or its model is for other images or another number of classes.
        DataError: the file is damaged or something else.
    """
    try:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError(
            f"{_KEY} = {file}: {error.strerror or error}; give the checkpoint.safetensors of an earlier run"
        ) from error
    try:
        network = _network(file, load_checkpoint(file, input_shape, classes))
    except (ConfigError, DataError) as error:
        raise type(error)(f"{_KEY}: {error}") from error
    return Teacher(network, file, digest)


def _network(file: pathlib.Path, model: SparseModel) -> SinglePathModel:
    network = SinglePathModel(model.supernet, model.path, torch.Generator())
    try:
        from_arrays(network, model.weights)
    except DataError as error:
        raise DataError(f"checkpoint {file}: {error}") from error
    for name, array in model.weights.items():
        if not np.isfinite(array).all():
            raise DataError(f"checkpoint {file}: damaged, {name} is not finite everywhere; take another file")
    return network.eval().requires_grad_(False)
