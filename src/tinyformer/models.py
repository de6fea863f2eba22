"""The models that ship with the project: an int8 ONNX file each, by name wherever a model file is asked for.

A model is a folder of ``models/``: ``model.onnx``, ``run.toml`` (how it came about), ``result.json`` (what it reached)
and ``README.md`` (its card).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CHECKOUT = Path(__file__).resolve().parents[2] / "models"
_INSTALLED = Path(sys.prefix) / "share" / "tinyformer" / "models"


@dataclass(frozen=True, slots=True)
class ShippedModel:
    """A model and the folder it lies in."""

    directory: Path

    @property
    def name(self) -> str:
        """What it is called on the command line."""
        return self.directory.name

    @property
    def file(self) -> Path:
        """The int8 QDQ ONNX file."""
        return self.directory / "model.onnx"

    def result(self) -> Mapping[str, Any]:
        """Return what the run that made it reached."""
        loaded: dict[str, Any] = json.loads((self.directory / "result.json").read_text(encoding="utf-8"))
        return loaded


def shipped() -> tuple[ShippedModel, ...]:
    """Return the models there are, by name."""
    home = _CHECKOUT if _CHECKOUT.is_dir() else _INSTALLED
    return tuple(ShippedModel(file.parent) for file in sorted(home.glob("*/model.onnx")))


def find(model: str | Path) -> Path:
    """Return the file of a model: a path is its own, unless nothing is there and a shipped model has that name."""
    path = Path(model)
    if not path.exists():
        for candidate in shipped():
            if candidate.name == str(model):
                return candidate.file
    return path
