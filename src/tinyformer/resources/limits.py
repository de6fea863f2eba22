"""What a model takes on a board, and how much it may take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tinyformer.errors import ConfigError
from tinyformer.search_space import Path, SparsityConfig, SupernetConfig


@dataclass(frozen=True, slots=True)
class Resources:
    """What a sparse single-path model takes on a board, predicted.

    ``flash_bytes`` is the image, ``ram_bytes`` arena, buffers, data and stack; ``weight_bytes`` are the encoded
    weights in flash. ``macs`` counts all multiply-accumulates of an inference, ``effective_macs`` those with weights
    that are not pruned. ``latency_ms`` is None where nothing predicts it.
    """

    flash_bytes: int
    ram_bytes: int
    arena_bytes: int
    weight_bytes: int
    macs: int
    effective_macs: int
    latency_ms: float | None = None

    def metrics(self) -> dict[str, float]:
        """Return the figures by name, for a trial."""
        figures: dict[str, float] = {
            "flash_bytes": self.flash_bytes,
            "ram_bytes": self.ram_bytes,
            "arena_bytes": self.arena_bytes,
            "weight_bytes": self.weight_bytes,
            "macs": self.macs,
            "effective_macs": self.effective_macs,
        }
        return figures if self.latency_ms is None else {**figures, "latency_ms": self.latency_ms}


ResourceEval = Callable[[SupernetConfig, Path, SparsityConfig], Resources]
"""The paper's ResourceEval: what a path takes under a sparsity configuration, on a board that is already chosen."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The most a model may take: the paper's storage limit (flash) and memory limit (RAM), and perhaps a latency.

    Raises:
        ConfigError: a limit is not positive.
    """

    flash_bytes: int
    ram_bytes: int
    latency_ms: float | None = None

    def __post_init__(self) -> None:
        for name in ("flash_bytes", "ram_bytes", "latency_ms"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigError(f"limits: {name} = {value}; allowed: more than 0")

    def exceeded(self, resources: Resources) -> tuple[str, ...]:
        """Return the names of the limits that a model breaks: "flash", "RAM", "latency"."""
        late = (
            self.latency_ms is not None and resources.latency_ms is not None and resources.latency_ms > self.latency_ms
        )
        broken = {
            "flash": resources.flash_bytes > self.flash_bytes,
            "RAM": resources.ram_bytes > self.ram_bytes,
            "latency": late,
        }
        return tuple(name for name, over in broken.items() if over)

    def to_text(self) -> str:
        """Return the limits in words."""
        text = f"{round(self.flash_bytes / 1024, 1):g} KB flash and {round(self.ram_bytes / 1024, 1):g} KB RAM"
        return text if self.latency_ms is None else f"{text} within {self.latency_ms:g} ms"
