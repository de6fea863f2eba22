"""Fashion-MNIST: 70,000 grey images of clothes, 28 x 28, in ten classes (Xiao et al. 2017)."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tinyformer.data import archives, cache
from tinyformer.data.cache import ByteArrays, Bytes, Origin, UnavailableError
from tinyformer.data.dataset import Arrays, Request

CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
DIGESTS = {
    "x_train": "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012",
    "y_train": "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7",
    "x_test": "c867c93ff95360594e8ec3287995350b824dd110b11595c0e13d5423f621867a",
    "y_test": "3d0e6c6ea990b53b6f8f500a41cac93881d981b315f84578b7d915342ade01e9",
}
FILES = {
    "x_train": "train-images-idx3-ubyte.gz",
    "y_train": "train-labels-idx1-ubyte.gz",
    "x_test": "t10k-images-idx3-ubyte.gz",
    "y_test": "t10k-labels-idx1-ubyte.gz",
}

DEBIAN_PACKAGE = "dataset-fashion-mnist"
DEBIAN_DIRECTORY = Path("/usr/share/datasets/fashion-mnist")
OFFICIAL_URL = "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion"

_IDX_UINT8 = 0x08
_APT_TIMEOUT_S = 300


def read(request: Request) -> Arrays:
    """Return Fashion-MNIST from the cache, Debian's package (installed, or downloaded by apt-get) or its repository.

    ``request.path`` is a directory with the four IDX files.

    Raises:
        DataError: no source has it.
    """
    directory = request.cache / "fashion_mnist"
    remedy = f"Put {', '.join(FILES.values())} (from {OFFICIAL_URL}) into {directory}, or install {DEBIAN_PACKAGE}"
    arrays = cache.obtain("fashion_mnist", directory, DIGESTS, _origins(request, directory), remedy)
    train, test = ((arrays[f"x_{s}"], arrays[f"y_{s}"].astype(np.int64)) for s in ("train", "test"))
    return Arrays(CLASSES, train, test)


def _origins(request: Request, directory: Path) -> tuple[Origin, ...]:
    if request.path is not None:
        path = request.path
        return (Origin(str(path), lambda _: read_directory(path)),)
    return (
        Origin(f"IDX files in {directory}", lambda _: read_directory(directory)),
        Origin(str(DEBIAN_DIRECTORY), lambda _: read_directory(DEBIAN_DIRECTORY)),
        Origin(f"Debian package {DEBIAN_PACKAGE}", lambda work: read_debian_package(_apt_download(work))),
        Origin(OFFICIAL_URL, lambda work: read_directory(_download(work, request))),
    )


def read_directory(directory: Path) -> ByteArrays:
    """Read the four IDX files of a directory.

    Raises:
        UnavailableError: one is damaged.
        OSError: one is missing.
    """
    return _arrays({name: (directory / file).read_bytes() for name, file in FILES.items()})


def read_debian_package(package: Path) -> ByteArrays:
    """Read the four IDX files inside Debian's package.

    Raises:
        UnavailableError: not that package.
    """
    files = archives.debian_members(package, FILES.values())
    return _arrays({name: files[file] for name, file in FILES.items()})


def _arrays(files: Mapping[str, bytes]) -> ByteArrays:
    return {name: _idx(data, FILES[name]) for name, data in files.items()}


def _idx(data: bytes, file: str) -> Bytes:
    """Return the uint8 array of a compressed IDX file: two zeros, type, rank, big-endian sizes, bytes."""
    try:
        raw = gzip.decompress(data)
        rank = raw[3]
        shape = tuple(int(n) for n in np.frombuffer(raw, ">u4", rank, 4))
        values = np.frombuffer(raw, np.uint8, -1, 4 + 4 * rank).reshape(shape)
    except (OSError, EOFError, zlib.error, ValueError, IndexError) as error:
        raise UnavailableError(f"{file} is damaged") from error
    if raw[2] != _IDX_UINT8:
        raise UnavailableError(f"{file} does not hold bytes")
    return values[..., np.newaxis].copy() if rank == 3 else values.copy()


def _apt_download(work: Path) -> Path:
    apt = shutil.which("apt-get")
    if apt is None:
        raise UnavailableError("apt-get is not installed")
    try:
        subprocess.run(
            [apt, "download", "-q", DEBIAN_PACKAGE],
            cwd=work,
            check=True,
            capture_output=True,
            text=True,
            timeout=_APT_TIMEOUT_S,
            env={**os.environ, "LC_ALL": "C"},
        )
    except subprocess.CalledProcessError as error:
        raise UnavailableError(f"apt-get download failed: {error.stderr.strip() or error.returncode}") from error
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"apt-get download took more than {_APT_TIMEOUT_S} s") from error
    packages = sorted(work.glob(f"{DEBIAN_PACKAGE}_*.deb"))
    if not packages:
        raise UnavailableError("apt-get downloaded nothing")
    return packages[0]


def _download(work: Path, request: Request) -> Path:
    for file in FILES.values():
        cache.download(f"{OFFICIAL_URL}/{file}", work / file, request.progress)
    return work
