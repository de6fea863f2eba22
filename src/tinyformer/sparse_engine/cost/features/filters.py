"""Linear layers and convolutions: strips of outputs, what widens into them, and the filters over them."""

from __future__ import annotations

from tinyformer.sparse_engine.cost.features.counting import (
    PIXELS,
    WIDE_PIXELS,
    Counts,
    Features,
    Params,
    into_strips,
    sum_counts,
    unaligned,
)
from tinyformer.sparse_engine.cost.features.patches import count_patches
from tinyformer.sparse_engine.fixed_point import INT8_MAX, INT8_MIN

_OUTPUTS = {"wide": WIDE_PIXELS, "narrow": PIXELS, "single": 1}


def strips_by_width(outputs: int, most: int) -> dict[str, int]:
    """Return how many strips of each width serve some outputs."""
    wide = outputs // WIDE_PIXELS if most == WIDE_PIXELS else 0
    narrow, single = into_strips(outputs - wide * WIDE_PIXELS)
    return {"wide": wide, "narrow": narrow, "single": single}


def _filled(width: str, times: float, groups: int, tail: int) -> Counts:
    """Count what widening into a strip takes: four quads or pairs at a time, then one at a time, then the tail."""
    fours, rest = divmod(groups, 4)
    return {
        f"{width}_four_filled": times * fours,
        "one_filled": times * rest,
        "tail_filled": times * bool(tail),
    }


def _rows_filled(outputs: int, most: int, depth: int, block: int) -> Counts:
    """Count what strips take whose outputs have one run of input each."""
    groups, tail = divmod(depth, block)
    strips = strips_by_width(outputs, most)
    counts = sum_counts(_filled(width, count * _OUTPUTS[width], groups, tail) for width, count in strips.items())
    return counts | {"unaligned_filled": outputs * groups * unaligned(depth)}


def _dense_filters(outputs: int, most: int, filters: int, depth: int) -> Counts:
    counts: Counts = {}
    for width, strips in strips_by_width(outputs, most).items():
        counts |= {
            width: strips,
            f"{width}_filter": strips * filters,
            f"{width}_quad": strips * filters * -(-depth // 4),
        }
    return counts


def _block_filters(outputs: int, most: int, filters: int, blocks: float) -> Counts:
    counts: Counts = {}
    for width, strips in strips_by_width(outputs, most).items():
        counts |= {width: strips, f"{width}_filter": strips * filters, f"{width}_block": strips * blocks}
    return counts


def _unusual(p: Params, counts: Counts) -> Counts:
    """Count the filters over wide strips that shift or clamp what they requantise: most models have none."""
    if p["left_shift"] == 0 and p["low"] <= INT8_MIN and p["high"] >= INT8_MAX:
        return counts
    return counts | {"wide_unusual": counts["wide_filter"]}


def count_linear(p: Params, blocks: float) -> Counts:  # noqa: ARG001 - one signature for all
    """Count the loops of a dense linear layer."""
    rows, most, depth = p["rows"], p["pixels"], p["input_features"]
    counts = _dense_filters(rows, most, p["output_features"], depth) | _rows_filled(rows, most, depth, 4)
    return _unusual(p, counts)


def count_linear_block(block: int) -> Features:
    """Return what counts the loops of a linear layer in blocks of ``block`` weights."""

    def features(p: Params, blocks: float) -> Counts:
        rows, most = p["rows"], p["pixels"]
        filled = _rows_filled(rows, most, p["input_features"], block)
        return _unusual(p, _block_filters(rows, most, p["output_features"], blocks) | filled)

    return features


def _windows(p: Params, channels: int, block: int) -> Counts:
    """Count what widening the window of every output takes, its channels padded to whole blocks."""
    height, width, columns = p["kernel_height"], p["kernel_width"], p["output_width"]
    outputs, groups = p["output_height"] * columns, -(-channels // block)
    in_one_piece = groups * block == p["input_channels"] and p["dilation_x"] == 1
    shared = width - 1 if p["stride_x"] == 1 and p["dilation_x"] == 1 else 0
    tops = [y * p["stride_y"] - p["pad_top"] for y in range(p["output_height"])]
    rows = [_hit(p["input_height"], top, height, p["dilation_y"]) for top in tops]
    # rows inside the image, by the strip's width, the output's column, and what the output before has of them
    found: dict[tuple[str, int, int], int] = {}
    output = 0
    for strip, count in strips_by_width(outputs, p["pixels"]).items():
        for pixel in range(count * _OUTPUTS[strip]):
            y, x = divmod(output, columns)
            key = strip, x, shared if x and pixel % _OUTPUTS[strip] else 0
            found[key] = found.get(key, 0) + rows[y]
            output += 1
    padded_rows = outputs * height - sum(rows[y] * columns for y in range(p["output_height"]))
    parts: list[Counts] = [{"window": outputs, "row_padded": padded_rows, "group_padded": padded_rows * width * groups}]
    for (strip, x, known), times in found.items():
        left = x * p["stride_x"] - p["pad_left"]
        if known:
            eights, rest = divmod(known * groups, 8)
            parts.append({"row_slid": times, f"{strip}_eight_slid": times * eights, "one_slid": times * rest})
        elif in_one_piece and left >= 0 and left + width <= p["input_width"]:
            parts += {"row_filled": times}, _filled(strip, times, width * groups, 0)
            continue
        else:
            parts.append({"row_gathered": times})
        left += known * p["dilation_x"]
        inside = _hit(p["input_width"], left, width - known, p["dilation_x"])
        outside = width - known - inside
        parts += (
            {"position_filled": times * inside, "position_padded": times * outside},
            {"group_padded": times * outside * groups},
            {"unaligned_filled": times * inside * groups * unaligned(channels)},
            _filled(strip, times * inside, *divmod(channels, block)),
        )
    return sum_counts(parts)


def _hit(size: int, start: int, count: int, step: int) -> int:
    """Return how many of ``count`` positions from ``start`` on lie inside."""
    return sum(0 <= start + i * step < size for i in range(count))


def count_conv2d(p: Params, blocks: float) -> Counts:  # noqa: ARG001 - one signature for all
    """Count the loops of a dense convolution."""
    groups = p["groups"]
    channels = p["input_channels"] // groups
    depth = p["kernel_height"] * p["kernel_width"] * channels
    outputs = p["output_height"] * p["output_width"]
    counts = _unusual(p, _dense_filters(outputs, p["pixels"], p["output_channels"] // groups, depth))
    if channels % 4 == 0:
        counts |= _windows(p, channels, 4)
    else:
        strips = strips_by_width(outputs, p["pixels"])
        each = (_OUTPUTS[width] for width, count in strips.items() for _ in range(count))
        counts |= count_patches(p, channels, each)
    return {name: count * groups for name, count in counts.items()}


def count_conv2d_block(block: int) -> Features:
    """Return what counts the loops of a convolution in blocks of ``block`` weights."""

    def features(p: Params, blocks: float) -> Counts:
        outputs = p["output_height"] * p["output_width"]
        counts = _unusual(p, _block_filters(outputs, p["pixels"], p["output_channels"], blocks))
        return counts | _windows(p, p["input_channels"], block)

    return features
