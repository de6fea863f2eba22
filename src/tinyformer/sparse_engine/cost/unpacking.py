"""How often the parts of ``runtime/se_packed.c`` run: beside the counts of ``features``."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Features = Callable[[Mapping[str, int], float], dict[str, float]]
Strips = Callable[[int, int], Mapping[str, int]]

_WORD_DISTANCES, _WORD_BITS = 8, 32


def counted(code: str, block: int, features: Features, strips_by_width: Strips) -> Features:
    """Return the counts of a kernel of packed weights.

    Args:
        code: "rle4" or "bitmap".
        block: weights of a block.
        features: the counts of the kernel that reads distances of eight bits.
        strips_by_width: (outputs, outputs of a strip at most) -> strips of each width.
    """

    def with_unpacking(p: Mapping[str, int], blocks: float) -> dict[str, float]:
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


def _shape(p: Mapping[str, int], block: int) -> tuple[int, int, int]:
    """Return filters, outputs of each, and blocks of a filter."""
    if "rows" in p:
        return p["output_features"], p["rows"], -(-p["input_features"] // block)
    in_filter = p["kernel_height"] * p["kernel_width"] * -(-p["input_channels"] // block)
    return p["output_channels"], p["output_height"] * p["output_width"], in_filter
