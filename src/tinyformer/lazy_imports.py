"""Names of a package that are imported when they are used, so that nothing costs, or needs its extra, before that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from tinyformer.errors import MissingExtraError

_EXTRAS = {
    "torch": "search",
    "optuna": "search",
    "safetensors": "search",
    "onnxruntime": "onnx",
}
"""Package -> the extra that it comes with."""


def importer(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a package's ``__getattr__``.

    Args:
        package: its ``__name__``.
        homes: the names it offers -> the module in it that has them.

    Raises:
        AttributeError: the returned function, for a name that the package does not offer.
        MissingExtraError: the returned function, where a module needs what is not installed.
    """

    def find(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        try:
            return getattr(import_module(f"{package}.{homes[name]}"), name)
        except ModuleNotFoundError as error:
            if error.name not in _EXTRAS:
                raise
            purpose = f"{package}.{name}".removeprefix("tinyformer.")
            raise MissingExtraError(error.name, _EXTRAS[error.name], purpose) from error

    return find
