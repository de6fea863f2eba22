"""Products of activations, and what works row by row or element by element."""

from __future__ import annotations

from math import expm1, gcd

from tinyformer.sparse_engine.cost.features.counting import (
    LANES,
    Counts,
    Params,
    count_clamped,
    last_elements,
    unaligned,
)

_EXPONENTIALS = 256
_STRIP_COLUMNS = (8, 4)  # SE_COLUMNS with the DSP extension and without


def count_matmul(p: Params, blocks: float) -> Counts:  # noqa: ARG001 - one signature for all
    """Count the loops of a product of activations."""
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
            f"strip{width}_unaligned": strips * rows * quads * unaligned(p["depth"]),
            f"strip{width}_unaligned_filled": filled * quads * unaligned(p["depth"] if p["transpose_b"] else columns),
            f"strip{width}_pair": strips * rows * pairs,
            f"strip{width}_last": strips * rows * lasts,
            f"strip{width}_byte": filled * rows if columns < width else 0,
        }
    return counts | count_clamped(p, batch * rows * columns)


def count_rows(p: Params, blocks: float) -> Counts:  # noqa: ARG001 - one signature for all
    """Count the loops of a kernel that takes each row four elements at a time."""
    quads, tail = divmod(p["columns"], LANES)
    words = p["rows"] * quads
    unaligned_words = words * unaligned(p["columns"])
    return {"row": p["rows"], "quad": words, "unaligned": unaligned_words, **last_elements(p["rows"], tail)}


def count_layer_norm(p: Params, blocks: float) -> Counts:
    """Count the loops of a layer normalisation."""
    return count_rows(p, blocks) | count_clamped(p, p["rows"] * p["columns"])


def count_softmax(p: Params, blocks: float) -> Counts:  # noqa: ARG001 - one signature for all
    """Count the loops of a softmax: the maximum takes 16 elements at a time, the sum and the outputs 8."""
    rows, columns = p["rows"], p["columns"]
    return {
        "row": rows,
        "sixteen": rows * (columns // 16),
        "sixteen_rest": rows * (columns % 16),
        "eight": rows * (columns // 8),
        "eight_rest": rows * (columns % 8),
        "unaligned": rows * columns / LANES * unaligned(columns),
    }


def count_lazy_rows(p: Params, blocks: float) -> Counts:
    """Count the loops of the softmax whose exponentials are computed when first needed."""
    elements = p["rows"] * p["columns"]
    return count_softmax(p, blocks) | {
        "element": elements,
        "exponential": _EXPONENTIALS * -expm1(-elements / _EXPONENTIALS),
    }


def count_pairs(p: Params, blocks: float) -> Counts:  # noqa: ARG001 - one signature for all
    """Count the loops of a sum or product of two activations, or of one and a repeated constant."""
    periods = p["elements"] // p["period"]
    quads, tail = divmod(p["period"], LANES)
    words = periods * quads
    counts = {
        "period": periods,
        "quad": words,
        "unaligned": words * unaligned(p["period"]),
        **last_elements(periods, tail),
    }
    return counts | count_clamped(p, p["elements"])


def count_elements(p: Params, blocks: float) -> Counts:  # noqa: ARG001 - one signature for all
    """Count the loops over single elements."""
    quads, tail = divmod(p["elements"], LANES)
    return {"quad": quads, **last_elements(1, tail)}


def count_move(p: Params, blocks: float) -> Counts:  # noqa: ARG001 - one signature for all
    """Count the loops of a movement of bytes."""
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
        "copied_unaligned": runs * quads * unaligned(gcd(*(p[f"input_stride[{axis}]"] for axis in range(3)))),
    }
