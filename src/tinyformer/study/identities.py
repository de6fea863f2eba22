"""What a stage was started with, in forms that a later version's settings can be compared with.

A field that a later version adds has its default in what was begun before, so that work goes on. For the same reason a
default does not change its value without its field changing its name.
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

from tinyformer.study.trial import Json


def identity(settings: Any) -> dict[str, Json]:
    """Return the fields of a settings dataclass that differ from their defaults."""
    known = defaults(settings)
    values = {field.name: getattr(settings, field.name) for field in fields(settings)}
    return {name: value for name, value in values.items() if name not in known or value != known[name]}


def defaults(settings: Any) -> dict[str, Json]:
    """Return the defaults of a settings dataclass; fields without one are left out."""
    found: dict[str, Json] = {}
    for field in fields(settings):
        if field.default is not MISSING:
            found[field.name] = field.default
        elif field.default_factory is not MISSING:
            found[field.name] = field.default_factory()
    return found
