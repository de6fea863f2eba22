"""TinyFormer: sparse transformers for microcontrollers, from a dataset to a proven image.

The names below are imported on first use, so that none of them costs anything, or needs its extra, before that.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinyformer.pipeline import run, search
    from tinyformer.quantization import quantize
    from tinyformer.sparse_engine.compiler import analyze, compile  # noqa: A004 - the verb of the trade
    from tinyformer.sparse_engine.host import load

__all__ = ["analyze", "compile", "load", "quantize", "run", "search"]

_HOMES = {
    "analyze": "tinyformer.sparse_engine.compiler",
    "compile": "tinyformer.sparse_engine.compiler",
    "load": "tinyformer.sparse_engine.host",
    "quantize": "tinyformer.quantization",
    "run": "tinyformer.pipeline",
    "search": "tinyformer.pipeline",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'tinyformer' has no attribute '{name}'")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
