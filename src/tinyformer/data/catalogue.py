"""The datasets by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyformer.data import cache, cifar10, digits, fashion_mnist, folder, npz
from tinyformer.data.cache import Progress
from tinyformer.data.dataset import Arrays, Dataset, Request, Split, statistics
from tinyformer.data.splits import hold_out_test, stratified
from tinyformer.errors import ConfigError, DataError

Kind = tuple[tuple[int, int, int], int]


@dataclass(frozen=True, slots=True)
class Source:
    """A dataset's reader, and what it understands beside the cache.

    ``options`` are names of ``load``'s arguments; ``downloads`` says whether there is anything to fetch; ``by_class``
    that samples may come one class after the other. ``kind`` is the shape of an image (H, W, C) and the number of
    classes, where they are always the same.
    """

    read: Callable[[Request], Arrays]
    downloads: bool = False
    options: frozenset[str] = frozenset()
    by_class: bool = False
    kind: Kind | None = None


SOURCES: Mapping[str, Source] = {
    "digits": Source(digits.read, kind=((8, 8, 1), 10)),
    "fashion_mnist": Source(fashion_mnist.read, downloads=True, options=frozenset({"path"}), kind=((28, 28, 1), 10)),
    "cifar10": Source(cifar10.read, downloads=True, options=frozenset({"path"}), kind=((32, 32, 3), 10)),
    "npz": Source(npz.read, options=frozenset({"path"}), by_class=True),
    "folder": Source(folder.read, options=frozenset({"path", "size", "grayscale"}), by_class=True),
}


def names() -> tuple[str, ...]:
    """Return the datasets' names, the default first."""
    return tuple(SOURCES)


def load(
    name: str,
    *,
    cache_dir: Path | None = None,
    seed: int = 0,
    validation_fraction: float = 0.1,
    path: Path | str | None = None,
    size: tuple[int, int] | None = None,
    grayscale: bool = False,
    progress: Progress | None = None,
) -> Dataset:
    """Load a dataset, downloading it into the cache when it is not there.

    The validation split is a stratified part of the training data, unless the source has its own. A source without a
    test split gets a stratified fifth, always the same one. Training and validation images of one's own data are
    shuffled: batch norm's statistics are taken over the first of them. Mean and standard deviation are the training
    split's.

    Args:
        name: one of ``names()``.
        cache_dir: where downloads are kept; by default ``tinyformer`` under the user's XDG cache.
        seed: draws the validation split.
        validation_fraction: its share of the training data, 0 .. 0.5, rounded up per class.
        path: of the user's own data (npz: a file; folder: a directory; cifar10: an archive; fashion_mnist: the
            directory of its files).
        size: height and width that the images of a folder are resized to.
        grayscale: read a folder's images in one channel.
        progress: is told of bytes downloaded.

    Raises:
        ConfigError: an argument is out of range, or the dataset does not take it.
        DataError: the data cannot be found, read or trusted.
        MissingExtraError: a package that reads it is not installed.
    """
    source = _source(name)
    given = {"path": path is not None, "size": size is not None, "grayscale": grayscale}
    refused = [option for option, is_given in given.items() if is_given and option not in source.options]
    if refused:
        allowed = ", ".join(sorted(source.options)) or "none of path, size, grayscale"
        raise ConfigError(f"dataset {name}: does not take '{refused[0]}'; allowed: {allowed}")
    if not 0 <= validation_fraction <= 0.5:
        raise ConfigError(f"dataset {name}: validation_fraction {validation_fraction}; allowed: 0 to 0.5")
    if size is not None and min(size) < 1:
        raise ConfigError(f"dataset {name}: size {size}; allowed: height and width, 1 or more")
    request = Request(
        cache.root(cache_dir), None if path is None else Path(path).expanduser(), size, grayscale, progress
    )
    return _dataset(name, source.read(request), seed, validation_fraction, shuffled=source.by_class)


def kind(name: str) -> Kind | None:
    """Return the shape of a dataset's images (H, W, C) and the number of its classes; None where only loading tells.

    Raises:
        ConfigError: the dataset is unknown.
    """
    return _source(name).kind


def fetch(name: str, *, cache_dir: Path | None = None, progress: Progress | None = None) -> Path | None:
    """Download a dataset into the cache unless it is there, and check it.

    Returns:
        The directory it is in; None for ``digits``, which comes with scikit-learn.

    Raises:
        ConfigError: the dataset is unknown, or the user's own.
        DataError: no source has it.
    """
    source = _source(name)
    if "path" in source.options and not source.downloads:
        raise ConfigError(f"dataset {name} is your own, there is nothing to fetch; load it with its path")
    directory = cache.root(cache_dir)
    source.read(Request(directory, progress=progress))
    return directory / name if source.downloads else None


def _source(name: str) -> Source:
    if name not in SOURCES:
        raise ConfigError(f"dataset '{name}' is unknown; allowed: {', '.join(SOURCES)}")
    return SOURCES[name]


def _take(split: Split, indices: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Split:
    return split[0][indices], split[1][indices]


def _check_splits(name: str, classes: tuple[str, ...], splits: Mapping[str, Split]) -> None:
    """Refuse what nothing can be learnt from, or measured on.

    Raises:
        DataError: less than two classes, a class without training images, or an empty split.
    """
    if len(classes) < 2:
        raise DataError(f"dataset {name}: {len(classes)} class; allowed: two or more")
    counts = np.bincount(splits["training"][1], minlength=len(classes))
    empty = [label for label, count in zip(classes, counts, strict=False) if not count]
    if empty:
        raise DataError(f"dataset {name}: class '{empty[0]}' has no training sample; allowed: one or more")
    for split, (images, _) in splits.items():
        if not len(images):
            raise DataError(f"dataset {name}: the {split} split is empty; give more samples of each class, or a split")


def _shuffle(split: Split, generator: np.random.Generator) -> Split:
    return _take(split, generator.permutation(len(split[0])))


def _dataset(name: str, arrays: Arrays, seed: int, validation_fraction: float, *, shuffled: bool) -> Dataset:
    train, test, validation = arrays.train, arrays.test, arrays.validation
    generator = np.random.default_rng(seed)
    if test is None:
        kept, held = hold_out_test(train[1])
        train, test = _take(train, kept), _take(train, held)
    if validation is None:
        kept, held = stratified(train[1], validation_fraction, generator)
        train, validation = _take(train, kept), _take(train, held)
    if shuffled:
        train, validation = _shuffle(train, generator), _shuffle(validation, generator)
    measured = {"validation": validation, "test": test} if validation_fraction else {"test": test}
    _check_splits(name, arrays.classes, {"training": train, **measured})
    mean, std = statistics(train[0])
    return Dataset(name, arrays.classes, *train, *validation, *test, mean, std, arrays.value_range)
