"""A user's own arrays in a NumPy archive."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyformer.data.dataset import BYTE_RANGE, Arrays, Images, Request, Split, encode_labels
from tinyformer.data.splits import hold_out_test
from tinyformer.errors import ConfigError, DataError

Array = npt.NDArray[Any]

_SPLITS = {"train": ("x_train", "y_train"), "val": ("x_val", "y_val"), "test": ("x_test", "y_test")}
_WHOLE = {"train": ("x", "y")}
_ALLOWED = "x and y, or x_train and y_train with or without x_val, y_val, x_test, y_test; and classes"
_REMEDY = "save it by numpy.savez, without objects"


def read(request: Request) -> Arrays:
    """Return the arrays of an .npz file that was saved without pickle.

    Keys: ``x`` and ``y``, or ``x_train``, ``y_train`` and, where there are, ``x_val``, ``y_val``, ``x_test``,
    ``y_test``; ``classes`` (text) names the labels. Images are (N, H, W) or (N, H, W, C), features (N, F); features
    become images of one row and one channel. uint8 is taken as it is, and so are other whole numbers in 0 .. 255; other
    values are mapped linearly so that the training split's least and greatest become 0 and 255, and clipped. Labels are
    whole numbers from 0, or text.

    Raises:
        ConfigError: no path.
        DataError: the file, a shape, a type or a label is not as above.
    """
    if request.path is None:
        raise ConfigError("dataset npz: no path; give the path of an .npz file")
    where = f"npz {request.path}"
    arrays = _load(request)
    keys = _SPLITS if "x_train" in arrays else _WHOLE
    if any(key not in arrays for key in keys["train"]):
        raise DataError(f"{where}: found {', '.join(sorted(arrays)) or 'nothing'}; allowed: {_ALLOWED}")
    present = {split: pair for split, pair in keys.items() if pair[0] in arrays and pair[1] in arrays}
    features = {split: _images(arrays[x], f"{where}, {x}") for split, (x, _) in present.items()}
    for split, (x, y) in present.items():
        if arrays[y].shape != features[split].shape[:1]:
            raise DataError(f"{where}: {y} is {arrays[y].shape} for {len(features[split])} of {x}; allowed: (N,)")
    names = [str(name) for name in np.ravel(arrays["classes"])] if "classes" in arrays else None
    encoded, classes = encode_labels(np.concatenate([arrays[y] for _, y in present.values()]), names, where)
    ends = np.cumsum([len(array) for array in features.values()])[:-1]
    labels = dict(zip(features, np.split(encoded, ends), strict=True))
    if "test" not in features:  # before the range is taken: the test split has no say in it
        whole, whole_labels = features["train"], labels["train"]
        kept, held = hold_out_test(whole_labels)
        features |= {"train": whole[kept], "test": whole[held]}
        labels |= {"train": whole_labels[kept], "test": whole_labels[held]}
    value_range = _value_range(features, where)
    splits: dict[str, Split] = {name: (_to_bytes(features[name], value_range), labels[name]) for name in features}
    return Arrays(classes, splits["train"], splits["test"], splits.get("val"), value_range)


def _load(request: Request) -> Mapping[str, Array]:
    try:
        archive = np.load(str(request.path), allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise DataError(f"npz {request.path}: a single array; allowed: {_ALLOWED}")
        with archive:
            arrays = {key: archive[key] for key in archive.files}
    except FileNotFoundError as error:
        raise DataError(f"npz {request.path}: no such file; give the path of an .npz file") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"npz {request.path} cannot be read: {reason}; {_REMEDY}") from error
    odd = [key for key, array in arrays.items() if not isinstance(array, np.ndarray)]
    if odd:
        raise DataError(f"npz {request.path}: {odd[0]} is no array; {_REMEDY}")
    return arrays


def _images(array: Array, where: str) -> Array:
    """Return a view with the axes (N, H, W, C)."""
    if array.dtype.kind not in "buif":
        raise DataError(f"{where}: {array.dtype}; allowed: whole or floating point numbers")
    if array.ndim not in (2, 3, 4) or array.size == 0:
        raise DataError(f"{where}: shape {array.shape}; allowed: (N, H, W), (N, H, W, C) or (N, features), not empty")
    if array.ndim == 4 and array.shape[1] == 3 and array.shape[3] > 4 and array.shape[2] == array.shape[3]:
        raise DataError(f"{where}: shape {array.shape} has channels first; transpose it to (N, H, W, C)")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise DataError(f"{where}: not all values are finite; remove NaN and infinity")
    if array.ndim == 2:
        return array[:, np.newaxis, :, np.newaxis]
    return array[..., np.newaxis] if array.ndim == 3 else array


def _value_range(features: Mapping[str, Array], where: str) -> tuple[float, float]:
    """Return what the bytes 0 and 255 stand for; looks at values of the training split only."""
    kinds = {array.dtype.kind for array in features.values()}
    train = features["train"]
    low, high = float(train.min()), float(train.max())
    if all(array.dtype == np.uint8 for array in features.values()) or ("f" not in kinds and low >= 0 and high <= 255):
        return BYTE_RANGE
    if low == high:
        raise DataError(f"{where}: all training values are {low:g}; allowed: values that differ")
    return low, high


def _to_bytes(array: Array, value_range: tuple[float, float]) -> Images:
    if array.dtype == np.uint8 and value_range == BYTE_RANGE:
        return array
    low, high = value_range
    scaled = (array.astype(np.float64) - low) * (255.0 / (high - low))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
