"""TinyFormer: sparse transformers for microcontrollers, from a dataset to a proven image.

The names below are imported on first use, so that none of them costs anything, or needs its extra, before that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinyformer.lazy_imports import importer

if TYPE_CHECKING:
    from tinyformer.pipeline import run, search
    from tinyformer.quantization import quantize
    from tinyformer.sparse_engine.compiler import analyze, compile  # noqa: A004 - the verb of the trade
    from tinyformer.sparse_engine.host import load

__all__ = ["analyze", "compile", "load", "quantize", "run", "search"]

_HOMES = {
    "analyze": "sparse_engine.compiler",
    "compile": "sparse_engine.compiler",
    "load": "sparse_engine.host",
    "quantize": "quantization",
    "run": "pipeline",
    "search": "pipeline",
}

__getattr__ = importer(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
