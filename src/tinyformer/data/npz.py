"""A user's own arrays in a NumPy archive."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyformer.data.dataset import BYTE_RANGE, Arrays, Images, Request, Split, encode_labels
from tinyformer.data.scaling import ByteScaling
from tinyformer.data.splits import hold_out_test
from tinyformer.errors import ConfigError, DataError

Array = npt.NDArray[Any]

_SPLITS = {"train": ("x_train", "y_train"), "val": ("x_val", "y_val"), "test": ("x_test", "y_test")}
_WHOLE = {"train": ("x", "y")}
_OPTIONAL = ("classes", "range")
_ALLOWED = "x and y, or x_train and y_train with or without x_val, y_val, x_test, y_test; and classes, range"
_SHAPES = "(N, features), (N, H, W) or (N, H, W, C), not empty"
_REMEDY = "save it by numpy.savez, without objects"
_MOST_CHANNELS = 4  # more than in any photo: where the last axis is longer, channels may come first


def read(request: Request) -> Arrays:
    """Return the arrays of an .npz file that was saved without pickle.

    Keys: ``x`` and ``y``, or ``x_train``, ``y_train`` and, where there are, ``x_val``, ``y_val``, ``x_test``,
    ``y_test``; ``classes`` (text) names the labels; ``range`` are the real values of the bytes 0 and 255.

    Images are (N, H, W) or (N, H, W, C), features (N, F); features become images of one row and one channel. Bytes are
    taken as they are, and so are other whole numbers in 0 .. 255; other values are mapped to bytes by ``ByteScaling``
    over ``range``, which is that of the training split's values when it is not given. Labels are whole numbers from 0,
    or text.

    Raises:
        ConfigError: no path.
        DataError: the file, a key, a shape, a type or a label is not as above.
    """
    if request.path is None:
        raise ConfigError("dataset npz: no path; give the path of an .npz file")
    where = f"npz {request.path}"
    arrays = _load(request)
    pairs = _pairs(arrays, where)
    features = {split: _images(arrays[x], f"{where}, {x}") for split, (x, _) in pairs.items()}
    labels, classes = _labels(arrays, pairs, where)
    for split, (x, y) in pairs.items():
        if features[split].dtype != features["train"].dtype or features[split].shape[1:] != features["train"].shape[1:]:
            expected = f"{arrays[pairs['train'][0]].dtype}{_tail(arrays[pairs['train'][0]])}"
            found = f"{arrays[x].dtype}{_tail(arrays[x])}"
            raise DataError(f"{where}, {x}: {found} where {pairs['train'][0]} is {expected}; allowed: the same")
        if len(labels[split]) != len(features[split]):
            raise DataError(
                f"{where}, {y}: {len(labels[split])} labels for {len(features[split])} of {x}; allowed: (N,)"
            )
    if "test" not in features:  # before the range is taken: the test split has no say in it
        whole, whole_labels = features["train"], labels["train"]
        kept, held = hold_out_test(whole_labels)
        features |= {"train": whole[kept], "test": whole[held]}
        labels |= {"train": whole_labels[kept], "test": whole_labels[held]}
    images, value_range = _bytes(features, arrays.get("range"), where)
    splits: dict[str, Split] = {name: (images[name], labels[name]) for name in features}
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


def _pairs(arrays: Mapping[str, Array], where: str) -> dict[str, tuple[str, str]]:
    """Return the keys of images and labels of each split that the file has."""
    keys = _SPLITS if "x_train" in arrays else _WHOLE
    pairs = {split: pair for split, pair in keys.items() if split == "train" or not arrays.keys().isdisjoint(pair)}
    wanted = [key for pair in pairs.values() for key in pair]
    missing = [key for key in wanted if key not in arrays]
    if missing:
        found = ", ".join(sorted(arrays)) or "nothing"
        raise DataError(f"{where}: no {missing[0]}, found {found}; allowed: {_ALLOWED}")
    unknown = sorted(arrays.keys() - {*wanted, *_OPTIONAL})
    if unknown:
        raise DataError(f"{where}: unknown key '{unknown[0]}'; allowed: {_ALLOWED}")
    return pairs


def _images(array: Array, where: str) -> Array:
    """Return a view with the axes (N, H, W, C)."""
    if array.dtype.kind not in "buif":
        raise DataError(f"{where}: {array.dtype}; allowed: whole or floating point numbers")
    if array.ndim not in (2, 3, 4) or array.size == 0:
        raise DataError(f"{where}: shape {array.shape}; allowed: {_SHAPES}")
    if array.ndim == 4 and _channels_first(array.shape):
        raise DataError(f"{where}: shape {array.shape} has channels first; transpose it to (N, H, W, C)")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        first = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise DataError(f"{where}: {array[first]} at {first}, not all values are finite; remove NaN and infinity")
    if array.ndim == 2:
        return array[:, np.newaxis, :, np.newaxis]
    return array[..., np.newaxis] if array.ndim == 3 else array


def _channels_first(shape: tuple[int, ...]) -> bool:
    _, channels, height, width = shape
    if min(height, width) <= _MOST_CHANNELS:
        return False
    return channels == 3 or (channels == 1 and height == width)


def _tail(array: Array) -> str:
    """Return a shape with N for the number of samples."""
    return f"({', '.join(('N', *map(str, array.shape[1:])))})"


def _labels(
    arrays: Mapping[str, Array], pairs: Mapping[str, tuple[str, str]], where: str
) -> tuple[dict[str, npt.NDArray[np.int64]], tuple[str, ...]]:
    """Return the labels of each split as whole numbers, and the names of the classes."""
    given = {split: arrays[y] for split, (_, y) in pairs.items()}
    for split, array in given.items():
        if array.ndim != 1:
            raise DataError(f"{where}, {pairs[split][1]}: shape {array.shape}; allowed: (N,)")
        if (array.dtype.kind in "US") != (given["train"].dtype.kind in "US"):
            raise DataError(
                f"{where}: {pairs[split][1]} is {array.dtype}, {pairs['train'][1]} is not; allowed: one type"
            )
    names = None
    if "classes" in arrays:
        names = [str(name) for name in _text(np.ravel(arrays["classes"]), f"{where}, classes")]
    where_labels = f"{where}, {', '.join(y for _, y in pairs.values())}"
    texts = [_text(array, where_labels) if array.dtype.kind == "S" else array for array in given.values()]
    encoded, classes = encode_labels(np.concatenate(texts), names, where_labels)
    ends = np.cumsum([len(array) for array in texts])[:-1]
    return dict(zip(given, np.split(encoded, ends), strict=True)), classes


def _text(array: Array, where: str) -> Array:
    """Return names as text; bytes are UTF-8."""
    if array.dtype.kind != "S":
        return array
    try:
        decoded: Array = np.char.decode(array, "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: bytes that are no UTF-8; allowed: text") from error
    return decoded


def _bytes(
    features: Mapping[str, Array], given: Array | None, where: str
) -> tuple[dict[str, Images], tuple[float, float]]:
    """Return the splits as bytes, and what the bytes 0 and 255 stand for; the training split alone decides that."""
    train = features["train"]
    low, high = float(train.min()), float(train.max())
    if given is not None:
        if given.shape != (2,) or given.dtype.kind not in "uif":
            raise DataError(f"{where}, range: {given.dtype}{given.shape}; allowed: two numbers, the lower one first")
        low, high = float(given[0]), float(given[1])
    elif train.dtype.kind != "f" and low >= 0 and high <= BYTE_RANGE[1]:
        return {split: np.clip(array, 0, 255).astype(np.uint8) for split, array in features.items()}, BYTE_RANGE
    elif low == high:
        raise DataError(f"{where}: all training values are {low:g}; allowed: values that differ")
    try:
        scaling = ByteScaling.of(low, high)
    except DataError as error:
        raise DataError(f"{where}: {error}") from error
    return {split: scaling.to_bytes(array) for split, array in features.items()}, (scaling.low, scaling.high)
