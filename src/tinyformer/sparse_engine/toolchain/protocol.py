"""What a toolchain does, and what every toolchain has in common: options, relative paths, one-line failures."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tinyformer.boards import Isa
from tinyformer.errors import DoesNotFitError, ToolchainError

WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")
"""The warnings that every C file of a bundle is free of."""

FIRMWARE_OPTIONS = (
    "-std=c99",
    "-O2",
    "-g0",
    "-ffreestanding",
    "-ffp-contract=off",
    "-fomit-frame-pointer",
    "-ffunction-sections",
    "-fdata-sections",
    "-fno-unwind-tables",
    "-fno-asynchronous-unwind-tables",
    "-fno-stack-protector",
)
"""Options of a firmware image that both compilers understand. No debug information: it would hold absolute paths."""

HOST_OPTIONS = ("-std=c99", "-O3", "-g0", "-ffp-contract=off", "-shared", "-fPIC")
"""Options of a shared library for the machine that Python runs on."""

_TIMEOUT_S = 600
_ERROR = re.compile(r"^.*(?:error: (?!ld returned)|undefined reference to|cannot find -l).*$", re.MULTILINE)
_OVERFLOW = re.compile(r"(?:region|in region) [`'](?P<region>\w+)'(?::)? overflowed by (?P<bytes>\d+) bytes")


class Toolchain(Protocol):
    """A C compiler and linker for firmware images and for host libraries.

    Compiling one set of sources twice gives the same image byte for byte, wherever the directory lies, as long as all
    files are under one directory.
    """

    name: str

    def version(self) -> str:
        """Return the compiler's version, such as ``17.0.1``."""
        ...

    def build(
        self,
        sources: Sequence[Path],
        includes: Sequence[Path],
        linker_script: Path,
        isa: Isa,
        output: Path,
        defines: Sequence[str] = (),
    ) -> None:
        """Compile and link an ELF image; the link order is the order of the sources.

        ``defines`` are ``NAME`` or ``NAME=VALUE``.

        Raises:
            ToolchainError: the compiler is missing or reports an error, whose first line the message quotes.
            DoesNotFitError: the image is larger than a region of the linker script.
        """
        ...

    def build_host(
        self,
        sources: Sequence[Path],
        includes: Sequence[Path],
        output: Path,
        defines: Sequence[str] = (),
        sanitize: bool = False,
        native: bool = False,
    ) -> None:
        """Compile a shared library for this machine, for ctypes.

        With ``sanitize`` undefined behaviour prints what and where, and ends the process. With ``native`` the library
        uses whatever instructions this machine's processor has, and may not run on another.

        Raises:
            ToolchainError: the compiler is missing or reports an error, whose first line the message quotes.
        """
        ...

    def check(self, sources: Sequence[Path], includes: Sequence[Path], isa: Isa, defines: Sequence[str] = ()) -> None:
        """Compile without output, every warning of ``WARNINGS`` being an error.

        Raises:
            ToolchainError: quotes the first warning or error.
        """
        ...


def common_directory(paths: Sequence[Path]) -> Path:
    """Return the deepest directory that holds all files.

    Compilers run there, so that no absolute path gets into an image.

    Raises:
        ToolchainError: a file does not exist.
    """
    for path in paths:
        if not path.exists():
            raise ToolchainError(f"nothing to compile at {path}: the bundle is incomplete, write it again")
    return Path(os.path.commonpath([path.resolve().parent if path.is_file() else path.resolve() for path in paths]))


def compile_arguments(
    root: Path, sources: Sequence[Path], includes: Sequence[Path], defines: Sequence[str]
) -> list[str]:
    """Return -D, -I and source arguments with paths relative to ``root``."""
    return [
        *(f"-D{define}" for define in defines),
        *(f"-I{_relative(include, root)}" for include in includes),
        *(_relative(source, root) for source in sources),
    ]


def _relative(path: Path, root: Path) -> str:
    return os.path.relpath(path.resolve(), root)


def run_compiler(command: Sequence[str], directory: Path, environment: Mapping[str, str] | None = None) -> None:
    """Run a compiler in a directory.

    Raises:
        ToolchainError: it cannot be started, takes more than ten minutes or reports an error.
        DoesNotFitError: a memory region overflows.
    """
    try:
        result = subprocess.run(
            command,
            cwd=directory,
            env=None if environment is None else {**os.environ, **environment},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except OSError as error:
        raise ToolchainError(f"cannot start the compiler {command[0]}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise ToolchainError(f"the compiler did not finish within {_TIMEOUT_S} s in {directory}") from error
    if result.returncode:
        raise _failure(result.stderr + result.stdout, result.returncode, directory)


def _failure(text: str, status: int, directory: Path) -> ToolchainError | DoesNotFitError:
    overflow = _OVERFLOW.search(text)
    if overflow is not None:
        return DoesNotFitError(
            f"the image needs {overflow['bytes']} bytes more than the board's {overflow['region']} has:"
            " choose a board with more, or a smaller model"
        )
    error = _ERROR.search(text)
    lines = text.strip().splitlines()
    line = error[0] if error is not None else (lines[-1] if lines else f"exit status {status}, no message")
    return ToolchainError(f"the compiler failed in {directory}: {line.strip()}")
