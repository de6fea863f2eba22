"""How often each part of a kernel's loops runs: the counts that the fitted instruction tables multiply.

One function per kernel family returns named counts for the parameters of a call. Names are the columns of the tables in
``tables/``; a table that lacks a name was fitted on other loops and must be fitted again
(``benchmarks/fit_cost.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import product
from math import expm1

from tinyformer.sparse_engine.cost import patches, unpacking
from tinyformer.sparse_engine.fixed_point import INT8_MAX, INT8_MIN

WIDE_PIXELS, PIXELS = 8, 4  # SE_WIDE_PIXELS, SE_PIXELS: outputs that share one decoded weight
LANES = 4
_EXPONENTIALS = 256
_MAXIMUM_WIDE, _AVERAGE_WIDE = 16, 8  # channels at a time
_STRIP_COLUMNS = (8, 4)  # SE_COLUMNS with the DSP extension and without

Counts = dict[str, float]
Params = Mapping[str, int]
Features = Callable[[Params, float], Counts]
"""(scalar parameters, stored blocks of the weights) -> counts."""


def _strips(pixels: int) -> tuple[int, int]:
    """Return how many strips of ``PIXELS`` outputs there are, and how many single outputs remain."""
    return divmod(pixels, PIXELS)


def _strips_by_width(outputs: int, most: int) -> dict[str, int]:
    """Return how many strips of each width serve some outputs."""
    wide = outputs // WIDE_PIXELS if most == WIDE_PIXELS else 0
    narrow, single = _strips(outputs - wide * WIDE_PIXELS)
    return {"wide": wide, "narrow": narrow, "single": single}


_OUTPUTS = {"wide": WIDE_PIXELS, "narrow": PIXELS, "single": 1}


def _filled(width: str, times: float, groups: int, tail: int) -> Counts:
    """Count what widening into a strip takes: four quads or pairs at a time, then one at a time, then the tail."""
    fours, rest = divmod(groups, 4)
    return {
        f"{width}_four_filled": times * fours,
        "one_filled": times * rest,
        "tail_filled": times * bool(tail),
    }


def _rows_filled(outputs: int, most: int, groups: int, tail: int) -> Counts:
    """Count what strips take whose outputs have one run of input each."""
    strips = _strips_by_width(outputs, most)
    return _total(_filled(width, count * _OUTPUTS[width], groups, tail) for width, count in strips.items())


def _total(parts: Iterable[Counts]) -> Counts:
    total: Counts = {}
    for part in parts:
        for name, count in part.items():
            total[name] = total.get(name, 0) + count
    return total


def _dense_filters(outputs: int, most: int, filters: int, depth: int) -> Counts:
    counts: Counts = {}
    for width, strips in _strips_by_width(outputs, most).items():
        counts |= {
            width: strips,
            f"{width}_filter": strips * filters,
            f"{width}_quad": strips * filters * -(-depth // 4),
        }
    return counts


def _block_filters(outputs: int, most: int, filters: int, blocks: float) -> Counts:
    counts: Counts = {}
    for width, strips in _strips_by_width(outputs, most).items():
        counts |= {width: strips, f"{width}_filter": strips * filters, f"{width}_block": strips * blocks}
    return counts


def _linear(p: Params, blocks: float) -> Counts:  # noqa: ARG001 - one signature for all
    rows, most, depth = p["rows"], p["pixels"], p["input_features"]
    return _dense_filters(rows, most, p["output_features"], depth) | _rows_filled(rows, most, *divmod(depth, 4))


def _linear_block(block: int) -> Features:
    def features(p: Params, blocks: float) -> Counts:
        rows, most = p["rows"], p["pixels"]
        filled = _rows_filled(rows, most, *divmod(p["input_features"], block))
        return _block_filters(rows, most, p["output_features"], blocks) | filled

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
    for strip, count in _strips_by_width(outputs, p["pixels"]).items():
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
            _filled(strip, times * inside, *divmod(channels, block)),
        )
    return _total(parts)


def _hit(size: int, start: int, count: int, step: int) -> int:
    """Return how many of ``count`` positions from ``start`` on lie inside."""
    return sum(0 <= start + i * step < size for i in range(count))


def _conv2d(p: Params, blocks: float) -> Counts:  # noqa: ARG001 - one signature for all
    groups = p["groups"]
    channels = p["input_channels"] // groups
    depth = p["kernel_height"] * p["kernel_width"] * channels
    outputs = p["output_height"] * p["output_width"]
    counts = _dense_filters(outputs, p["pixels"], p["output_channels"] // groups, depth)
    if channels % 4 == 0:
        counts |= _windows(p, channels, 4)
    else:
        strips = _strips_by_width(outputs, p["pixels"])
        counts |= patches.counted(p, channels, (_OUTPUTS[width] for width, n in strips.items() for _ in range(n)))
    return {name: count * groups for name, count in counts.items()}


def _conv2d_block(block: int) -> Features:
    def features(p: Params, blocks: float) -> Counts:
        outputs = p["output_height"] * p["output_width"]
        counts = _block_filters(outputs, p["pixels"], p["output_channels"], blocks)
        return counts | _windows(p, p["input_channels"], block)

    return features


def _depthwise(p: Params, blocks: float) -> Counts:  # noqa: ARG001 - one signature for all
    return _depthwise_block(p, p["input_channels"] * p["kernel_height"] * -(-p["kernel_width"] // 3))


def _depthwise_block(p: Params, blocks: float) -> Counts:
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
    }
    strips, singles = _strips(p["output_width"])
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


def _depthwise_bitmap(p: Params, blocks: float) -> Counts:
    in_filter = p["kernel_height"] * -(-p["kernel_width"] // 3)
    return _depthwise_block(p, blocks) | {"bit": p["input_channels"] * in_filter}


def _matmul(p: Params, blocks: float) -> Counts:  # noqa: ARG001 - one signature for all
    batch, rows, columns = p["batch"], p["rows"], p["columns"]
    quads, pairs, lasts = p["depth"] // 4, p["depth"] // 2 % 2, p["depth"] % 2
    layout = "rows" if p["transpose_b"] else "columns" if columns >= LANES else "column"
    counts: Counts = {"batch": batch}
    for width in _STRIP_COLUMNS:  # on a core, the coefficients of one of them vanish
        strips = batch * -(-columns // width)
        filled = strips * min(width, columns)
        counts |= {
            f"strip{width}": strips,
            f"strip{width}_column": filled,
            f"strip{width}_{layout}_filled": filled * quads,
            f"strip{width}_pair_filled": filled * pairs,
            f"strip{width}_last_filled": filled * lasts,
            f"strip{width}_row": strips * rows,
            f"strip{width}_quad": strips * rows * quads,
            f"strip{width}_pair": strips * rows * pairs,
            f"strip{width}_last": strips * rows * lasts,
            f"strip{width}_byte": filled * rows if columns < width else 0,
        }
    return counts


def _rows(p: Params, blocks: float) -> Counts:  # noqa: ARG001 - one signature for all
    quads, tail = divmod(p["columns"], LANES)
    return {"row": p["rows"], "quad": p["rows"] * quads, **_rest(p["rows"], tail)}


def _clamped(p: Params, elements: int) -> Counts:
    """Count the words of a second pass that narrows the output's range."""
    return {"clamped": elements / LANES} if p["low"] > INT8_MIN or p["high"] < INT8_MAX else {}


