"""The paper's blockwise run-length code (Sec. III-D1): only non-zero blocks, each with its distance.

The lines of a filter are cut into blocks of ``block`` weights, their tail padded with zeros, and numbered through the
filter. Each non-zero block is stored as the number of zero blocks skipped since the stored one before it (the first
counts from the filter's start) and its weights. A distance is a uint8: of 256 zero blocks or more, every 256th is
stored too, with distance 255. Trailing zero blocks are not stored.

=========  ======  ==============================  =====================================
plane      type    elements                        meaning
=========  ======  ==============================  =====================================
counts     uint16  filters                         stored blocks of each filter
distances  uint8   stored blocks of all filters    zero blocks skipped before each
values     int8    stored blocks * ``block``       the weights of each
=========  ======  ==============================  =====================================

This is what ``se_block_weights`` in ``runtime/se_kernels.h`` reads.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from tinyformer.sparse_engine import ops
from tinyformer.sparse_engine.coding import stored_blocks
from tinyformer.sparse_engine.coding.encoding import BlockDensity, EncodedWeights, Int8Array, Plane
from tinyformer.sparse_engine.coding.stored_blocks import StoredBlocks
from tinyformer.sparse_engine.ir import Operator, Shape

STEP = 256  # blocks from one stored block to the next, at most
COUNT_MAX = 2**16 - 1
BLOCKS: Mapping[type, tuple[int, ...]] = {ops.Conv2D: (2, 4), ops.Linear: (2, 4), ops.DepthwiseConv2D: (3,)}


def blocks_of(op: Operator) -> tuple[int, ...]:
    """Return the sparse codes' block sizes: 2 and 4 for linear layers and ungrouped convolutions, 3 for depthwise."""
    if isinstance(op, ops.Conv2D) and op.groups != 1:
        return ()
    return BLOCKS.get(type(op), ())


class BlockRle:
    """The blockwise run-length code."""

    name = "block_rle"

    def blocks(self, op: Operator) -> tuple[int, ...]:
        """Return 2 and 4 for linear layers and ungrouped convolutions, 3 for depthwise ones."""
        return blocks_of(op)

    def encode(self, weight: Int8Array, block: int) -> EncodedWeights:
        """Return the planes counts, distances and values.

        Raises:
            ValueError: a filter has more than 65535 stored blocks.
        """
        stored = stored_blocks.store(weight, block, STEP)
        planes = (
            Plane("counts", checked_counts(stored, weight, block)),
            Plane("distances", stored.distances.astype(np.uint8)),
            Plane("values", stored.values.ravel()),
        )
        return EncodedWeights(self.name, block, weight.shape, planes)

    def decode(self, encoded: EncodedWeights) -> Int8Array:
        """Return the weights."""
        counts, distances = (encoded.plane(name).astype(np.int64) for name in ("counts", "distances"))
        values = encoded.plane("values").astype(np.int8, copy=False).reshape(-1, encoded.block)
        return stored_blocks.restore(StoredBlocks(counts, distances, values), encoded.shape)

    def nbytes(self, weight: Int8Array, block: int) -> int | None:
        """Return 2 bytes per filter and 1 + block per stored block; None when a filter has too many."""
        counts = stored_blocks.count(weight, block, STEP)
        return None if counts.max(initial=0) > COUNT_MAX else _nbytes(len(weight), int(counts.sum()), block)

    def expected_nbytes(self, shape: Shape, block: int, density: BlockDensity) -> int | None:
        """Return the mean over random weights of a density, rounded; None when the mean filter has too many blocks."""
        per_filter = stored_blocks.expected_count(shape, block, STEP, density)
        return None if per_filter > COUNT_MAX else _nbytes(shape[0], round(shape[0] * per_filter), block)

    def blocks_in(self, nbytes: int, shape: Shape, block: int) -> int:
        """Return how many blocks are stored in some bytes."""
        return (nbytes - 2 * shape[0]) // (1 + block)


def compression_ratio(sparsity: float, block: int) -> float:
    """Return dense bytes over coded bytes as the paper estimates them, without counts, padding and inserted blocks.

    Args:
        sparsity: share of zero weights, 0 to below 1.
        block: weights per block.

    Reference:
        Paper, Eq. 2.
    """
    return 1 / ((1 - sparsity) * (1 + 1 / block))


def checked_counts(stored: StoredBlocks, weight: Int8Array, block: int) -> npt.NDArray[np.uint16]:
    """Return the counts as the kernels read them.

    Raises:
        ValueError: a filter has more than 65535 stored blocks.
    """
    if stored.counts.max(initial=0) > COUNT_MAX:
        raise ValueError(f"a filter of {weight[0].size} weights has more than {COUNT_MAX} blocks of {block}")
    return stored.counts.astype(np.uint16)


def _nbytes(filters: int, stored: int, block: int) -> int:
    return 2 * filters + (1 + block) * stored
