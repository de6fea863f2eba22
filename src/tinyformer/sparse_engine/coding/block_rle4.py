"""The run-length code with distances of four bits: half a byte a block where few blocks lie between.

As ``block_rle``, but of 16 zero blocks or more every 16th is stored too, with distance 15, and two distances share a
byte, the first in its low half. Each filter's distances start at a byte; the last byte of an odd number ends in zeros.

No kernel reads this yet, so that the compiler does not choose it.

=========  ======  ==============================  =====================================
plane      type    elements                        meaning
=========  ======  ==============================  =====================================
counts     uint16  filters                         stored blocks of each filter
distances  uint8   half the stored blocks of each  zero blocks skipped before each, in
                   filter, rounded up              pairs
values     int8    stored blocks * ``block``       the weights of each
=========  ======  ==============================  =====================================
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tinyformer.sparse_engine.coding import stored_blocks
from tinyformer.sparse_engine.coding.block_rle import COUNT_MAX, blocks_of, checked_counts
from tinyformer.sparse_engine.coding.encoding import BlockDensity, EncodedWeights, Int8Array, Plane
from tinyformer.sparse_engine.coding.stored_blocks import Int64Array, StoredBlocks
from tinyformer.sparse_engine.ir import Operator, Shape

STEP = 16


class BlockRle4:
    """The blockwise run-length code with distances of four bits."""

    name = "block_rle4"

    def blocks(self, op: Operator) -> tuple[int, ...]:
        """Return 2 and 4 for linear layers and ungrouped convolutions, 3 for depthwise ones."""
        return blocks_of(op)

    def encode(self, weight: Int8Array, block: int) -> EncodedWeights:
        """Return the planes counts, distances and values.

        Raises:
            ValueError: a filter has more than 65535 stored blocks.
        """
        stored = stored_blocks.store(weight, block, STEP)
        nibbles = np.zeros(2 * int(_bytes_of(stored.counts).sum()), np.uint8)
        nibbles[_places(stored.counts)] = stored.distances
        planes = (
            Plane("counts", checked_counts(stored, weight, block)),
            Plane("distances", nibbles[0::2] | nibbles[1::2] << 4),
            Plane("values", stored.values.ravel()),
        )
        return EncodedWeights(self.name, block, weight.shape, planes)

    def decode(self, encoded: EncodedWeights) -> Int8Array:
        """Return the weights."""
        counts, pairs = (encoded.plane(name).astype(np.int64) for name in ("counts", "distances"))
        distances = np.stack([pairs & 15, pairs >> 4], axis=1).ravel()[_places(counts)]
        values = encoded.plane("values").astype(np.int8, copy=False).reshape(-1, encoded.block)
        return stored_blocks.restore(StoredBlocks(counts, distances, values), encoded.shape)

    def nbytes(self, weight: Int8Array, block: int) -> int | None:
        """Return 2 bytes per filter, half a byte and block per stored block; None when a filter has too many."""
        counts = stored_blocks.count(weight, block, STEP)
        if counts.max(initial=0) > COUNT_MAX:
            return None
        return int(2 * len(weight) + _bytes_of(counts).sum() + block * counts.sum())

    def expected_nbytes(self, shape: Shape, block: int, density: BlockDensity) -> int | None:
        """Return the mean over random weights of that density, rounded; None when the mean filter has too many blocks.

        Half the filters of odd counts are in it: of n blocks, each stored with probability p, an odd number is
        stored with probability (1 - (1 - 2 p)**n) / 2.
        """
        per_filter = stored_blocks.expected_count(shape, block, STEP, density)
        if per_filter > COUNT_MAX:
            return None
        blocks = stored_blocks.blocks_per_filter(shape, block)
        odd = (1 - (1 - 2 * min(1.0, per_filter / blocks)) ** blocks) / 2
        return round(shape[0] * (2 + (0.5 + block) * per_filter + 0.5 * odd))


def _bytes_of(counts: Int64Array) -> Int64Array:
    """Return the bytes of each filter's distances."""
    halves: Int64Array = (counts + 1) // 2
    return halves


def _places(counts: Int64Array) -> npt.NDArray[np.intp]:
    """Return where each stored block's distance lies among all half bytes."""
    starts = 2 * np.concatenate([[0], np.cumsum(_bytes_of(counts))])[:-1]
    before = np.concatenate([[0], np.cumsum(counts)])[:-1]
    places: npt.NDArray[np.intp] = np.arange(int(counts.sum())) + np.repeat(starts - before, counts)
    return places
