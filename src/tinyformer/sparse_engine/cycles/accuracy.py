"""How far the estimates of a core were from silicon, and for which families of kernels that is known."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Accuracy:
    """What measurements of others say about the estimates for a core.

    ``error_percent`` is the documented band of a whole model's latency, None where nothing was compared; ``families``
    are the operator kinds, in dense kernels, that the compared code ran.
    """

    error_percent: int | None
    families: frozenset[str]


def accuracy(core: str) -> Accuracy:
    """Return the accuracy for a core; of nothing known for one that accuracy.toml does not list."""
    text = files("tinyformer.sparse_engine.cycles").joinpath("accuracy.toml").read_text(encoding="utf-8")
    table = tomllib.loads(text).get(core)
    if table is None:
        return Accuracy(None, frozenset())
    return Accuracy(table["error_percent"], frozenset(table["families"]))
