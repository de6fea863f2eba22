"""Arrays that a trial leaves behind, as safetensors files written in one step."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyformer.errors import DataError, MissingExtraError
from tinyformer.study.trial import Json

try:
    from safetensors import SafetensorError, safe_open
    from safetensors.numpy import save
except ImportError as error:
    raise MissingExtraError("safetensors", "search", "the search") from error

Arrays = Mapping[str, npt.NDArray[Any]]


def save_arrays(path: Path, arrays: Arrays, description: Mapping[str, Json]) -> None:
    """Write named arrays and what they are; a file of that name is replaced, or left whole when this is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".tmp")
    data = save(
        {name: np.ascontiguousarray(array) for name, array in arrays.items()},
        {"description": json.dumps(description, sort_keys=True)},
    )
    with unfinished.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def load_arrays(path: Path) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Read the arrays and the description of a file that ``save_arrays`` wrote.

    Raises:
        DataError: the file is missing or is not such a file.
    """
    try:
        with safe_open(path, "numpy") as file:
            description = json.loads((file.metadata() or {})["description"])
            return {name: file.get_tensor(name) for name in file.keys()}, description  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise DataError(f"{path}: not readable as weights of a search ({error}); remove it and resume") from error


def find_arrays(path: Path, description: Mapping[str, Json]) -> dict[str, npt.NDArray[Any]] | None:
    """Read a file's arrays if it is there and has this description, None otherwise."""
    if not path.exists():
        return None
    arrays, found = load_arrays(path)
    return arrays if found == json.loads(json.dumps(description)) else None