def _layer_norm(p: Params, blocks: float) -> Counts:
    return _rows(p, blocks) | _clamped(p, p["rows"] * p["columns"])


def _rest(times: int, tail: int) -> Counts:
    """Count the last one to three elements of a row; each number of them has its own path through unrolled code."""
    return {f"rest_{tail}": times} if tail else {}


def _lazy_rows(p: Params, blocks: float) -> Counts:
    elements = p["rows"] * p["columns"]
    return _rows(p, blocks) | {"element": elements, "exponential": _EXPONENTIALS * -expm1(-elements / _EXPONENTIALS)}


def _pairs(p: Params, blocks: float) -> Counts:  # noqa: ARG001 - one signature for all
    periods = p["elements"] // p["period"]
    quads, tail = divmod(p["period"], LANES)
    counts = {"period": periods, "quad": periods * quads, **_rest(periods, tail)}
    return counts | _clamped(p, p["elements"])


def _elements(p: Params, blocks: float) -> Counts:  # noqa: ARG001 - one signature for all
    quads, tail = divmod(p["elements"], LANES)
    return {"quad": quads, **_rest(1, tail)}


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
            counts |= _clamped(p, windows * channels)
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


def _move(p: Params, blocks: float) -> Counts:  # noqa: ARG001 - one signature for all
    outer, middle, inner, run = (p[f"shape[{axis}]"] for axis in range(4))
    kind = "scattered" if p["output_stride[3]"] != 1 else "gathered" if p["input_stride[3]"] != 1 else "copied"
    runs = outer * middle * inner
    counts: Counts = {"outer": outer, f"{kind}_plane": outer * middle, f"{kind}_run": runs}
    if kind == "scattered":
        return counts | {"scattered_byte": runs * run}
    quads, tail = divmod(run, LANES)
    if kind == "gathered":
        return counts | {"gathered_quad": runs * quads, "gathered_rest": runs * tail}
    return counts | {
        "copied_some_wide": runs * (quads >= 4),
        "copied_wide": runs * (quads // 4),
        "copied_some_quad": runs * (quads % 4 > 0),
        "copied_quad": runs * (quads % 4),
        "copied_tail": runs * (tail > 0 and quads > 0),
        "copied_part": runs * (quads == 0),
        "copied_part_byte": runs * tail * (quads == 0),
    }


FEATURES: Mapping[str, Features] = {
    "se_linear_s8": _linear,
    "se_linear_block2_s8": _linear_block(2),
    "se_linear_block4_s8": _linear_block(4),
    **{
        f"se_linear_{code}_block{block}_s8": unpacking.counted(code, block, _linear_block(block), _strips_by_width)
        for code, block in product(("rle4", "bitmap"), (2, 4))
    },
    "se_conv2d_s8": _conv2d,
    "se_conv2d_block2_s8": _conv2d_block(2),
    "se_conv2d_block4_s8": _conv2d_block(4),
    **{
        f"se_conv2d_{code}_block{block}_s8": unpacking.counted(code, block, _conv2d_block(block), _strips_by_width)
        for code, block in product(("rle4", "bitmap"), (2, 4))
    },
    "se_depthwise_conv2d_s8": _depthwise,
    "se_depthwise_conv2d_block3_s8": _depthwise_block,
    "se_depthwise_conv2d_bitmap_block3_s8": _depthwise_bitmap,
    "se_matmul_s8": _matmul,
    "se_softmax_s8": _rows,
    "se_softmax_lazy_s8": _lazy_rows,
    "se_layer_norm_s8": _layer_norm,
    "se_add_s8": _pairs,
    "se_mul_s8": _pairs,
    "se_lookup_s8": _elements,
    "se_fill_s8": _elements,
    "se_max_pool2d_s8": _pool(_MAXIMUM_WIDE, 16),
    "se_avg_pool2d_s8": _pool(_AVERAGE_WIDE, 32),
    "se_move_s8": _move,
}
