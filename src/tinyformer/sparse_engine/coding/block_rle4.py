"""The run-length code with distances of four bits: half a byte a block where few blocks lie between.

As ``block_rle``, but of 16 zero blocks or more every 16th is stored too, with distance 15. The distances of all filters
together lie eight in a word, so that two masks give four each: byte k of word i holds distance 8 i + k in its low half
and distance 8 i + k + 4 in its high half. The last word ends in zeros.

=========  ======  ==============================  =====================================
plane      type    elements                        meaning
=========  ======  ==============================  =====================================
counts     uint16  filters                         stored blocks of each filter
distances  uint32  stored blocks of all filters    zero blocks skipped before each,
                   / 8, rounded up                 eight in a word
values     int8    stored blocks * ``block``       the weights of each
=========  ======  ==============================  =====================================

This is what ``se_rle4_weights`` in ``runtime/se_kernels.h`` reads.
"""

from __future__ import annotations

import numpy as np

from tinyformer.sparse_engine import ops
from tinyformer.sparse_engine.coding import stored_blocks
from tinyformer.sparse_engine.coding.block_rle import COUNT_MAX, blocks_of, checked_counts
from tinyformer.sparse_engine.coding.encoding import BlockDensity, EncodedWeights, Int8Array, Plane
from tinyformer.sparse_engine.coding.stored_blocks import StoredBlocks
from tinyformer.sparse_engine.ir import Operator, Shape

STEP = 16
_PER_WORD, _WORD_BYTES = 8, 4


class BlockRle4:
    """The blockwise run-length code with distances of four bits."""

    name = "block_rle4"

    def blocks(self, op: Operator) -> tuple[int, ...]:
        """Return 2 and 4 for linear layers and ungrouped convolutions; a depthwise filter is smaller as a bitmap."""
        return () if isinstance(op, ops.DepthwiseConv2D) else blocks_of(op)

    def encode(self, weight: Int8Array, block: int) -> EncodedWeights:
        """Return the planes counts, distances and values.

        Raises:
            ValueError: a filter has more than 65535 stored blocks.
        """
        stored = stored_blocks.store(weight, block, STEP)
        halves = np.zeros((_words(stored.distances.size), 2, _PER_WORD // 2), np.uint8)
        halves.ravel()[: stored.distances.size] = stored.distances
        words = np.ascontiguousarray(halves[:, 0] | halves[:, 1] << 4).view("<u4").ravel()
        planes = (
            Plane("counts", checked_counts(stored, weight, block)),
            Plane("distances", words.astype(np.uint32)),
            Plane("values", stored.values.ravel()),
        )
        return EncodedWeights(self.name, block, weight.shape, planes)

    def decode(self, encoded: EncodedWeights) -> Int8Array:
        """Return the weights."""
        counts = encoded.plane("counts").astype(np.int64)
        pairs = encoded.plane("distances").astype("<u4").view(np.uint8).reshape(-1, _PER_WORD // 2)
        distances = np.stack([pairs & 15, pairs >> 4], axis=1).ravel()[: int(counts.sum())].astype(np.int64)
        values = encoded.plane("values").astype(np.int8, copy=False).reshape(-1, encoded.block)
        return stored_blocks.restore(StoredBlocks(counts, distances, values), encoded.shape)

    def nbytes(self, weight: Int8Array, block: int) -> int | None:
        """Return 2 bytes per filter, half a byte and block per stored block; None when a filter has too many."""
        counts = stored_blocks.count(weight, block, STEP)
        return None if counts.max(initial=0) > COUNT_MAX else _nbytes(len(weight), int(counts.sum()), block)

    def expected_nbytes(self, shape: Shape, block: int, density: BlockDensity) -> int | None:
        """Return the mean over random weights of a density, rounded; None when the mean filter has too many blocks."""
        per_filter = stored_blocks.expected_count(shape, block, STEP, density)
        return None if per_filter > COUNT_MAX else _nbytes(shape[0], round(shape[0] * per_filter), block)

    def blocks_in(self, nbytes: int, shape: Shape, block: int) -> int:
        """Return how many blocks are stored in some bytes."""
        stored = (nbytes - 2 * shape[0]) * 2 // (2 * block + 1)  # or one or two less
        while _nbytes(shape[0], stored, block) > nbytes:
            stored -= 1
        return stored


def _words(stored: int) -> int:
    return -(-stored // _PER_WORD)


def _nbytes(filters: int, stored: int, block: int) -> int:
    return 2 * filters + _WORD_BYTES * _words(stored) + block * stored
