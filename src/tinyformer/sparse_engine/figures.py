"""Figures of a model on a board, predicted or measured: what ``analyze``, ``emulate`` and ``profile`` report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tinyformer.sparse_engine.bundle import LayerRecord

_MS_PER_S = 1000.0


@dataclass(frozen=True, slots=True)
class LayerCycles:
    """The estimated cycles of a node, and what takes most of them (``cycles.PhaseCycles.bound``), if that is known."""

    cycles: int
    bound: str | None


@dataclass(frozen=True, slots=True)
class LayerFigures:
    """One node; what is called estimated comes from a model, never from a measurement.

    ``bound`` is what takes most of the cycles: issue, mac, load, store, branch, flash or latency.
    """

    name: str
    op: str
    kernel: str
    instructions: int | None
    cycles_estimated: int | None
    latency_ms_estimated: float | None
    bound: str | None
    macs: int
    effective_macs: int
    weight_bytes: int
    encoding: str
    sparsity: float

    def per_mac(self, effective: bool = False) -> float | None:
        """Return the estimated cycles per MAC, or per MAC whose weight is not zero."""
        macs = self.effective_macs if effective else self.macs
        return self.cycles_estimated / macs if macs and self.cycles_estimated is not None else None


@dataclass(frozen=True, slots=True)
class Figures:
    """A model on a board: one inference. None stands for what cannot be told without a table for the core.

    ``latency_error_percent`` is how far estimates of the core's latency are from silicon, as far as that is known;
    ``unvalidated`` maps the families of kernels that were never compared to their shares of the estimated cycles.
    ``memory_counted`` says whether caches and wait states are part of the estimate; without, memory counts as free.
    """

    instructions: int | None
    cycles_estimated: int | None
    latency_ms_estimated: float | None
    flash_bytes: int | None
    ram_bytes: int
    arena_bytes: int
    stack_bytes: int
    layers: tuple[LayerFigures, ...]
    latency_error_percent: int | None = None
    unvalidated: Mapping[str, float] = field(default_factory=dict)
    memory_counted: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Analysis:
    """Predicted figures against what the board, or the run, allows."""

    figures: Figures
    flash_limit_bytes: int
    ram_limit_bytes: int
    latency_limit_ms: float | None = None

    @property
    def fits(self) -> bool:
        """Whether both memories suffice and the latency is within its limit, as far as can be told."""
        flash_bytes = self.figures.flash_bytes or 0
        late = self.latency_limit_ms is not None and (self.figures.latency_ms_estimated or 0.0) > self.latency_limit_ms
        return flash_bytes <= self.flash_limit_bytes and self.figures.ram_bytes <= self.ram_limit_bytes and not late

    def to_dict(self) -> dict[str, Any]:
        """Return what ``analyze --json`` prints."""
        limits: dict[str, float] = {"flash_bytes": self.flash_limit_bytes, "ram_bytes": self.ram_limit_bytes}
        if self.latency_limit_ms is not None:
            limits["latency_ms"] = self.latency_limit_ms
        return {**self.figures.to_dict(), "fits": self.fits, "limits": limits}


def layer_figures(
    layers: Sequence[LayerRecord],
    instructions: Sequence[int | None],
    cycles: Sequence[LayerCycles] | None = None,
    clock_hz: int = 1,
) -> tuple[LayerFigures, ...]:
    """Join a manifest's layers with counts, and cycles at a clock, one per layer."""
    estimates: Sequence[LayerCycles | None] = [None] * len(layers) if cycles is None else cycles
    return tuple(
        LayerFigures(
            name=layer.name,
            op=layer.op,
            kernel=layer.kernel,
            instructions=count,
            cycles_estimated=None if estimate is None else estimate.cycles,
            latency_ms_estimated=None if estimate is None else milliseconds(estimate.cycles, clock_hz),
            bound=None if estimate is None else estimate.bound,
            macs=layer.macs,
            effective_macs=layer.effective_macs,
            weight_bytes=layer.weight_bytes,
            encoding=layer.encoding,
            sparsity=layer.sparsity,
        )
        for layer, count, estimate in zip(layers, instructions, estimates, strict=True)
    )


def milliseconds(cycles: int, clock_hz: int) -> float:
    """Return the time of cycles at a clock, in milliseconds rounded to a nanosecond."""
    return round(_MS_PER_S * cycles / clock_hz, 6)
