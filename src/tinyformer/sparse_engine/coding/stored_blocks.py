"""Which blocks of weights a sparse encoding stores: those that are not zero, and some between them.

A filter's lines are cut into blocks of ``block`` weights, the last of a line padded with zeros, and numbered through
the filter. Of the zero blocks between two stored ones an encoding can skip fewer than ``step``; where there are more,
the ``step``-th is stored though it is zero, and counting goes on from there. The first block of a filter counts from
its start. Zero blocks after the last one are not stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import ceil, fsum

import numpy as np
import numpy.typing as npt

from tinyformer.sparse_engine.coding.encoding import BlockDensity, Int8Array, lines
from tinyformer.sparse_engine.ir import Shape

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class StoredBlocks:
    """The stored blocks of a weight, filter by filter.

    ``counts`` says how many belong to each filter; ``distances`` how many zero blocks each skips, below the step;
    ``values`` are their weights, (blocks, block).
    """

    counts: Int64Array
    distances: Int64Array
    values: Int8Array


def blocks_per_filter(shape: Shape, block: int) -> int:
    """Return the number of blocks of a filter, zero or not."""
    _, filter_lines, length = lines(shape)
    return filter_lines * ceil(length / block)


def store(weight: Int8Array, block: int, step: int) -> StoredBlocks:
    """Return the blocks to store of weights, of which fewer than ``step`` zero ones are skipped at once."""
    owner, blocks, gaps = _nonzero_blocks(weight, block)
    inserted = gaps // step
    ends = np.cumsum(inserted + 1)
    stored = int(ends[-1]) if ends.size else 0
    distances = np.full(stored, step - 1, np.int64)
    distances[ends - 1] = gaps % step
    values = np.zeros((stored, block), np.int8)
    values[ends - 1] = blocks
    return StoredBlocks(_counts(len(weight), owner, inserted), distances, values)


def count(weight: Int8Array, block: int, step: int) -> Int64Array:
    """Return how many blocks of each filter ``store`` gives."""
    owner, _, gaps = _nonzero_blocks(weight, block)
    return _counts(len(weight), owner, gaps // step)


def restore(stored: StoredBlocks, shape: Shape) -> Int8Array:
    """Return the weights of a shape from their stored blocks."""
    filters, filter_lines, length = lines(shape)
    block = stored.values.shape[1]
    owner = np.repeat(np.arange(filters), stored.counts)
    walked = np.concatenate([[0], np.cumsum(stored.distances + 1)])
    starts = np.concatenate([[0], np.cumsum(stored.counts)])[:-1]
    blocks = np.zeros((filters, blocks_per_filter(shape, block), block), np.int8)
    blocks[owner, walked[1:] - walked[starts][owner] - 1] = stored.values
    padded = blocks.reshape(filters, filter_lines, -1)
    return np.ascontiguousarray(padded[:, :, :length]).reshape(shape)


@lru_cache(maxsize=8192)
def expected_count(shape: Shape, block: int, step: int, density: BlockDensity) -> float:
    """Return the mean number of stored blocks of a filter over random weights of a density.

    Of n blocks, each non-zero with probability p, n * p are expected to be non-zero, and before each of them one more
    is stored for every ``step`` zero blocks: sum over k of p * (n - step k) * (1 - p)**(step k).
    """
    _, filter_lines, length = lines(shape)
    zero = [
        density.sparsity ** (last // density.block - first // density.block + 1)
        for first, last in _spans(length, block)
    ]
    nonzero = filter_lines * (len(zero) - fsum(zero))
    # Blocks of pruning longer than ours come and go as a whole: gaps are multiples of their ratio.
    ratio = max(1, density.block // block)
    units = filter_lines * len(zero) / ratio
    p = nonzero / (units * ratio)
    stride = step / ratio
    return nonzero + fsum(p * (units - k * stride) * (1 - p) ** (k * stride) for k in range(1, ceil(units / stride)))


def _spans(length: int, block: int) -> list[tuple[int, int]]:
    """Return the first and last element of every block of a line."""
    return [(first, min(first + block, length) - 1) for first in range(0, length, block)]


def _nonzero_blocks(weight: Int8Array, block: int) -> tuple[Int64Array, Int8Array, Int64Array]:
    """Return every non-zero block's filter, weights, and number of zero blocks before it."""
    filters, filter_lines, length = lines(weight.shape)
    by_line = weight.reshape(filters, filter_lines, length)
    padded = np.pad(by_line, ((0, 0), (0, 0), (0, -length % block)))
    blocks = padded.reshape(filters, -1, block)
    owner, position = np.nonzero(blocks.any(axis=-1))
    first = np.diff(owner, prepend=-1) != 0
    before = np.where(first, -1, np.roll(position, 1))
    return owner, blocks[owner, position], position - before - 1


def _counts(filters: int, owner: Int64Array, inserted: Int64Array) -> Int64Array:
    counts = np.zeros(filters, np.int64)
    np.add.at(counts, owner, inserted + 1)
    return counts
