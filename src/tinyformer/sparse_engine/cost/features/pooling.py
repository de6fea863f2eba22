"""Pooling: 2x2 windows that lie wholly inside, and all others one by one."""

from __future__ import annotations

from tinyformer.sparse_engine.cost.features.counting import LANES, Counts, Features, Params, count_clamped, unaligned

_MAXIMUM_WIDE, _AVERAGE_WIDE = 16, 8  # channels at a time


def _pool(wide: int, whole_wide: int) -> Features:
    def features(p: Params, blocks: float) -> Counts:  # noqa: ARG001 - one signature for all
        average = wide == _AVERAGE_WIDE
        heights = _hits(p["input_height"], p["kernel_height"], p["stride_y"], p["pad_top"], p["output_height"])
        widths = _hits(p["input_width"], p["kernel_width"], p["stride_x"], p["pad_left"], p["output_width"])
        channels, windows = p["channels"], len(heights) * len(widths)
        counts: Counts = {"output_row": len(heights)}
        whole_rows = whole = 0
        if (
            (p["kernel_height"], p["kernel_width"]) == (2, 2)
            and channels >= LANES
            and not (average and p["left_shift"])
        ):
            whole_rows, whole = heights.count(2), heights.count(2) * widths.count(2)
            groups, rest = divmod(channels, whole_wide)
            words = -(-rest // LANES)
            counts |= {"whole_pass": groups + words, "whole_row": (groups + words) * whole_rows}
            counts |= {"whole_wide": groups * whole, "whole_word": words * whole}
        rows, values = sum(heights) * len(widths) - 2 * whole, sum(heights) * sum(widths) - 4 * whole
        counts |= _single_windows("", channels, wide, windows - whole, rows, values)
        if average:  # without the DSP extension they are like the others
            counts |= _single_windows("portable_", channels, wide, whole, 2 * whole, 4 * whole)
            counts |= count_clamped(p, windows * channels)
        counts |= {"unaligned": sum(heights) * sum(widths) * (channels // LANES) * unaligned(channels)}
        return counts

    return features


def _single_windows(form: str, channels: int, wide: int, windows: int, rows: int, values: int) -> Counts:
    """Count what windows take that are computed one by one."""
    groups, rest = divmod(channels, wide)
    quads, tail = divmod(rest, LANES)
    whole = quads + (tail > 0 and channels >= LANES)  # the last lanes again, as a whole word
    lanes = tail if channels < LANES else 0
    counts: Counts = {f"{form}window": windows, f"{form}tail": windows * bool(tail)}
    for name, count in (("wide", groups), ("quad", whole), ("part", bool(lanes)), ("lane", lanes)):
        counts |= {f"{form}{name}": count * windows, f"{form}{name}_row": count * rows}
        counts |= {f"{form}{name}_value": count * values}
    return counts


def _hits(size: int, kernel: int, stride: int, pad: int, outputs: int) -> list[int]:
    """Return how many positions of each window of an axis lie inside."""
    return [min(output * stride - pad + kernel, size) - max(output * stride - pad, 0) for output in range(outputs)]


count_maximum_pool = _pool(_MAXIMUM_WIDE, 16)
count_average_pool = _pool(_AVERAGE_WIDE, 32)
