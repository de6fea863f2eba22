"""Figures as SVG text: lines over a numeric axis, points, and stacked bars. Labels must not hold markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 64, 150, 36, 48
COLOURS = ("#1b6ca8", "#d1495b", "#edae49", "#3d8b5f", "#6c4f8c", "#7a7a7a", "#00798c", "#b5651d", "#444444")
Series = Mapping[str, Sequence[tuple[float, float]]]


def lines(path: Path, title: str, x_label: str, y_label: str, series: Series, *, logarithmic: bool = False) -> None:
    """Draw a line with marks for each series; ``logarithmic`` is the y axis, in powers of ten."""
    from math import ceil, floor, log10

    xs = [x for points in series.values() for x, _ in points]
    ys = [y for points in series.values() for _, y in points]
    scale = log10 if logarithmic else float
    low = floor(log10(min(ys))) if logarithmic else 0.0
    high = ceil(log10(max(ys))) if logarithmic else max(ys) * 1.08
    ticks = [10.0**power for power in range(int(low), int(high) + 1)] if logarithmic else _ticks(high)
    plot = _Plot(min(xs), max(xs), low, high)
    parts = _frame(title, x_label, y_label)
    parts += [plot.tick_y(scale(tick), tick) for tick in ticks]
    parts += [plot.tick_x(x) for x in sorted(set(xs))[:: max(1, len(set(xs)) // 10)]]
    for index, (name, points) in enumerate(series.items()):
        colour = COLOURS[index % len(COLOURS)]
        at = [(plot.x(x), plot.y(scale(y))) for x, y in points]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
        parts.append(f'<polyline points="{joined}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in at]
        parts.append(_legend(index, name, colour))
    path.write_text("\n".join([*parts, "</svg>", ""]))


def points(path: Path, title: str, x_label: str, y_label: str, series: Series) -> None:
    """Draw a mark for each point of each series; neither axis begins at zero."""
    xs = [x for found in series.values() for x, _ in found]
    ys = [y for found in series.values() for _, y in found]
    plot = _Plot(min(xs), max(xs), min(ys), max(ys))
    parts = _frame(title, x_label, y_label)
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = (low + share * (high - low) for low, high in ((min(xs), max(xs)), (min(ys), max(ys))))
        parts += [plot.tick_x(round(x, 3)), plot.tick_y(y, round(y, 3))]
    for index, (name, found) in enumerate(series.items()):
        colour = COLOURS[index % len(COLOURS)]
        parts += [f'<circle cx="{plot.x(x):.1f}" cy="{plot.y(y):.1f}" r="4" fill="{colour}"/>' for x, y in found]
        parts.append(_legend(index, name, colour))
    path.write_text("\n".join([*parts, "</svg>", ""]))


def stacked(path: Path, title: str, y_label: str, bars: Mapping[str, Mapping[str, float]]) -> None:
    """Draw one stacked bar for each entry, its parts in one order."""
    names = list(dict.fromkeys(part for parts in bars.values() for part in parts))
    high = max(sum(parts.values()) for parts in bars.values()) * 1.08
    plot = _Plot(0, len(bars), 0, high)
    out = _frame(title, "", y_label)
    out += [plot.tick_y(tick, tick) for tick in _ticks(high)]
    for position, (bar, parts) in enumerate(bars.items()):
        base = 0.0
        left, right = plot.x(position + 0.2), plot.x(position + 0.8)
        for index, name in enumerate(names):
            value = parts.get(name, 0.0)
            top, bottom = plot.y(base + value), plot.y(base)
            colour = COLOURS[index % len(COLOURS)]
            out.append(
                f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}" '
                f'fill="{colour}"/>'
            )
            base += value
        out.append(f'<text x="{(left + right) / 2:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{bar}</text>')
    out += [_legend(index, name, COLOURS[index % len(COLOURS)]) for index, name in enumerate(names)]
    path.write_text("\n".join([*out, "</svg>", ""]))


class _Plot:
    """Maps values to places in the picture."""

    def __init__(self, x_low: float, x_high: float, y_low: float, y_high: float) -> None:
        self._x_low, self._x_span = x_low, (x_high - x_low) or 1
        self._y_low, self._y_span = y_low, (y_high - y_low) or 1

    def x(self, value: float) -> float:
        return LEFT + (value - self._x_low) / self._x_span * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (value - self._y_low) / self._y_span * (HEIGHT - TOP - BOTTOM)

    def tick_x(self, value: float) -> str:
        return f'<text x="{self.x(value):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{value:g}</text>'

    def tick_y(self, place: float, value: float) -> str:
        y = self.y(place)
        return (
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
        )


def _ticks(high: float) -> list[float]:
    from math import floor, log10

    step = 10.0 ** floor(log10(high))
    while high / step < 4:
        step /= 2
    return [step * i for i in range(int(high / step) + 1)]


def _frame(title: str, x_label: str, y_label: str) -> list[str]:
    middle = (LEFT + WIDTH - RIGHT) / 2
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{middle}" y="20" text-anchor="middle" font-size="14">{title}</text>',
        f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{x_label}</text>',
        f'<text transform="translate(14 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">{y_label}</text>',
    ]


def _legend(index: int, name: str, colour: str) -> str:
    y = TOP + 8 + 18 * index
    x = WIDTH - RIGHT + 10
    return f'<rect x="{x}" y="{y - 9}" width="10" height="10" fill="{colour}"/><text x="{x + 16}" y="{y}">{name}</text>'
