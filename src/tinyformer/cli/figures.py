"""Tables of figures per layer."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group

from tinyformer.cli.output import kilobytes, table
from tinyformer.sparse_engine.cycles import BlockCycles
from tinyformer.sparse_engine.figures import Figures, LayerFigures

_COLUMNS = (
    *("layer", "kernel", "encoding", "instr.", "cycles est.", "ms est.", "share", "bound", "MACs", "not 0"),
    *("cyc/MAC", "/effective", "weights"),
)


def layer_table(title: str, figures: Figures) -> Group:
    """Return a table of a model's layers: instructions, estimated time and its share, cost per MAC, weight bytes."""
    timed = figures.cycles_estimated is not None
    total = (figures.cycles_estimated if timed else sum(layer.instructions or 0 for layer in figures.layers)) or 1
    rows = []
    for layer in figures.layers:
        cost = layer.cycles_estimated if timed else layer.instructions
        dense, effective = layer.per_mac(), layer.per_mac(effective=True)
        rows.append(
            (
                layer.name,
                _short(layer.kernel),
                layer.encoding,
                _count(layer.instructions),
                _count(layer.cycles_estimated),
                "" if layer.latency_ms_estimated is None else f"{layer.latency_ms_estimated:.3f}",
                "" if cost is None else f"{cost / total:.1%}",
                layer.bound or "",
                f"{layer.macs:,}" if layer.macs else "",
                f"{layer.effective_macs / layer.macs:.0%}" if layer.macs else "",
                "" if dense is None else f"{dense:.2f}",
                "" if effective is None else f"{effective:.2f}",
                f"{layer.weight_bytes:,}" if layer.weight_bytes else "",
            )
        )
    return table(title, _COLUMNS, rows, left=3)


def kernel_table(title: str, figures: Figures) -> Group:
    """Return a table of the kernels: what all layers of one take together, the dearest first."""
    kernels: dict[str, list[LayerFigures]] = {}
    for layer in figures.layers:
        kernels.setdefault(layer.kernel, []).append(layer)
    total = figures.cycles_estimated or 1
    rows = []
    for kernel, layers in sorted(kernels.items(), key=lambda item: -sum(la.cycles_estimated or 0 for la in item[1])):
        cycles = sum(layer.cycles_estimated or 0 for layer in layers)
        macs, effective = (sum(getattr(layer, name) for layer in layers) for name in ("macs", "effective_macs"))
        rows.append(
            (
                _short(kernel),
                len(layers),
                _count(sum(layer.instructions or 0 for layer in layers)),
                _count(cycles),
                f"{sum(layer.latency_ms_estimated or 0 for layer in layers):.3f}",
                f"{cycles / total:.1%}",
                f"{cycles / macs:.2f}" if macs else "",
                f"{cycles / effective:.2f}" if effective else "",
            )
        )
    columns = ("kernel", "layers", "instructions", "cycles est.", "ms est.", "share", "cycles/MAC", "/effective")
    return table(title, columns, rows)


def block_listing(blocks: Sequence[BlockCycles], total_cycles: int) -> str:
    """Return the disassembly of blocks, each under a line with its executions and estimated cycles."""
    parts = []
    for number, block in enumerate(blocks, 1):
        share = block.cycles / max(total_cycles, 1)
        parts.append(
            f"{number}. layer {block.phase}: {block.count:,} executions of {block.instructions} instructions, "
            f"{block.cycles / block.count:.1f} cycles each, {block.cycles:,.0f} in all estimated ({share:.1%})"
        )
        parts += [f"     {line}" for line in block.text]
    return "\n".join(parts)


def latency_text(latency_ms: float | None, error_percent: int | None, memory_counted: bool) -> str:
    """Return a latency with the band that the documentation derives, such as ``412 ms estimated, +-15 %``.

    Where memory is not counted the band is the core's alone, and the text says so.
    """
    if latency_ms is None:
        return "unknown"
    margin = "never compared with silicon" if error_percent is None else f"+-{error_percent} %"
    if memory_counted:
        return f"{latency_ms:.4g} ms estimated, {margin}"
    return f"at least {latency_ms:.4g} ms estimated: the core alone ({margin}), memory counts as free"


def remarks(figures: Figures) -> str:
    """Return what to know of an estimate: memory that is not counted, kernels that nothing validates; may be empty."""
    lines = []
    if figures.latency_ms_estimated is not None and not figures.memory_counted:
        lines.append(
            "no caches and wait states are known for this board (it names no memory_system): real latency is higher"
        )
    if figures.latency_error_percent is not None and figures.unvalidated:
        named = ", ".join(f"{family} {share:.0%}" for family, share in figures.unvalidated.items())
        lines.append(
            f"no published measurement validates the estimate for these kernels (share of the cycles): {named}"
        )
    return "\n".join(lines)


def summary(title: str, figures: Figures) -> Group:
    """Return a table of a model's totals."""
    rows = [
        ("instructions", _count(figures.instructions) or "unknown"),
        ("cycles, estimated", _count(figures.cycles_estimated) or "unknown"),
        (
            "latency",
            latency_text(figures.latency_ms_estimated, figures.latency_error_percent, figures.memory_counted),
        ),
        ("flash", "unknown" if figures.flash_bytes is None else kilobytes(figures.flash_bytes)),
        ("RAM", kilobytes(figures.ram_bytes)),
        ("arena", kilobytes(figures.arena_bytes)),
        ("stack used", f"{figures.stack_bytes:,} bytes"),
    ]
    return table(title, ("", ""), rows)


def _short(kernel: str) -> str:
    """Return a kernel's name without what all have: ``se_linear_s8`` is ``linear``."""
    return kernel.removeprefix("se_").removesuffix("_s8")


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"
