"""A result as a page: accuracy, bytes, layers, the memory map over time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinyformer.errors import DataError
from tinyformer.report.page import render
from tinyformer.sparse_engine.bundle import Manifest

__all__ = ["render", "write", "write_profile"]

RESULT_FILE = "result.json"
PROFILE_FILE = "profile.json"


def write(directory: Path) -> Path:
    """Write ``report.html`` into a run's folder or a bundle and return its path.

    Raises:
        DataError: the directory is neither.
    """
    bundle = directory / "bundle" if (directory / "bundle").is_dir() else directory
    manifest = Manifest.load(bundle)
    page = render(manifest, _read(bundle / PROFILE_FILE), _read(directory / RESULT_FILE))
    return _write_text(directory / "report.html", page)


def write_profile(bundle: Path, figures: Mapping[str, Any]) -> Path:
    """Keep a profile's figures in the bundle, for its report."""
    return _write_text(bundle / PROFILE_FILE, json.dumps(figures, indent=2) + "\n")


def _write_text(target: Path, text: str) -> Path:
    beside = target.with_name(target.name + ".part")
    beside.write_text(text, encoding="utf-8")
    beside.replace(target)
    return target


def _read(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not readable as JSON ({error}); run the command that made it again") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: expected a JSON object; run the command that made it again")
    return value
