"""How often each part of a kernel's loops runs: the counts that the fitted instruction tables multiply.

One function per kernel family returns named counts for the parameters of a call. Names are the columns of the tables in
``tables/``; a table that lacks a name was fitted on other loops and must be fitted again
(``benchmarks/fit_cost.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import expm1

PIXELS = 4  # SE_PIXELS: outputs that share one decoded weight
LANES = 4
_EXPONENTIALS = 256

Counts = dict[str, float]
Params = Mapping[str, int]
Features = Callable[[Params, float], Counts]
"""(scalar parameters, stored blocks of the weights) -> counts."""


def _strips(pixels: int) -> tuple[int, int]:
    """Return how many strips of ``PIXELS`` outputs there are, and how many single outputs remain."""
    return divmod(pixels, PIXELS)


def _dense_filters(pixels: int, filters: int, depth: int) -> Counts:
    strips, singles = _strips(pixels)
    quads, tail = divmod(depth, 4)
    return {
        "strip": strips,
        "single": singles,
        "strip_quad_filled": strips * PIXELS * quads,
        "single_quad_filled": singles * quads,
        "tail_filled": (strips * PIXELS + singles) * bool(tail),
        "strip_filter": strips * filters,
        "single_filter": singles * filters,
        "strip_quad": strips * filters * quads,
        "single_quad": singles * filters * quads,
        "strip_tail": strips * filters * bool(tail),
        "single_tail": singles * filters * bool(tail),
    }


def _block_filters(pixels: int, filters: int, depth: int, block: int, blocks: float) -> Counts:
    strips, singles = _strips(pixels)
    groups, tail = divmod(depth, block)
    return {
        "strip": strips,
        "single": singles,
        "strip_block_filled": strips * PIXELS * groups,
        "single_block_filled": singles * groups,
        "tail_filled": (strips * PIXELS + singles) * bool(tail),
        "strip_filter": strips * filters,
        "single_filter": singles * filters,
        "strip_block": strips * blocks,
        "single_block": singles * blocks,
    }


def _linear(p: Params, blocks: float) -> Counts:  # noqa: ARG001 - one signature for all
    return _dense_filters(p["rows"], p["output_features"], p["input_features"])


def _linear_block(block: int) -> Features:
    def features(p: Params, blocks: float) -> Counts:
        return _block_filters(p["rows"], p["output_features"], p["input_features"], block, blocks)

    return features


def _inside(size: int, kernel: int, stride: int, pad: int, dilation: int, outputs: int) -> tuple[int, int, int]:
    """Return (positions inside, positions outside, windows wholly inside) of all windows along one axis."""
    inside = whole = 0
    for output in range(outputs):
        start = output * stride - pad
        hits = sum(0 <= start + k * dilation < size for k in range(kernel))
        inside += hits
        whole += start >= 0 and start + kernel <= size
    return inside, outputs * kernel - inside, whole


def _patches(p: Params, block: int) -> Counts:
    """Count what gathering the window of every output takes."""
    channels = p["input_channels"] // p["groups"]
    padded = -(-channels // block) * block
    width, height = p["kernel_width"], p["kernel_height"]
    rows_in, rows_out, _ = _inside(
        p["input_height"], height, p["stride_y"], p["pad_top"], p["dilation_y"], p["output_height"]
    )
    inside, outside, whole = _inside(
        p["input_width"], width, p["stride_x"], p["pad_left"], p["dilation_x"], p["output_width"]
    )
    contiguous = padded == channels and (width == 1 or (p["dilation_x"] == 1 and p["groups"] == 1))
    pieces = whole if contiguous else 0
    copied = pieces * width  # positions that are copied as parts of whole rows
    groups = p["groups"]
    in_place = pieces * rows_in * (height == 1)
    return {
        "patch": p["output_height"] * p["output_width"] * groups,
        "row_copied": pieces * rows_in * groups - in_place * groups,
        "row_copied_byte": (pieces * rows_in - in_place) * width * channels * groups,
        "row_used": in_place * groups,
        "row_padded": p["output_width"] * rows_out * groups,
        "row_padded_byte": p["output_width"] * rows_out * width * padded * groups,
        "row_gathered": (p["output_width"] - pieces) * rows_in * groups,
        "position_copied": (inside - copied) * rows_in * groups,
        "position_copied_byte": (inside - copied) * rows_in * channels * groups,
        "position_padded": outside * rows_in * groups,
        "position_padded_byte": outside * rows_in * channels * groups,
    }


def _conv2d(p: Params, blocks: float) -> Counts:  # noqa: ARG001 - one signature for all
    groups = p["groups"]
    depth = p["kernel_height"] * p["kernel_width"] * (p["input_channels"] // groups)
    pixels = p["output_height"] * p["output_width"]
    filters = _dense_filters(pixels, p["output_channels"] // groups, depth)
    return {name: count * groups for name, count in filters.items()} | _patches(p, 1)


def _conv2d_block(block: int) -> Features:
    def features(p: Params, blocks: float) -> Counts:
        depth = p["kernel_height"] * p["kernel_width"] * -(-p["input_channels"] // block) * block
        pixels = p["output_height"] * p["output_width"]
        return _block_filters(pixels, p["output_channels"], depth, block, blocks) | _patches(p, block)

    return features


def _columns(p: Params) -> int:
    return (p["output_width"] - 1) * p["stride_x"] + (p["kernel_width"] - 1) * p["dilation_x"] + 1


def _depthwise(p: Params, blocks: float) -> Counts:  # noqa: ARG001 - one signature for all
    channels, height, width = p["input_channels"], p["kernel_height"], p["kernel_width"]
    outputs = p["output_height"]
    keeps_rows = p["dilation_y"] == 1 and p["stride_y"] < height
    columns = _columns(p)
    covered = min(columns, p["pad_left"] + p["input_width"]) - min(columns, p["pad_left"])
    rows = inside = 0
    for y in range(outputs):
        first = height - p["stride_y"] if keeps_rows and y else 0
        for kernel_y in range(first, height):
            rows += 1
            inside += 0 <= y * p["stride_y"] - p["pad_top"] + kernel_y * p["dilation_y"] < p["input_height"]
    runs = 1 if p["dilation_x"] == 1 else width
    counts: Counts = {}
    tail = channels % 4
    # what moves bytes one by one costs by the lanes of the last, partial group
    for name, groups in (("quad", channels // 4), ("part", bool(tail)), ("lane", tail)):
        counts |= {
            f"{name}": groups,
            f"{name}_row_widened": groups * rows,
            f"{name}_column_inside": groups * inside * covered,
            f"{name}_column_outside": groups * (rows * columns - inside * covered),
            f"{name}_weight_widened": groups * outputs * height * width,
            f"{name}_output_row": groups * outputs,
            f"{name}_output": groups * outputs * p["output_width"],
            f"{name}_run": groups * outputs * p["output_width"] * runs,
            f"{name}_product": groups * outputs * p["output_width"] * height * width,
        }
    return counts


def _depthwise_block(p: Params, blocks: float) -> Counts:
    channels, outputs = p["input_channels"], p["output_height"]
    height = (outputs - 1) * p["stride_y"] + (p["kernel_height"] - 1) * p["dilation_y"] + 1
    width = _columns(p)
    rows = max(0, min(height, p["pad_top"] + p["input_height"]) - min(height, p["pad_top"]))
    covered = max(0, min(width, p["pad_left"] + p["input_width"]) - min(width, p["pad_left"]))
    strips, singles = _strips(p["output_width"])
    return {
        "offset": p["kernel_height"] * -(-p["kernel_width"] // 3),
        "channel": channels,
        "plane_row": channels * height,
        "plane_inside": channels * rows * covered,
        "plane_outside": channels * (height * width - rows * covered),
        "output_row": channels * outputs,
        "strip": channels * outputs * strips,
        "single": channels * outputs * singles,
        "strip_block": blocks * outputs * strips,
        "single_block": blocks * outputs * singles,
    }


def _matmul(p: Params, blocks: float) -> Counts:  # noqa: ARG001 - one signature for all
    batch, rows, depth, columns = p["batch"], p["rows"], p["depth"], p["columns"]
    strips, singles = _strips(columns)
    quads, tail = divmod(depth, 4)
    layout = "rows" if p["transpose_b"] else "columns"
    return {
        "batch": batch,
        "strip": batch * strips,
        "single": batch * singles,
        f"{layout}_filled": batch * columns * quads,
        f"{layout}_tail_filled": batch * columns * bool(tail),
        "strip_row": batch * strips * rows,
        "single_row": batch * singles * rows,
        "strip_quad": batch * strips * rows * quads,
        "single_quad": batch * singles * rows * quads,
        "strip_tail": batch * strips * rows * bool(tail),
        "single_tail": batch * singles * rows * bool(tail),
    }


def _rows(p: Params, blocks: float) -> Counts:  # noqa: ARG001 - one signature for all
    quads, tail = divmod(p["columns"], LANES)
    return {"row": p["rows"], "quad": p["rows"] * quads, **_rest(p["rows"], tail)}


def _rest(times: int, tail: int) -> Counts:
    """Count the last one to three elements of a row; each number of them has its own path through unrolled code."""
    return {f"rest_{tail}": times} if tail else {}


def _lazy_rows(p: Params, blocks: float) -> Counts:
    elements = p["rows"] * p["columns"]
    return _rows(p, blocks) | {"element": elements, "exponential": _EXPONENTIALS * -expm1(-elements / _EXPONENTIALS)}


def _pairs(p: Params, blocks: float) -> Counts:  # noqa: ARG001 - one signature for all
    periods = p["elements"] // p["period"]
    quads, tail = divmod(p["period"], LANES)
    return {"period": periods, "quad": periods * quads, **_rest(periods, tail)}


def _elements(p: Params, blocks: float) -> Counts:  # noqa: ARG001 - one signature for all
    quads, tail = divmod(p["elements"], LANES)
    return {"quad": quads, **_rest(1, tail)}


def _pool(wide: int) -> Features:
    def features(p: Params, blocks: float) -> Counts:  # noqa: ARG001 - one signature for all
        rows, _, _ = _inside(p["input_height"], p["kernel_height"], p["stride_y"], p["pad_top"], 1, p["output_height"])
        columns, _, _ = _inside(p["input_width"], p["kernel_width"], p["stride_x"], p["pad_left"], 1, p["output_width"])
        windows = p["output_height"] * p["output_width"]
        groups, rest = divmod(p["channels"], wide)
        quads, tail = divmod(rest, LANES)
        counts: Counts = {"window": windows}
        for name, count in (("wide", groups), ("quad", quads), ("part", bool(tail)), ("lane", tail)):
            counts |= {
                name: count * windows,
                f"{name}_row": count * rows * p["output_width"],
                f"{name}_value": count * rows * columns,
            }
        return counts

    return features


def _move(p: Params, blocks: float) -> Counts:  # noqa: ARG001 - one signature for all
    outer, middle, inner, run = (p[f"shape[{axis}]"] for axis in range(4))
    runs = outer * middle * inner
    kind = "strided" if p["output_stride[3]"] != 1 else "gathered" if p["input_stride[3]"] != 1 else "copied"
    wide, rest = divmod(run, 4 * LANES)
    quads, tail = divmod(rest if kind == "copied" else run, LANES)
    counts: Counts = {"outer": outer, "middle": outer * middle, f"{kind}_run": runs}
    if kind == "strided":
        return counts | {"strided_byte": runs * run}
    return counts | {
        f"{kind}_wide": runs * wide * (kind == "copied"),
        f"{kind}_quad": runs * quads,
        f"{kind}_rest": runs * tail,
    }


FEATURES: Mapping[str, Features] = {
    "se_linear_s8": _linear,
    "se_linear_block2_s8": _linear_block(2),
    "se_linear_block4_s8": _linear_block(4),
    "se_conv2d_s8": _conv2d,
    "se_conv2d_block2_s8": _conv2d_block(2),
    "se_conv2d_block4_s8": _conv2d_block(4),
    "se_depthwise_conv2d_s8": _depthwise,
    "se_depthwise_conv2d_block3_s8": _depthwise_block,
    "se_matmul_s8": _matmul,
    "se_softmax_s8": _rows,
    "se_softmax_lazy_s8": _lazy_rows,
    "se_layer_norm_s8": _rows,
    "se_add_s8": _pairs,
    "se_mul_s8": _pairs,
    "se_lookup_s8": _elements,
    "se_fill_s8": _elements,
    "se_max_pool2d_s8": _pool(16),
    "se_avg_pool2d_s8": _pool(8),
    "se_move_s8": _move,
}
