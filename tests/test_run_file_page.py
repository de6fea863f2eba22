"""docs/run-file.md has every key of a run file, with its default, and no other."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from tinyformer import config

PAGE = Path(__file__).parents[1] / "docs" / "run-file.md"
UNSET = "none"


def documented() -> dict[str, dict[str, Any]]:
    """Return sections, "" for the top, with their keys and defaults as the page has them."""
    sections: dict[str, dict[str, Any]] = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            title = line.removeprefix("## ")
            keys = sections.setdefault("" if title == "Top" else title.strip("[]"), {})
        elif line.startswith("| `"):
            key, default = (cell.strip() for cell in line.split("|")[1:3])
            keys[key.strip("`")] = None if default == UNSET else tomllib.loads(f"x = {default.strip('`')}")["x"]
    return sections


def actual() -> dict[str, dict[str, Any]]:
    """Return the same of the code: what an empty run file resolves to, and the keys that have no default."""
    resolved = config.parse({}).resolved()
    sections: dict[str, dict[str, Any]] = {"": {}}
    for name, value in resolved.items():
        if isinstance(value, dict):
            sections[name] = value
        else:
            sections[""][name] = value
    for name, field in config.RunConfig.model_fields.items():
        for key in getattr(field.annotation, "model_fields", {}):
            sections.setdefault(name, {}).setdefault(key, None)
    return sections


def test_every_key_is_documented_with_its_default() -> None:
    assert documented() == actual()
