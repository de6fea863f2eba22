"""Write a directory all or nothing: beside its place, then renamed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tinyformer.errors import ConfigError
from tinyformer.sparse_engine.bundle.manifest import MANIFEST_FILE


@contextmanager
def staged(directory: Path) -> Iterator[Path]:
    """Give a fresh directory to fill; it becomes ``directory`` when the block ends, and vanishes when it raises.

    An earlier bundle in that place is replaced.

    Raises:
        ConfigError: the place holds something else than a bundle, or cannot be written.
    """
    directory = Path(os.path.abspath(directory))  # noqa: PTH100 - resolve() would follow a link to be replaced
    if directory.exists() and not _replaceable(directory):
        raise ConfigError(f"{directory} exists and is not a bundle: choose another directory or remove it")
    staging: Path | None = None
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
        staging.chmod(0o777 & ~_umask())
        yield staging
        _move_into_place(staging, directory)
    except OSError as error:
        raise ConfigError(f"{directory}: cannot be written ({error}): choose another directory") from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)


def _replaceable(directory: Path) -> bool:
    return directory.is_dir() and ((directory / MANIFEST_FILE).is_file() or not any(directory.iterdir()))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _move_into_place(staging: Path, directory: Path) -> None:
    if not directory.exists():
        staging.rename(directory)
        return
    earlier = staging.with_name(f"{staging.name}.earlier")
    directory.rename(earlier)
    try:
        staging.rename(directory)
    except OSError:
        earlier.rename(directory)
        raise
    shutil.rmtree(earlier, ignore_errors=True)
