"""The directory in which compilers keep what they need again, and the lock that guards it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tinyformer.errors import ToolchainError

if sys.platform != "win32":
    import fcntl


def directory(name: str) -> Path:
    """Return ``tinyformer/<name>`` in the user's cache ($XDG_CACHE_HOME, else ~/.cache), created if need be.

    Raises:
        ToolchainError: the directory cannot be created.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    path = (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "tinyformer" / name
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ToolchainError(
            f"cannot create the cache directory {path}: {error.strerror}: set XDG_CACHE_HOME to a writable directory"
        ) from error
    return path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a cache directory, so that processes use it one at a time; waits for it.

    Raises:
        ToolchainError: the lock file cannot be opened.
    """
    try:
        lock = (path / "lock").open("a")
    except OSError as error:
        raise ToolchainError(
            f"cannot lock the cache directory {path}: {error.strerror}: set XDG_CACHE_HOME to a writable directory"
        ) from error
    with lock:
        if sys.platform != "win32":
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
