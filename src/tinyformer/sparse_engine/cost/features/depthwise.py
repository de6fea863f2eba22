"""Depthwise convolutions: rows kept between outputs, channels four at a time, blocks of three weights."""

from __future__ import annotations

from tinyformer.sparse_engine.cost.features.counting import Counts, Params, count_clamped, into_strips


def count_depthwise(p: Params, blocks: float) -> Counts:  # noqa: ARG001 - one signature for all
    """Count the loops of a dense depthwise convolution: every block is stored."""
    return count_depthwise_block(p, p["input_channels"] * p["kernel_height"] * -(-p["kernel_width"] // 3))


def count_depthwise_block(p: Params, blocks: float) -> Counts:
    """Count the loops of a depthwise convolution in blocks of three weights."""
    channels, height, outputs = p["input_channels"], p["kernel_height"], p["output_height"]
    in_filter = height * -(-p["kernel_width"] // 3)
    keeps_rows = p["dilation_y"] == 1 and p["stride_y"] < height
    columns = (p["output_width"] - 1) * p["stride_x"] + (p["kernel_width"] - 1) * p["dilation_x"] + 1
    covered = max(0, min(columns, p["pad_left"] + p["input_width"]) - p["pad_left"])
    rows = inside = 0
    for y in range(outputs):
        for kernel_y in range(height - p["stride_y"] if keeps_rows and y else 0, height):
            rows += 1
            inside += 0 <= y * p["stride_y"] - p["pad_top"] + kernel_y * p["dilation_y"] < p["input_height"]
    groups, tail = divmod(channels, 4)
    # a channel without any block has the same output everywhere; blocks are taken to lie anywhere
    share_empty = max(0.0, 1 - blocks / (channels * in_filter)) ** in_filter
    empty = channels * share_empty
    fours, last = groups * (1 - share_empty**4), bool(tail) * (1 - share_empty**tail)  # with a channel to compute
    lanes = 4 * fours + tail * last
    counts: Counts = {
        "channel": channels,
        "block_decoded": blocks,
        "filled": height * columns,
        "row": rows * (fours + last),
        "row_outside": (rows - inside) * lanes,
        "outside": (rows - inside) * lanes * columns,
        "pair": fours * inside * ((p["pad_left"] % 2 + covered + 1) // 2),
        "pixel": inside * covered * last,
        "lane": inside * covered * tail * last,
        "portable_pixel": inside * covered * fours,  # without the DSP extension
        "output_row": outputs * (fours + last),
        "constant": empty * outputs * p["output_width"],
        **count_clamped(p, outputs * p["output_width"] * channels),
    }
    strips, singles = into_strips(p["output_width"])
    eights = -(-p["output_width"] // 8)
    usual = p["stride_x"] <= 2 and p["dilation_x"] == 1 and p["left_shift"] == 0
    form = "portable_" if usual else "" if p["dilation_x"] == 1 else "dilated_"
    counts |= {
        f"{form}channel_row": (channels - empty) * outputs,
        f"{form}strip": (channels - empty) * outputs * strips,
        f"{form}single": (channels - empty) * outputs * singles,
        f"{form}strip_block": blocks * outputs * strips,
        f"{form}single_block": blocks * outputs * singles,
    }
    if usual:  # with the DSP extension
        counts |= {
            "eights": (channels - empty) * outputs,
            "eight": (channels - empty) * outputs * eights,
            f"eight_block_{p['stride_x']}": blocks * outputs * eights,
        }
    return counts


def count_depthwise_bitmap(p: Params, blocks: float) -> Counts:
    """Count the loops of a depthwise convolution whose bitmap tells which blocks of three weights are stored."""
    in_filter = p["kernel_height"] * -(-p["kernel_width"] // 3)
    return count_depthwise_block(p, blocks) | {"bit": p["input_channels"] * in_filter}
