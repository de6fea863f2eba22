"""The report's pictures as SVG text: bars and the memory map over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

_WIDTH = 960


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A buffer in the memory map: steps ``first`` to ``last`` (inclusive), bytes ``offset`` to ``offset + nbytes``."""

    label: str
    kind: str
    first: int
    last: int
    offset: int
    nbytes: int


def _svg(text: str) -> Markup:
    return Markup(text)  # noqa: S704 - numbers and escaped labels only


def budget_bar(used: float, limit: float) -> Markup:
    """Return a bar that shows how much of a limit is used; red when it is exceeded."""
    share = 0.0 if limit <= 0 else used / limit
    width = min(share, 1.0) * 100
    state = "over" if share > 1 else "within"
    return _svg(
        f'<svg class="budget {state}" viewBox="0 0 100 6" preserveAspectRatio="none" role="img" '
        f'aria-label="{share:.0%} of the limit"><rect class="track" width="100" height="6"/>'
        f'<rect class="fill" width="{width:.2f}" height="6"/></svg>'
    )


def share_bar(value: float, largest: float) -> Markup:
    """Return a small bar for a table cell, relative to the column's largest value."""
    width = 0.0 if largest <= 0 else 100 * value / largest
    return _svg(
        '<svg class="share" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="fill" width="{width:.2f}" height="8"/></svg>'
    )


def memory_map(rectangles: Sequence[Rectangle], arena_bytes: int, steps: int) -> Markup:
    """Return the arena over time: one column per layer, bytes upwards, one rectangle per live buffer."""
    height, left, bottom = 320, 64, 24
    plot_width, plot_height = _WIDTH - left - 8, height - bottom - 12
    column = plot_width / max(steps, 1)
    scale = plot_height / max(arena_bytes, 1)
    parts = [f'<svg class="memory" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="memory map over time">']
    for fraction in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = 12 + plot_height * (1 - fraction)
        parts.append(f'<line class="grid" x1="{left}" x2="{left + plot_width}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(
            f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{arena_bytes * fraction / 1024:.1f} KB</text>'
        )
    for box in rectangles:
        x = left + box.first * column
        y = 12 + plot_height - (box.offset + box.nbytes) * scale
        width = (box.last - box.first + 1) * column
        title = f"{escape(box.label)}: {box.nbytes:,} bytes at {box.offset:,}, layers {box.first} to {box.last}"
        parts.append(
            f'<rect class="{escape(box.kind)}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
            f'height="{max(box.nbytes * scale, 0.5):.1f}"><title>{title}</title></rect>'
        )
    for step in range(0, steps, max(1, steps // 12)):
        parts.append(
            f'<text x="{left + (step + 0.5) * column:.1f}" y="{height - 8}" text-anchor="middle">{step}</text>'
        )
    parts.append("</svg>")
    return _svg("".join(parts))


def curve(values: Sequence[float], label: str) -> Markup:
    """Return a line through values in order, with its least and greatest value written at the side."""
    height, left = 160, 64
    plot_width, plot_height = _WIDTH - left - 8, height - 24
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    step = plot_width / max(len(values) - 1, 1)
    points = " ".join(
        f"{left + i * step:.1f},{12 + plot_height * (1 - (value - low) / span):.1f}" for i, value in enumerate(values)
    )
    return _svg(
        f'<svg class="curve" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(label)}">'
        f'<text x="{left - 6}" y="16" text-anchor="end">{high:.4g}</text>'
        f'<text x="{left - 6}" y="{12 + plot_height}" text-anchor="end">{low:.4g}</text>'
        f'<polyline points="{points}"/></svg>'
    )
