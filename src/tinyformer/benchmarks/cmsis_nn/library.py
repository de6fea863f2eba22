"""The user's own build of CMSIS-NN: a directory of headers and a static library."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tinyformer.errors import ConfigError

_HEADER = "arm_nnfunctions.h"
_NEEDED = (
    "a comparison with CMSIS-NN needs your own build of it: give --cmsis-nn-include DIR (its Include directory) and"
    " --cmsis-nn-lib FILE (the static library, built for the board's core with the same float ABI)"
)


@dataclass(frozen=True, slots=True)
class Library:
    """Headers and static library of CMSIS-NN, version 7 or later."""

    include: Path
    archive: Path

    @classmethod
    def of(cls, include: Path | None, archive: Path | None) -> Library:
        """Return the library at these paths.

        Raises:
            ConfigError: a path is not given, or does not hold what it should.
        """
        if include is None or archive is None:
            raise ConfigError(_NEEDED)
        if not (include / _HEADER).is_file():
            raise ConfigError(f"--cmsis-nn-include {include}: no {_HEADER} there; give CMSIS-NN's Include directory")
        if not archive.is_file():
            raise ConfigError(f"--cmsis-nn-lib {archive}: no such file; give the static library built from CMSIS-NN")
        return cls(include.resolve(), archive.resolve())
