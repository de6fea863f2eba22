"""NumPy files as commands take and give them: .npy without pickle, written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyformer.errors import DataError


def read(path: Path) -> npt.NDArray[Any]:
    """Read a .npy file.

    Raises:
        DataError: it is missing, or not a .npy file of numbers.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: not readable as .npy ({error}); write it with numpy.save") from error
    if not isinstance(array, np.ndarray) or array.ndim == 0:
        raise DataError(f"{path}: holds no array [N, ...]; write it with numpy.save")
    if array.dtype.kind not in "biuf":
        raise DataError(f"{path}: holds {array.dtype}; allowed: real numbers")
    return array


def write(path: Path, array: npt.NDArray[Any]) -> None:
    """Write a .npy file whole or not at all."""
    beside = path.with_name(path.name + ".part")
    with beside.open("wb") as file:
        np.save(file, array, allow_pickle=False)
    beside.replace(path)
