"""Tables of figures per layer."""

from __future__ import annotations

from rich.console import Group

from tinyformer.cli.output import kilobytes, table
from tinyformer.sparse_engine.figures import Figures

_COLUMNS = ("layer", "operator", "encoding", "instructions", "share", "MACs", "not zero", "per MAC", "weights")


def layer_table(title: str, figures: Figures) -> Group:
    """Return a table of a model's layers: instructions, their share, per effective MAC, weight bytes."""
    total = sum(layer.instructions or 0 for layer in figures.layers) or 1
    rows = []
    for layer in figures.layers:
        count, effective = layer.instructions, layer.effective_macs
        rows.append(
            (
                layer.name,
                layer.op,
                layer.encoding,
                "" if count is None else f"{count:,}",
                "" if count is None else f"{count / total:.1%}",
                f"{layer.macs:,}" if layer.macs else "",
                f"{effective / layer.macs:.0%}" if layer.macs else "",
                f"{count / effective:.2f}" if effective and count is not None else "",
                f"{layer.weight_bytes:,}" if layer.weight_bytes else "",
            )
        )
    return table(title, _COLUMNS, rows, left=3)


def summary(title: str, figures: Figures) -> Group:
    """Return a table of a model's totals."""
    rows = [
        ("instructions", "unknown" if figures.instructions is None else f"{figures.instructions:,}"),
        ("flash", "unknown" if figures.flash_bytes is None else kilobytes(figures.flash_bytes)),
        ("RAM", kilobytes(figures.ram_bytes)),
        ("arena", kilobytes(figures.arena_bytes)),
        ("stack used", f"{figures.stack_bytes:,} bytes"),
    ]
    return table(title, ("", ""), rows)
