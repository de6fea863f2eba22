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
from math import ceil, fsum

import numpy as np
import numpy.typing as npt

from tinyformer.sparse_engine import ops
from tinyformer.sparse_engine.coding.encoding import BlockDensity, EncodedWeights, Int8Array, Plane, lines
from tinyformer.sparse_engine.ir import Operator, Shape

STEP = 256  # blocks from one stored block to the next, at most
COUNT_MAX = 2**16 - 1
BLOCKS: Mapping[type, tuple[int, ...]] = {ops.Conv2D: (2, 4), ops.Linear: (2, 4), ops.DepthwiseConv2D: (3,)}


class BlockRle:
    """The blockwise run-length code."""

    name = "block_rle"

    def blocks(self, op: Operator) -> tuple[int, ...]:
        """Return 2 and 4 for linear layers and ungrouped convolutions, 3 for depthwise ones."""
        if isinstance(op, ops.Conv2D) and op.groups != 1:
            return ()
        return BLOCKS.get(type(op), ())

    def encode(self, weight: Int8Array, block: int) -> EncodedWeights:
        """Return the planes counts, distances and values.

        Raises:
            ValueError: a filter has more than 65535 stored blocks.
        """
        filters, blocks, gaps = _nonzero_blocks(weight, block)
        inserted = gaps // STEP
        counts = _counts(len(weight), filters, inserted)
        if counts.max(initial=0) > COUNT_MAX:
            raise ValueError(f"a filter of {weight[0].size} weights has more than {COUNT_MAX} blocks of {block}")
        ends = np.cumsum(inserted + 1)
        stored = int(ends[-1]) if ends.size else 0
        distances = np.full(stored, STEP - 1, np.uint8)
        distances[ends - 1] = gaps % STEP
        values = np.zeros((stored, block), np.int8)
        values[ends - 1] = blocks
        planes = (
            Plane("counts", counts.astype(np.uint16)),
            Plane("distances", distances),
            Plane("values", values.ravel()),
        )
        return EncodedWeights(self.name, block, weight.shape, planes)

    def decode(self, encoded: EncodedWeights) -> Int8Array:
        """Return the weights."""
        filters, filter_lines, length = lines(encoded.shape)
        in_line = ceil(length / encoded.block)
        counts = encoded.plane("counts").astype(np.int64)
        steps = encoded.plane("distances").astype(np.int64) + 1
        owner = np.repeat(np.arange(filters), counts)
        walked = np.concatenate([[0], np.cumsum(steps)])
        starts = np.concatenate([[0], np.cumsum(counts)])[:-1]
        blocks = np.zeros((filters, filter_lines * in_line, encoded.block), np.int8)
        blocks[owner, walked[1:] - walked[starts][owner] - 1] = encoded.plane("values").reshape(-1, encoded.block)
        padded = blocks.reshape(filters, filter_lines, in_line * encoded.block)
        return np.ascontiguousarray(padded[:, :, :length]).reshape(encoded.shape)

    def nbytes(self, weight: Int8Array, block: int) -> int | None:
        """Return 2 bytes per filter and 1 + block per stored block; None when a filter has too many."""
        filters, _, gaps = _nonzero_blocks(weight, block)
        counts = _counts(len(weight), filters, gaps // STEP)
        return None if counts.max(initial=0) > COUNT_MAX else _nbytes(len(weight), int(counts.sum()), block)

    def expected_nbytes(self, shape: Shape, block: int, density: BlockDensity) -> int | None:
        """Return the mean over random weights of that density, rounded; None when the mean filter has too many blocks.

        Of n blocks, each non-zero with probability p, n * p are expected to be non-zero, and before each of them one
        more is stored for every 256 zero blocks: sum over k of p * (n - 256 k) * (1 - p)**(256 k).
        """
        filters, filter_lines, length = lines(shape)
        zero = [
            density.sparsity ** (last // density.block - first // density.block + 1)
            for first, last in _spans(length, block)
        ]
        nonzero = filter_lines * (len(zero) - fsum(zero))
        # Blocks of pruning longer than ours come and go as a whole: gaps are multiples of their ratio.
        ratio = max(1, density.block // block)
        units = filter_lines * len(zero) / ratio
        p = nonzero / (units * ratio)
        step = STEP / ratio
        inserted = fsum(p * (units - k * step) * (1 - p) ** (k * step) for k in range(1, ceil(units / step)))
        per_filter = nonzero + inserted
        return None if per_filter > COUNT_MAX else _nbytes(filters, round(filters * per_filter), block)


def compression_ratio(sparsity: float, block: int) -> float:
    """Return dense bytes over coded bytes as the paper estimates them, without counts, padding and inserted blocks.

    Args:
        sparsity: share of zero weights, 0 to below 1.
        block: weights per block.

    Reference:
        Paper, Eq. 2.
    """
    return 1 / ((1 - sparsity) * (1 + 1 / block))


def _nbytes(filters: int, stored: int, block: int) -> int:
    return 2 * filters + (1 + block) * stored


def _spans(length: int, block: int) -> list[tuple[int, int]]:
    """Return the first and last element of every block of a line."""
    return [(first, min(first + block, length) - 1) for first in range(0, length, block)]


def _nonzero_blocks(weight: Int8Array, block: int) -> tuple[npt.NDArray[np.int64], Int8Array, npt.NDArray[np.int64]]:
    """Return every non-zero block's filter, weights, and number of zero blocks before it."""
    filters, filter_lines, length = lines(weight.shape)
    by_line = weight.reshape(filters, filter_lines, length)
    padded = np.pad(by_line, ((0, 0), (0, 0), (0, -length % block)))
    blocks = padded.reshape(filters, -1, block)
    owner, position = np.nonzero(blocks.any(axis=-1))
    first = np.diff(owner, prepend=-1) != 0
    before = np.where(first, -1, np.roll(position, 1))
    return owner, blocks[owner, position], position - before - 1


def _counts(filters: int, owner: npt.NDArray[np.int64], inserted: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    counts = np.zeros(filters, np.int64)
    np.add.at(counts, owner, inserted + 1)
    return counts
