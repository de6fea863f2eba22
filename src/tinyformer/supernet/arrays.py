"""A network's weights as NumPy arrays, for files and other machines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
import torch
from torch import nn

from tinyformer.errors import DataError


def to_arrays(network: nn.Module) -> dict[str, npt.NDArray[Any]]:
    """Return copies of parameters and buffers by their names."""
    return {name: value.detach().cpu().numpy().copy() for name, value in network.state_dict().items()}


def from_arrays(network: nn.Module, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Give a network parameters and buffers that ``to_arrays`` returned.

    Raises:
        DataError: they belong to another network.
    """
    try:
        network.load_state_dict({name: torch.tensor(array) for name, array in arrays.items()})
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"weights belong to another network: {reason}; use those of this path or supernet") from error
