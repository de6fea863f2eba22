"""A bit for every block: set where it is stored. Smallest where a quarter of the blocks or more are.

The bits of all filters follow one another, those of a filter numbered as in ``block_rle``: number n of them is bit
31 - n % 32 of word n // 32, and the last word ends in zeros. Stored are the blocks that are not zero, and of 256 zero
blocks of a filter or more every 256th, so that what unpacks the bits can write distances of eight bits.

=========  ======  ==============================  =====================================
plane      type    elements                        meaning
=========  ======  ==============================  =====================================
bitmap     uint32  filters * blocks / 32, rounded  which blocks are stored
                   up
values     int8    stored blocks * ``block``       the weights of each
=========  ======  ==============================  =====================================

This is what ``se_bitmap_weights`` in ``runtime/se_kernels.h`` reads.
"""

from __future__ import annotations

import numpy as np

from tinyformer.sparse_engine.coding import stored_blocks
from tinyformer.sparse_engine.coding.block_rle import COUNT_MAX, STEP, blocks_of, checked_counts
from tinyformer.sparse_engine.coding.encoding import BlockDensity, EncodedWeights, Int8Array, Plane
from tinyformer.sparse_engine.coding.stored_blocks import StoredBlocks
from tinyformer.sparse_engine.ir import Operator, Shape

_WORD_BITS, _WORD_BYTES = 32, 4


class BlockBitmap:
    """The blockwise bitmap."""

    name = "block_bitmap"

    def blocks(self, op: Operator) -> tuple[int, ...]:
        """Return 2 and 4 for linear layers and ungrouped convolutions, 3 for depthwise ones."""
        return blocks_of(op)

    def encode(self, weight: Int8Array, block: int) -> EncodedWeights:
        """Return the planes bitmap and values.

        Raises:
            ValueError: a filter has more than 65535 stored blocks: what unpacks them counts in 16 bits.
        """
        stored = stored_blocks.store(weight, block, STEP)
        checked_counts(stored, weight, block)
        owner = np.repeat(np.arange(len(weight)), stored.counts)
        walked = np.cumsum(stored.distances + 1)
        before = np.concatenate([[0], walked])[np.concatenate([[0], np.cumsum(stored.counts)])[:-1]]
        blocks = stored_blocks.blocks_per_filter(weight.shape, block)
        bits = np.zeros(_words(weight.shape, block) * _WORD_BITS, bool)
        bits[owner * blocks + walked - before[owner] - 1] = True
        planes = (
            Plane("bitmap", np.packbits(bits).view(">u4").astype(np.uint32)),
            Plane("values", stored.values.ravel()),
        )
        return EncodedWeights(self.name, block, weight.shape, planes)

    def decode(self, encoded: EncodedWeights) -> Int8Array:
        """Return the weights."""
        filters, blocks = encoded.shape[0], stored_blocks.blocks_per_filter(encoded.shape, encoded.block)
        bits = np.unpackbits(encoded.plane("bitmap").astype(">u4").view(np.uint8), count=filters * blocks)
        owner, position = np.nonzero(bits.reshape(filters, blocks))
        first = np.diff(owner, prepend=-1) != 0
        distances = position - np.where(first, -1, np.roll(position, 1)) - 1
        values = encoded.plane("values").astype(np.int8, copy=False).reshape(-1, encoded.block)
        stored = StoredBlocks(np.bincount(owner, minlength=filters), distances, values)
        return stored_blocks.restore(stored, encoded.shape)

    def nbytes(self, weight: Int8Array, block: int) -> int | None:
        """Return a bit per block, in whole words, and block bytes per stored block; None when a filter has too many."""
        counts = stored_blocks.count(weight, block, STEP)
        return None if counts.max(initial=0) > COUNT_MAX else _nbytes(weight.shape, int(counts.sum()), block)

    def expected_nbytes(self, shape: Shape, block: int, density: BlockDensity) -> int | None:
        """Return the mean over random weights of a density, rounded; None when the mean filter has too many blocks."""
        per_filter = stored_blocks.expected_count(shape, block, STEP, density)
        return None if per_filter > COUNT_MAX else _nbytes(shape, round(shape[0] * per_filter), block)

    def blocks_in(self, nbytes: int, shape: Shape, block: int) -> int:
        """Return how many blocks are stored in some bytes."""
        return (nbytes - _nbytes(shape, 0, block)) // block


def _words(shape: Shape, block: int) -> int:
    return -(-shape[0] * stored_blocks.blocks_per_filter(shape, block) // _WORD_BITS)


def _nbytes(shape: Shape, stored: int, block: int) -> int:
    return _WORD_BYTES * _words(shape, block) + block * stored
