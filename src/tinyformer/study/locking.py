"""A file that one process at a time has."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO

from tinyformer.errors import ConfigError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


def lock_file(path: Path, *, wait: bool = False) -> IO[bytes]:
    """Return the locked file; the operating system unlocks it when it is closed or its process ends.

    Args:
        path: the file, created where it is not there.
        wait: until the process that has it gives it up.

    Raises:
        ConfigError: another process has it.
    """
    file = path.open("ab")
    try:
        if sys.platform == "win32":
            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise ConfigError(f"{path.parent}: in use by another process; wait for it or choose another folder") from error
    return file
