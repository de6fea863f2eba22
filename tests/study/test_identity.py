"""The identity of settings: what was changed, and nothing that a later version adds."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest

from tinyformer.errors import ConfigError
from tinyformer.study import Study, defaults, identity, open_storage


@dataclass(frozen=True)
class Settings:
    epochs: int
    rate: float = 0.5
    blocks: tuple[int, ...] = field(default_factory=lambda: (2, 4))


@dataclass(frozen=True)
class LaterSettings(Settings):
    teacher: str = ""


def test_what_has_no_default_or_differs_from_it_counts() -> None:
    assert identity(Settings(3)) == {"epochs": 3}
    assert identity(Settings(3, 0.25, (2,))) == {"epochs": 3, "rate": 0.25, "blocks": (2,)}


def test_a_new_field_counts_once_it_is_used() -> None:
    assert identity(LaterSettings(3)) == identity(Settings(3))
    assert identity(LaterSettings(3, teacher="big")) != identity(Settings(3))


def test_a_study_goes_on_after_a_field_was_added(tmp_path: Path) -> None:
    def open_study(settings: Settings) -> None:
        known = defaults(settings)
        with open_storage(tmp_path / "log") as storage, Study(storage, "s", settings=asdict(settings), defaults=known):
            pass

    open_study(Settings(3))
    open_study(LaterSettings(3))
    with pytest.raises(ConfigError, match='made with teacher = "", now "big"'):
        open_study(LaterSettings(3, teacher="big"))
