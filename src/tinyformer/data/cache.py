"""The cache of downloaded datasets: arrays that only count when their digests hold."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.request import Request, urlopen

import numpy as np
import numpy.typing as npt

from tinyformer.errors import DataError

Bytes = npt.NDArray[np.uint8]
ByteArrays = Mapping[str, Bytes]

_CHUNK_BYTES = 1 << 20
_CONNECT_TIMEOUT_S = 30.0
_REASON_CHARACTERS = 160


class Progress(Protocol):
    """Is told how far a download is."""

    def __call__(self, what: str, done_bytes: int, total_bytes: int | None) -> None:
        """Take note; ``total_bytes`` is None when the server does not say."""
        ...


class UnavailableError(Exception):
    """A source does not have what it should; the next one is tried."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A place that arrays can come from.

    ``obtain`` gets an empty working directory and raises ``UnavailableError`` or ``OSError`` when it has nothing.
    """

    title: str
    obtain: Callable[[Path], ByteArrays]


def root(directory: Path | None = None) -> Path:
    """Return the cache directory: the given one, or ``tinyformer`` under the user's XDG cache."""
    if directory is not None:
        return directory
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if base and Path(base).is_absolute() else Path.home() / ".cache") / "tinyformer"


def obtain(
    name: str, cache: Path, digests: Mapping[str, str], origins: Iterable[Origin], remedy: str
) -> dict[str, Bytes]:
    """Return a dataset's arrays from the cache, or from the first origin whose arrays have the right digests.

    What an origin gave is stored in the cache, each file written beside and renamed.

    Args:
        name: the dataset's name, for messages.
        cache: the dataset's directory in the cache.
        digests: the names of the arrays and the SHA-256 of their bytes.
        origins: tried in order.
        remedy: what the user can do when all fail.

    Raises:
        DataError: no origin has the arrays; names those tried.
    """
    tried = []
    try:
        return _checked(_read(cache, digests), digests)
    except UnavailableError as error:
        tried.append(f"cache {cache} ({error})")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".part-", dir=cache) as work:
            for origin in origins:
                try:
                    arrays = _checked(origin.obtain(Path(work)), digests)
                except (UnavailableError, OSError) as error:
                    tried.append(f"{origin.title} ({_one_line(error)})")
                    continue
                _store(arrays, Path(work), cache)
                return arrays
    except OSError as error:
        raise DataError(
            f"{name}: cannot write the cache {cache}: {_one_line(error)}; give another directory"
        ) from error
    raise DataError(f"{name} is not available; tried: {'; '.join(tried)}. {remedy}")


def download(url: str, target: Path, progress: Progress | None = None, timeout_s: float = _CONNECT_TIMEOUT_S) -> Path:
    """Fetch an https address into a file.

    Raises:
        OSError: the network, the server or the disk failed.
    """
    request = Request(url, headers={"User-Agent": "tinyformer"})  # noqa: S310 - https only, from constants
    with urlopen(request, timeout=timeout_s) as response, target.open("wb") as file:  # noqa: S310 - as above
        length = response.headers.get("Content-Length")
        total = int(length) if length else None
        done = 0
        while chunk := response.read(_CHUNK_BYTES):
            file.write(chunk)
            done += len(chunk)
            if progress is not None:
                progress(url, done, total)
    if total is not None and done != total:
        raise OSError(f"got {done} of {total} bytes")
    return target


def digest(array: Bytes) -> str:
    """Return the SHA-256 of an array's bytes in C order."""
    return hashlib.sha256(np.ascontiguousarray(array).data).hexdigest()


def _read(cache: Path, names: Iterable[str]) -> dict[str, Bytes]:
    arrays = {}
    for name in names:
        path = cache / f"{name}.npy"
        try:
            array = np.load(path, allow_pickle=False)
        except FileNotFoundError:
            raise UnavailableError("empty") from None
        except (OSError, ValueError, EOFError) as error:
            raise UnavailableError(f"{path.name}: {_one_line(error)}") from error
        arrays[name] = array
    return arrays


def _checked(arrays: ByteArrays, digests: Mapping[str, str]) -> dict[str, Bytes]:
    for name, expected in digests.items():
        if arrays[name].dtype != np.uint8 or digest(arrays[name]) != expected:
            raise UnavailableError(f"{name} does not have the SHA-256 {expected[:12]}...")
    return {name: arrays[name] for name in digests}


def _store(arrays: ByteArrays, work: Path, cache: Path) -> None:
    for name, array in arrays.items():
        part = work / f"{name}.npy"
        np.save(part, array, allow_pickle=False)
        part.replace(cache / part.name)


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _REASON_CHARACTERS else f"{text[:_REASON_CHARACTERS]}..."
