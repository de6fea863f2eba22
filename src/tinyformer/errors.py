"""The errors that TinyFormer raises on purpose.

Every message is one line that says what is wrong, where, what is allowed and what to do. The command line prints it
without a traceback and turns the class into an exit status.
"""

from __future__ import annotations


class TinyFormerError(Exception):
    """Base class of every error raised on purpose."""

    exit_status = 1


class ConfigError(TinyFormerError):
    """A setting, option or run file is missing, malformed or out of range."""

    exit_status = 2


class DataError(TinyFormerError):
    """A dataset or array cannot be found, read or trusted."""


class TrainingError(TinyFormerError):
    """Training diverged."""


class UnsupportedModelError(TinyFormerError):
    """A model file is broken or asks for something the engine does not do."""


class DoesNotFitError(TinyFormerError):
    """A model needs more flash or RAM than the board or the run allows."""


class ToolchainError(TinyFormerError):
    """A compiler is missing or failed, or produced an image that must not be used."""


class EmulatorError(TinyFormerError):
    """The emulator is missing, faulted, ran out of time or disagreed."""


class BoardError(TinyFormerError):
    """A real board does not answer, runs another image, or computes something else."""


class MissingExtraError(ConfigError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package '{package}', which is not installed: pip install 'tinyformer[{extra}]'"
        )
