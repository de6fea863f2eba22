"""What the counts of all kernel families share: strips of outputs, hits of windows, rests, clamping."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from tinyformer.sparse_engine.fixed_point import INT8_MAX, INT8_MIN

WIDE_PIXELS, PIXELS = 8, 4  # SE_WIDE_PIXELS, SE_PIXELS: outputs that share one decoded weight
LANES = 4
UNALIGNED = "unaligned"

Counts = dict[str, float]
Params = Mapping[str, int]
Features = Callable[[Params, float], Counts]
"""(scalar parameters, stored blocks of the weights) -> counts."""


def into_strips(pixels: int) -> tuple[int, int]:
    """Return how many strips of ``PIXELS`` outputs there are, and how many single outputs remain."""
    return divmod(pixels, PIXELS)


def sum_counts(parts: Iterable[Counts]) -> Counts:
    """Add counts up, name by name."""
    total: Counts = {}
    for part in parts:
        for name, count in part.items():
            total[name] = total.get(name, 0) + count
    return total


def last_elements(times: int, tail: int) -> Counts:
    """Count the last one to three elements of a row; each number of them has its own path through unrolled code."""
    return {f"rest_{tail}": times} if tail else {}


def unaligned(step_bytes: int) -> float:
    """Return the share of words that lie at no multiple of four, where runs begin every so many bytes.

    Counts made of it have ``UNALIGNED`` in their names: they cost cycles and no instructions.
    """
    return (0.0, 0.75, 0.5, 0.75)[step_bytes % LANES]


def count_clamped(p: Params, elements: int) -> Counts:
    """Count the words of a second pass that narrows the output's range."""
    return {"clamped": elements / LANES} if p["low"] > INT8_MIN or p["high"] < INT8_MAX else {}
