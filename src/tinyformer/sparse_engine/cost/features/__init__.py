"""How often each part of a kernel's loops runs: the counts that the fitted tables multiply.

One function per kernel family returns named counts for the parameters of a call. Names are the columns of the tables in
``tables/``; a table that lacks a name was fitted on other loops and must be fitted again
(``benchmarks/fit_cost.py``). A kernel is a row of ``FEATURES``: another encoding with the loops of a family that is
there takes no more than that.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

from tinyformer.sparse_engine.cost.features.counting import UNALIGNED, Counts, Features, Params
from tinyformer.sparse_engine.cost.features.depthwise import (
    count_depthwise,
    count_depthwise_bitmap,
    count_depthwise_block,
)
from tinyformer.sparse_engine.cost.features.filters import (
    count_conv2d,
    count_conv2d_block,
    count_linear,
    count_linear_block,
)
from tinyformer.sparse_engine.cost.features.pooling import count_average_pool, count_maximum_pool
from tinyformer.sparse_engine.cost.features.rows import (
    count_elements,
    count_layer_norm,
    count_lazy_rows,
    count_matmul,
    count_move,
    count_pairs,
    count_softmax,
)
from tinyformer.sparse_engine.cost.features.unpacking import count_unpacked

__all__ = ["FEATURES", "UNALIGNED", "Counts", "Features", "Params"]

FEATURES: Mapping[str, Features] = {
    "se_linear_s8": count_linear,
    "se_linear_block2_s8": count_linear_block(2),
    "se_linear_block4_s8": count_linear_block(4),
    **{
        f"se_linear_{code}_block{block}_s8": count_unpacked(code, block, count_linear_block(block))
        for code, block in product(("rle4", "bitmap"), (2, 4))
    },
    "se_conv2d_s8": count_conv2d,
    "se_conv2d_block2_s8": count_conv2d_block(2),
    "se_conv2d_block4_s8": count_conv2d_block(4),
    **{
        f"se_conv2d_{code}_block{block}_s8": count_unpacked(code, block, count_conv2d_block(block))
        for code, block in product(("rle4", "bitmap"), (2, 4))
    },
    "se_depthwise_conv2d_s8": count_depthwise,
    "se_depthwise_conv2d_block3_s8": count_depthwise_block,
    "se_depthwise_conv2d_bitmap_block3_s8": count_depthwise_bitmap,
    "se_matmul_s8": count_matmul,
    "se_softmax_s8": count_softmax,
    "se_softmax_lazy_s8": count_lazy_rows,
    "se_layer_norm_s8": count_layer_norm,
    "se_add_s8": count_pairs,
    "se_mul_s8": count_pairs,
    "se_lookup_s8": count_elements,
    "se_fill_s8": count_elements,
    "se_max_pool2d_s8": count_maximum_pool,
    "se_avg_pool2d_s8": count_average_pool,
    "se_move_s8": count_move,
}
