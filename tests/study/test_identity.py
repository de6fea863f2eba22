"""The identity of settings: what was changed, and nothing that a later version adds."""

from __future__ import annotations

from dataclasses import dataclass, field

from tinyformer.study import identity


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
