"""What the long commands need beyond the base installation, said at once rather than package by package."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from tinyformer.errors import MissingExtraError

SEARCH = ("torch", "optuna", "onnxscript", "safetensors", "sklearn", "PIL", "onnxruntime")
RUN = (*SEARCH, "unicorn", "capstone", "elftools")


def require(command: str, modules: Sequence[str]) -> None:
    """Check that a command's modules are installed.

    Raises:
        MissingExtraError: names the first that is not, and the extra that has them all.
    """
    for module in modules:
        if find_spec(module) is None:
            raise MissingExtraError(module, "all", f"tinyformer {command}")
