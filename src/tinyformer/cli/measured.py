"""Tables of what a board measured, beside what was estimated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group

from tinyformer.cli.output import table

if TYPE_CHECKING:  # the command imports them when it runs
    from tinyformer.sparse_engine.figures import Figures
    from tinyformer.sparse_engine.measurement import Measurement

_COLUMNS = (
    *("layer", "operator", "instructions", "cycles measured", "ms measured", "share", "cycles estimated"),
    *("ms estimated", "estimate off by"),
)


def measured_table(title: str, figures: Figures, measured: Measurement) -> Group:
    """Return a table of a model's layers: cycles and milliseconds, measured and estimated."""
    total = measured.cycles or 1
    rows = []
    for layer, cycles in zip(figures.layers, measured.layer_cycles, strict=True):
        instructions, estimated = layer.instructions, layer.cycles_estimated
        rows.append(
            (
                layer.name,
                layer.op,
                "" if instructions is None else f"{instructions:,}",
                f"{cycles:,}",
                f"{measured.milliseconds(cycles):.3f}",
                f"{cycles / total:.1%}",
                "" if estimated is None else f"{estimated:,}",
                "" if estimated is None else f"{measured.milliseconds(estimated):.3f}",
                _deviation(estimated, cycles),
            )
        )
    return table(title, _COLUMNS, rows, left=2)


def measured_summary(figures: Figures, measured: Measurement) -> Group:
    """Return a table of an inference's measured and estimated time."""
    cycles, estimated = measured.cycles, figures.cycles_estimated
    rows = [("measured", f"{cycles:,} cycles, {measured.milliseconds(cycles):.3f} ms")]
    if estimated is not None:
        off = _deviation(estimated, cycles)
        rows.append(("estimated", f"{estimated:,} cycles, {measured.milliseconds(estimated):.3f} ms, off by {off}"))
    return table(f"one inference at {measured.clock_hz / 1e6:g} MHz", ("", ""), rows)


def _deviation(estimated: int | None, measured: int) -> str:
    return "" if estimated is None or not measured else f"{estimated / measured - 1:+.1%}"
