"""What a dataset is, and what a source of one hands over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tinyformer.data.cache import Progress
from tinyformer.errors import DataError

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Split = tuple[Images, Labels]

BYTE_RANGE = (0.0, 255.0)


@dataclass(frozen=True, slots=True)
class Request:
    """What a source is asked for.

    Attributes:
        cache: the directory that the source may keep files in.
        path: the user's own file or directory.
        size: height and width that images are resized to.
        grayscale: one channel instead of three.
        progress: is told of bytes downloaded.
    """

    cache: Path
    path: Path | None = None
    size: tuple[int, int] | None = None
    grayscale: bool = False
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class Arrays:
    """What a source gives: images uint8 (N, H, W, C) with labels int64 (N,), and splits where it has them.

    ``value_range`` are the real values that the bytes 0 and 255 stand for.
    """

    classes: tuple[str, ...]
    train: Split
    test: Split | None = None
    validation: Split | None = None
    value_range: tuple[float, float] = BYTE_RANGE


@dataclass(frozen=True, eq=False, slots=True)
class Dataset:
    """Images with labels in three splits.

    Images are uint8 (N, H, W, C), labels int64 (N,) in 0 .. classes - 1. Searches and early stopping look at the
    validation split; the test split is read once, at the end.

    Attributes:
        name: the source's name.
        classes: the labels' names.
        mean: mean byte of the training images, rounded to a whole byte.
        std: standard deviation of their bytes around ``mean``, at least 1.
        value_range: the real values that the bytes 0 and 255 stand for.

    A network sees (byte - mean) / std, the same for every channel: then an int8 model takes bytes as they are, with the
    input scale 1 / std and the zero point mean - 128.

    Raises:
        DataError: arrays do not fit each other.
    """

    name: str
    classes: tuple[str, ...]
    x_train: Images
    y_train: Labels
    x_val: Images
    y_val: Labels
    x_test: Images
    y_test: Labels
    mean: float
    std: float
    value_range: tuple[float, float] = BYTE_RANGE

    def __post_init__(self) -> None:
        for split in ("train", "val", "test"):
            self._check(split, getattr(self, f"x_{split}"), getattr(self, f"y_{split}"))

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        _, height, width, channels = self.x_train.shape
        return height, width, channels

    def _check(self, split: str, x: Images, y: Labels) -> None:
        where = f"dataset {self.name}, {split} split"
        if x.ndim != 4 or x.dtype != np.uint8 or x.shape[1:] != self.x_train.shape[1:]:
            expected = self.x_train.shape[1:]
            raise DataError(
                f"{where}: images are {x.dtype}{x.shape}; allowed: uint8 (N, H, W, C), as in train {expected}"
            )
        if y.shape != x.shape[:1] or y.dtype != np.int64:
            raise DataError(f"{where}: labels are {y.dtype}{y.shape} for {len(x)} images; allowed: one int64 per image")
        if len(y) and not 0 <= y.min() <= y.max() < len(self.classes):
            raise DataError(f"{where}: labels {y.min()} .. {y.max()}; allowed: 0 .. {len(self.classes) - 1}")


def statistics(images: Images) -> tuple[float, float]:
    """Return the mean byte, rounded to a whole one, and the standard deviation around it, at least 1."""
    counts = np.bincount(images.reshape(-1), minlength=256)
    levels = np.arange(256, dtype=np.float64)
    total = max(int(counts.sum()), 1)
    mean = float(np.rint(counts @ levels / total))
    std = float(np.sqrt(counts @ (levels - mean) ** 2 / total))
    return mean, max(std, 1.0)


def encode_labels(
    labels: npt.NDArray[np.generic], classes: Sequence[str] | None, where: str
) -> tuple[Labels, tuple[str, ...]]:
    """Return labels as int64 and the classes' names, which come from text labels, ``classes``, or the numbers.

    Raises:
        DataError: labels are neither text nor whole numbers from 0, or do not fit the classes.
    """
    if classes and len(set(classes)) != len(classes):
        twice = next(name for name in classes if classes.count(name) > 1)
        raise DataError(f"{where}: class '{twice}' is named twice; allowed: different names")
    if labels.dtype.kind == "U":
        names = tuple(classes) if classes else tuple(str(name) for name in np.unique(labels))
        order = {name: index for index, name in enumerate(names)}
        unknown = sorted(set(labels.tolist()) - set(order))
        if unknown:
            raise DataError(f"{where}: label '{unknown[0]}' is no class; allowed: {', '.join(names)}")
        return np.array([order[name] for name in labels.tolist()], np.int64), names
    if labels.dtype.kind not in "iub":
        raise DataError(f"{where}: labels are {labels.dtype}; allowed: whole numbers from 0, or text")
    numbers = labels.astype(np.int64)
    present = np.unique(numbers)
    if len(present) and present[0] < 0:
        raise DataError(f"{where}: label {present[0]}; allowed: whole numbers from 0, or text")
    if classes:
        if len(present) and present[-1] >= len(classes):
            raise DataError(f"{where}: label {present[-1]}; allowed: 0 to {len(classes) - 1}, as there are classes")
        return numbers, tuple(classes)
    gaps = np.flatnonzero(present != np.arange(len(present)))
    if len(gaps):
        raise DataError(f"{where}: labels go to {present[-1]}, none is {gaps[0]}; allowed: every number from 0 upwards")
    return numbers, tuple(str(i) for i in range(len(present)))
