"""A user's own image files in class-named folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tinyformer.data.dataset import Arrays, Images, Request, Split
from tinyformer.data.images import SUFFIXES, read_image
from tinyformer.errors import ConfigError, DataError

_SPLITS = ("train", "val", "test")
_LAYOUT = "CLASS/IMAGE, or train/CLASS/IMAGE with or without val/ and test/ beside it"


def read(request: Request) -> Arrays:
    """Return the images of a directory with one folder per class.

    The directory holds the class folders, or ``train`` with the class folders in it and, where there are, ``val`` and
    ``test`` beside it. Classes and images come in the order of their names; hidden and other files are left out. Images
    are resized to ``request.size``, which may be left out when all have one size.

    Raises:
        ConfigError: no path.
        DataError: no classes, a class without images, an unreadable image, or different sizes.
        MissingExtraError: Pillow is not installed.
    """
    if request.path is None:
        raise ConfigError("dataset folder: no path; give a directory with one folder of images per class")
    root = request.path
    if not root.is_dir():
        raise DataError(f"folder {root}: no such directory; allowed: {_LAYOUT}")
    has_splits = (root / "train").is_dir() and bool(_folders(root / "train"))  # a class may be called train, too
    train_root = root / "train" if has_splits else root
    if has_splits:
        odd = [path for path in _folders(root) if path.name not in _SPLITS]
        if odd:
            raise DataError(f"folder {odd[0]}: no split; allowed beside train: val and test")
    classes = tuple(path.name for path in _folders(train_root))
    if len(classes) < 2:
        raise DataError(f"folder {train_root}: {len(classes)} class folders; allowed: two or more, {_LAYOUT}")
    for name in classes:
        if not _is_text(name):
            raise DataError(f"folder {train_root}: class {name!a} is no UTF-8; allowed: names that are text")
    train = _split(train_root, classes, request, None)
    size = train[0].shape[1:3]
    others: dict[str, Split] = {
        name: _split(root / name, classes, request, size)
        for name in ("val", "test")
        if has_splits and (root / name).is_dir()
    }
    return Arrays(classes, train, others.get("test"), others.get("val"))


def _folders(root: Path) -> list[Path]:
    return [path for path in _entries(root) if path.is_dir()]


def _entries(folder: Path) -> list[Path]:
    """Return what is in a folder and not hidden, sorted by name."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise DataError(f"folder {folder} cannot be read: {error.strerror or error}; change its permissions") from error


def _is_text(name: str) -> bool:
    """Say whether a file's name is UTF-8: bytes that are not come as surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _split(root: Path, classes: tuple[str, ...], request: Request, size: tuple[int, ...] | None) -> Split:
    images: list[Images] = []
    labels: list[int] = []
    for folder in _folders(root):
        if folder.name not in classes:
            raise DataError(f"folder {folder}: no such class in train; allowed: {', '.join(classes)}")
        paths = [path for path in _entries(folder) if path.suffix.lower() in SUFFIXES]
        if not paths:
            raise DataError(f"folder {folder}: no images; allowed: files that end in {', '.join(SUFFIXES)}")
        for path in paths:
            image = read_image(path, request.size, request.grayscale)
            size = size or image.shape[:2]
            if image.shape[:2] != size:
                raise DataError(
                    f"image {path} is {image.shape[0]} x {image.shape[1]}, others are {size[0]} x {size[1]}; "
                    f"give the size to resize all to"
                )
            images.append(image)
            labels.append(classes.index(folder.name))
    if not images:
        raise DataError(f"folder {root}: no images; allowed: {_LAYOUT}")
    return np.stack(images), np.array(labels, np.int64)
