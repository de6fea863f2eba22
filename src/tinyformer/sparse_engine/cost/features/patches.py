"""How often the parts of ``runtime/se_patch.c`` run, which widens windows whose channels are not whole quads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tinyformer.sparse_engine.cost.features.counting import Counts, Params

_QUAD = 4


def count_patches(p: Params, channels: int, strips: Iterable[int]) -> Counts:
    """Return the counts of one group's windows.

    Args:
        p: parameters of a dense convolution.
        channels: of the input that the group reads.
        strips: outputs of each strip, in order.
    """
    row_bytes = p["kernel_width"] * channels
    depth = p["kernel_height"] * row_bytes
    in_row = _in_row(depth, row_bytes)
    across = -(-depth // _QUAD) - in_row
    found: Counts = {}

    def add(name: str, count: float) -> None:
        found[name] = found.get(name, 0) + count

    for y, x, outputs, in_place in _runs(p, channels, strips):
        add("run", 1)
        add("quad_in_row", in_row)
        add("quad_across", across)
        add("window_in_row", outputs * in_row)
        add("window_across", outputs * across)
        if in_place:
            continue
        columns = (outputs - 1) * p["stride_x"] + p["kernel_width"]
        inside = sum(0 <= y + row * p["dilation_y"] < p["input_height"] for row in range(p["kernel_height"]))
        add("run_gathered", 1)
        add("row_zeroed", p["kernel_height"] - inside)
        add("row_zeroed_byte", (p["kernel_height"] - inside) * columns * channels)
        if p["dilation_x"] == 1 and p["groups"] == 1:
            hits = max(0, min(x + columns, p["input_width"]) - max(x, 0))
            add("row_copied", inside)
            add("row_copied_byte", inside * hits * channels)
            add("row_bordered_byte", inside * (columns - hits) * channels)
        else:
            add("position_copied", inside * columns)
            add("position_copied_byte", inside * columns * channels)
    return found


def _in_row(depth: int, row_bytes: int) -> int:
    """Return how many quads of a window lie in one row of it."""
    starts = range(0, depth, _QUAD)
    return sum(start % row_bytes + _QUAD <= row_bytes for start in starts)


def _runs(p: Params, channels: int, strips: Iterable[int]) -> Iterator[tuple[int, int, int, bool]]:
    """Yield (first input row, first column, outputs side by side, whether they are read in place)."""
    contiguous = p["kernel_width"] == 1 or (p["dilation_x"] == 1 and channels == p["input_channels"])
    shared = p["dilation_x"] == 1 and p["stride_x"] < p["kernel_width"]
    last_row = (p["kernel_height"] - 1) * p["dilation_y"]
    output = 0
    for outputs in strips:
        left = outputs
        while left:
            output_y, output_x = divmod(output, p["output_width"])
            y, x = output_y * p["stride_y"] - p["pad_top"], output_x * p["stride_x"] - p["pad_left"]
            run = min(left, p["output_width"] - output_x)
            end = x + (run - 1) * p["stride_x"] + p["kernel_width"]
            inside = y >= 0 and y + last_row < p["input_height"] and x >= 0 and end <= p["input_width"]
            in_place = contiguous and inside
            if not in_place and not shared:
                run = 1
            yield y, x, run, in_place
            left -= run
            output += run
