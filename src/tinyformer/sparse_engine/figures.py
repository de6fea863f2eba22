"""Figures of a model on a board, predicted or measured: what ``analyze``, ``emulate`` and ``profile`` report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tinyformer.sparse_engine.bundle import LayerRecord


@dataclass(frozen=True, slots=True)
class LayerFigures:
    """One node; ``cycles_estimated`` comes from a model, never from a measurement."""

    name: str
    op: str
    instructions: int | None
    cycles_estimated: int | None
    macs: int
    effective_macs: int
    weight_bytes: int
    encoding: str
    sparsity: float


@dataclass(frozen=True, slots=True)
class Figures:
    """A model on a board: one inference. None stands for what cannot be told without a table for the core."""

    instructions: int | None
    cycles_estimated: int | None
    latency_ms_estimated: float | None
    flash_bytes: int | None
    ram_bytes: int
    arena_bytes: int
    stack_bytes: int
    layers: tuple[LayerFigures, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Analysis:
    """Predicted figures against what the board, or the run, allows."""

    figures: Figures
    flash_limit_bytes: int
    ram_limit_bytes: int

    @property
    def fits(self) -> bool:
        """Whether both memories suffice, as far as can be told."""
        flash_bytes = self.figures.flash_bytes or 0
        return flash_bytes <= self.flash_limit_bytes and self.figures.ram_bytes <= self.ram_limit_bytes

    def to_dict(self) -> dict[str, Any]:
        """Return what ``analyze --json`` prints."""
        limits = {"flash_bytes": self.flash_limit_bytes, "ram_bytes": self.ram_limit_bytes}
        return {**self.figures.to_dict(), "fits": self.fits, "limits": limits}


def layer_figures(
    layers: Sequence[LayerRecord],
    instructions: Sequence[int | None],
    cycles: Sequence[int | None] | None = None,
) -> tuple[LayerFigures, ...]:
    """Join a manifest's layers with counts, one per layer."""
    if cycles is None:
        cycles = [None] * len(layers)
    return tuple(
        LayerFigures(
            name=layer.name,
            op=layer.op,
            instructions=count,
            cycles_estimated=estimate,
            macs=layer.macs,
            effective_macs=layer.effective_macs,
            weight_bytes=layer.weight_bytes,
            encoding=layer.encoding,
            sparsity=layer.sparsity,
        )
        for layer, count, estimate in zip(layers, instructions, cycles, strict=True)
    )
