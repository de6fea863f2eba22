"""Packed weights: how often the parts of ``runtime/se_packed.c`` run, beside the loops over filters."""

from __future__ import annotations

from tinyformer.sparse_engine.cost.features.counting import Counts, Features, Params
from tinyformer.sparse_engine.cost.features.filters import strips_by_width

_WORD_DISTANCES, _WORD_BITS = 8, 32


def count_unpacked(code: str, block: int, features: Features) -> Features:
    """Return what counts the loops of a kernel of packed weights.

    Args:
        code: "rle4" or "bitmap".
        block: weights of a block.
        features: the counts of the kernel that reads distances of eight bits.
    """

    def with_unpacking(p: Params, blocks: float) -> Counts:
        filters, outputs, filter_blocks = _shape(p, block)
        strips = sum(strips_by_width(outputs, p["pixels"]).values())
        in_filter = blocks / filters
        # a part ends where the next filter might not fit: a bitmap's could have all its blocks
        room = p["unpacked_bytes"] - (filter_blocks - in_filter if code == "bitmap" else _WORD_DISTANCES)
        parts = max(1.0, blocks / max(room, in_filter, 1.0))
        times = 1 if blocks <= room else strips
        counts = features(p, blocks) | {
            "part": strips * (parts if times > 1 else 1),
            "unpacked_part": times * parts,
            "unpacked_filter": times * filters,
            "unpacked_block": times * blocks,
        }
        if code == "bitmap":
            counts |= {
                "unpacked_word": times * filters * (1 + (filter_blocks - 1) / _WORD_BITS),
                "unpacked_zero": times * (filters * filter_blocks - blocks),  # without CLZ
            }
        return counts

    return with_unpacking


def _shape(p: Params, block: int) -> tuple[int, int, int]:
    """Return filters, outputs of each, and blocks of a filter."""
    if "rows" in p:
        return p["output_features"], p["rows"], -(-p["input_features"] // block)
    in_filter = p["kernel_height"] * p["kernel_width"] * -(-p["input_channels"] // block)
    return p["output_channels"], p["output_height"] * p["output_width"], in_filter
