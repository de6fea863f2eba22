"""What a stage was started with, in a form that a later version's settings can be compared with."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

from tinyformer.study.trial import Json


def identity(settings: Any) -> dict[str, Json]:
    """Return the fields of a frozen settings dataclass that differ from their defaults.

    A field that a later version adds has its default in what was begun before, so that work goes on.
    """
    values = {field.name: (getattr(settings, field.name), _default(field)) for field in fields(settings)}
    return {name: value for name, (value, default) in values.items() if value != default}


def _default(field: Any) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()
