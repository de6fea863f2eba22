"""A bit for every block: set where it is stored. Smallest where a third of the blocks or more are.

Bit k of byte j of a filter's bits stands for block 8 j + k, numbered as in ``block_rle``; each filter's bits start at
a byte. Stored are the blocks that are not zero, and of 256 zero blocks or more every 256th, so that what decodes the
bits can write distances of eight bits.

No kernel reads this yet, so that the compiler does not choose it.

=========  ======  ==============================  =====================================
plane      type    elements                        meaning
=========  ======  ==============================  =====================================
bitmap     uint8   filters * ceil(blocks / 8)      which blocks are stored
values     int8    stored blocks * ``block``       the weights of each
=========  ======  ==============================  =====================================
"""

from __future__ import annotations

from math import ceil

import numpy as np

from tinyformer.sparse_engine.coding import stored_blocks
from tinyformer.sparse_engine.coding.block_rle import STEP, blocks_of
from tinyformer.sparse_engine.coding.encoding import BlockDensity, EncodedWeights, Int8Array, Plane
from tinyformer.sparse_engine.coding.stored_blocks import StoredBlocks
from tinyformer.sparse_engine.ir import Operator, Shape


class BlockBitmap:
    """The blockwise bitmap."""

    name = "block_bitmap"

    def blocks(self, op: Operator) -> tuple[int, ...]:
        """Return 2 and 4 for linear layers and ungrouped convolutions, 3 for depthwise ones."""
        return blocks_of(op)

    def encode(self, weight: Int8Array, block: int) -> EncodedWeights:
        """Return the planes bitmap and values."""
        stored = stored_blocks.store(weight, block, STEP)
        owner = np.repeat(np.arange(len(weight)), stored.counts)
        walked = np.cumsum(stored.distances + 1)
        before = np.concatenate([[0], walked])[np.concatenate([[0], np.cumsum(stored.counts)])[:-1]]
        bits = np.zeros((len(weight), stored_blocks.blocks_per_filter(weight.shape, block)), bool)
        bits[owner, walked - before[owner] - 1] = True
        planes = (
            Plane("bitmap", np.packbits(bits, axis=1, bitorder="little").ravel()),
            Plane("values", stored.values.ravel()),
        )
        return EncodedWeights(self.name, block, weight.shape, planes)

    def decode(self, encoded: EncodedWeights) -> Int8Array:
        """Return the weights."""
        filters, blocks = encoded.shape[0], stored_blocks.blocks_per_filter(encoded.shape, encoded.block)
        packed = encoded.plane("bitmap").astype(np.uint8, copy=False).reshape(filters, -1)
        owner, position = np.nonzero(np.unpackbits(packed, axis=1, count=blocks, bitorder="little"))
        first = np.diff(owner, prepend=-1) != 0
        distances = position - np.where(first, -1, np.roll(position, 1)) - 1
        values = encoded.plane("values").astype(np.int8, copy=False).reshape(-1, encoded.block)
        stored = StoredBlocks(np.bincount(owner, minlength=filters), distances, values)
        return stored_blocks.restore(stored, encoded.shape)

    def nbytes(self, weight: Int8Array, block: int) -> int:
        """Return a bit per block, whole bytes per filter, and block bytes per stored block."""
        stored = int(stored_blocks.count(weight, block, STEP).sum())
        return _bitmap_bytes(weight.shape, block) + block * stored

    def expected_nbytes(self, shape: Shape, block: int, density: BlockDensity) -> int:
        """Return the mean over random weights of that density, rounded."""
        per_filter = stored_blocks.expected_count(shape, block, STEP, density)
        return _bitmap_bytes(shape, block) + round(shape[0] * block * per_filter)


def _bitmap_bytes(shape: Shape, block: int) -> int:
    return shape[0] * ceil(stored_blocks.blocks_per_filter(shape, block) / 8)
