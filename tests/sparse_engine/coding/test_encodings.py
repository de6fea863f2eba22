"""The contract of every weight encoding: it gives the weights back, and its sizes are what it says."""

from __future__ import annotations

from math import ceil, prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinyformer.sparse_engine import coding
from tinyformer.sparse_engine.coding import BlockDensity, EncodedWeights, Encoding
from tinyformer.sparse_engine.coding.block_bitmap import BlockBitmap
from tinyformer.sparse_engine.coding.block_rle import BlockRle
from tinyformer.sparse_engine.coding.block_rle4 import BlockRle4

KNOWN = coding.ENCODINGS
SPARSE: tuple[Encoding, ...] = tuple(encoding for name, encoding in KNOWN.items() if name != "dense")
ENCODINGS = [("dense", 1), *((encoding.name, block) for encoding in SPARSE for block in (2, 3, 4))]
every_encoding = pytest.mark.parametrize(("name", "block"), ENCODINGS)
SHAPES = [(1, 1), (5, 12), (3, 7), (4, 3, 3), (6, 5, 4), (2, 3, 3, 8), (3, 1, 1, 6), (2, 2, 3, 1)]


def sparse(shape: tuple[int, ...], sparsity: float, block: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    weight = rng.integers(1, 128, shape) * rng.choice([-1, 1], shape)
    blocks = ceil(shape[-1] / block)
    keep = np.repeat(rng.random((*shape[:-1], blocks)) >= sparsity, block, axis=-1)[..., : shape[-1]]
    return (weight * keep).astype(np.int8)


@st.composite
def weights(draw: st.DrawFn) -> np.ndarray:
    shape = draw(hnp.array_shapes(min_dims=2, max_dims=4, max_side=9))
    elements = st.sampled_from([0, 0, 0, 0, 1, -1, 127, -128])
    return draw(hnp.arrays(np.int8, shape, elements=elements))


def check(encoding: Encoding, weight: np.ndarray, block: int) -> EncodedWeights:
    encoded = encoding.encode(weight, block)
    decoded = encoding.decode(encoded)
    assert decoded.dtype == np.int8
    np.testing.assert_array_equal(decoded, weight)
    assert encoded.nbytes == encoding.nbytes(weight, block) == sum(p.array.nbytes for p in encoded.planes)
    assert (encoded.encoding, encoded.block, encoded.shape) == (encoding.name, block, weight.shape)
    stored = encoded.plane("values").size // block if encoding.name != "dense" else 0
    assert encoding.blocks_in(encoded.nbytes, weight.shape, block) == stored
    assert all(plane.array.flags.c_contiguous for plane in encoded.planes)
    return encoded


@every_encoding
@given(weight=weights())
@settings(max_examples=60, deadline=None)
def test_decoding_gives_the_weights_back(name: str, block: int, weight: np.ndarray):
    check(KNOWN[name], weight, block)


@every_encoding
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("sparsity", [0.0, 0.5, 1.0])
def test_shapes_and_sparsities(name: str, block: int, shape: tuple[int, ...], sparsity: float):
    check(KNOWN[name], sparse(shape, sparsity, block), block)


@every_encoding
@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.6, 0.9, 0.999])
@pytest.mark.parametrize("shape", [(32, 3, 3, 64), (16, 4096), (8, 1, 1, 10), (4, 3001)])
def test_expected_bytes(name: str, block: int, sparsity: float, shape: tuple[int, ...]):
    """The mean over random weights is the expected size, to two standard errors or half a percent."""
    encoding = KNOWN[name]
    sizes = [encoding.nbytes(sparse(shape, sparsity, block, seed), block) for seed in range(20)]
    expected = encoding.expected_nbytes(shape, block, BlockDensity(sparsity, block))
    assert expected == pytest.approx(np.mean(sizes), rel=0.005, abs=1 + 2.5 * np.std(sizes) / 20**0.5)


@pytest.mark.parametrize("pruned", [2, 4, 8])
@pytest.mark.parametrize("block", [2, 4])
@pytest.mark.parametrize("encoding", SPARSE, ids=lambda encoding: encoding.name)
def test_expected_bytes_of_other_blocks(encoding: Encoding, pruned: int, block: int):
    """Weights pruned in blocks of one size take the expected bytes when coded in blocks of another."""
    for shape, sparsity in (((16, 3, 3, 64), 0.7), ((8, 20000), 0.995), ((16, 1, 1, 30), 0.5)):
        sizes = [encoding.nbytes(sparse(shape, sparsity, pruned, seed), block) for seed in range(20)]
        expected = encoding.expected_nbytes(shape, block, BlockDensity(sparsity, pruned))
        assert expected == pytest.approx(np.mean(sizes), rel=0.01, abs=1 + 2.5 * np.std(sizes) / 20**0.5)


def test_dense_layouts():
    dense = coding.ENCODINGS["dense"]
    linear = sparse((5, 6), 0.3, 1)
    np.testing.assert_array_equal(dense.encode(linear, 1).plane("weights"), np.pad(linear, ((0, 0), (0, 2))))
    conv = sparse((2, 1, 3, 3), 0.3, 1)
    np.testing.assert_array_equal(dense.encode(conv, 1).plane("weights"), np.pad(conv.reshape(2, 9), ((0, 0), (0, 3))))
    depthwise = sparse((5, 3, 2), 0.3, 1)
    plane = dense.encode(depthwise, 1).plane("weights")
    assert plane.shape == (3, 2, 5)
    assert plane[2, 1, 4] == depthwise[4, 2, 1]


def test_block_rle_by_hand():
    weight = np.zeros((3, 1, 2, 5), np.int8)
    weight[0, 0, 0, 2:4] = 7, -8  # block 1 of the first filter
    weight[0, 0, 1, 4] = 9  # block 5: the first of its second position's tail
    weight[2, 0, 0, 0] = -1
    encoded = BlockRle().encode(weight, 2)
    assert {p.name: p.array.tolist() for p in encoded.planes} == {
        "counts": [2, 0, 1],
        "distances": [1, 3, 0],
        "values": [7, -8, 9, 0, -1, 0],
    }
    assert [p.array.dtype.name for p in encoded.planes] == ["uint16", "uint8", "int8"]
    assert encoded.nbytes == 3 * 2 + 3 * (1 + 2)


@pytest.mark.parametrize(
    ("gap", "distances"),
    [
        (255, [255]),
        (256, [255, 0]),
        (257, [255, 1]),
        (511, [255, 255]),
        (512, [255, 255, 0]),
        (1000, [255, 255, 255, 232]),
    ],
)
def test_far_blocks_need_inserted_zero_blocks(gap: int, distances: list[int]):
    weight = np.zeros((1, 4 * (gap + 1)), np.int8)
    weight[0, -1] = 5
    encoded = check(BlockRle(), weight, 4)
    assert encoded.plane("distances").tolist() == distances
    assert encoded.plane("values").reshape(-1, 4)[:-1].any() == np.False_


def test_block_rle4_by_hand():
    """Eight distances a word, the second four in the high halves; of 16 zero blocks one is stored."""
    weight = np.zeros((4, 60), np.int8)
    weight[0, [2, 8, 11]] = 1, 2, 3  # blocks 1, 4, 5
    weight[2, [32, 36]] = 4, 5  # blocks 16 and 18: of the 16 before, the last is stored
    weight[3, [6, 30, 32]] = 6, 7, 8  # blocks 3, 15, 16
    encoded = check(BlockRle4(), weight, 2)
    assert {p.name: p.array.tolist() for p in encoded.planes} == {
        "counts": [3, 0, 3, 3],
        "distances": [0xBF301201, 0x00000000],
        "values": [1, 0, 2, 0, 0, 3, 0, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8, 0],
    }
    assert [p.array.dtype.name for p in encoded.planes] == ["uint16", "uint32", "int8"]


def test_block_bitmap_by_hand():
    """Bits from the top of each word, the filters' one after the other."""
    weight = np.zeros((2, 36), np.int8)
    weight[0, [0, 19]] = 1, 2  # blocks 0 and 9
    weight[1, [0, 34]] = 4, 3  # blocks 0 and 17: 18 and 35 of all
    encoded = check(BlockBitmap(), weight, 2)
    assert {p.name: p.array.tolist() for p in encoded.planes} == {
        "bitmap": [1 << 31 | 1 << 22 | 1 << 13, 1 << 28],
        "values": [1, 0, 0, 2, 4, 0, 3, 0],
    }
    assert [p.array.dtype.name for p in encoded.planes] == ["uint32", "int8"]


@pytest.mark.parametrize("gap", [15, 16, 17, 255, 256, 257, 511, 512, 1000])
@pytest.mark.parametrize("encoding", SPARSE, ids=lambda encoding: encoding.name)
def test_distances_beyond_a_code_are_made_of_zero_blocks(encoding: Encoding, gap: int):
    weight = np.zeros((1, 4 * (gap + 1)), np.int8)
    weight[0, -1] = 5
    encoded = check(encoding, weight, 4)
    step = 16 if encoding.name == "block_rle4" else 256
    assert encoded.plane("values").size == 4 * (1 + gap // step)


@pytest.mark.parametrize(
    ("sparsity", "block", "least"), [(0.6, 4, 0.10), (0.75, 4, 0.09), (0.6, 2, 0.12), (0.75, 2, 0.12)]
)
def test_smaller_than_the_papers_code(sparsity: float, block: int, least: float):
    """At 60 to 75 % sparsity the smaller of the two codes saves a tenth or more."""
    for shape in ((64, 3, 3, 64), (192, 64), (64, 192)):
        weight = sparse(shape, sparsity, block)
        paper = BlockRle().nbytes(weight, block)
        best = min(BlockRle4().nbytes(weight, block), BlockBitmap().nbytes(weight, block))
        assert best <= (1 - least) * paper


@pytest.mark.parametrize(
    ("encoding", "extra"),
    [(BlockRle(), 2 + 65535), (BlockRle4(), 2 + 32768), (BlockBitmap(), 8192)],
    ids=lambda value: getattr(value, "name", ""),
)
def test_too_many_blocks_in_a_filter(encoding: Encoding, extra: int):
    weight = np.ones((1, 2 * 65535), np.int8)
    assert encoding.nbytes(weight, 2) == extra + 2 * 65535
    weight = np.ones((1, 2 * 65536), np.int8)
    assert encoding.nbytes(weight, 2) is None
    assert encoding.expected_nbytes(weight.shape, 2, BlockDensity(0.0, 2)) is None
    with pytest.raises(ValueError, match="more than 65535 blocks of 2"):
        encoding.encode(weight, 2)


@pytest.mark.parametrize("sparsity", [0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("block", [2, 4])
def test_bytes_against_equation_2(sparsity: float, block: int):
    """Eq. 2 leaves out the counts and inserted blocks: with them real layers take a little more."""
    shape = (64, 3, 3, 64)
    encoded = BlockRle().encode(sparse(shape, sparsity, block), block)
    real = prod(shape) / encoded.nbytes
    estimate = coding.compression_ratio(sparsity, block)
    without_counts = prod(shape) / (encoded.nbytes - encoded.plane("counts").nbytes)
    assert real < without_counts == pytest.approx(estimate, rel=0.03)
    assert real == pytest.approx(estimate, rel=0.06)


@pytest.mark.parametrize("arguments", [(-0.1, 2), (1.1, 2), (0.5, 0)])
def test_impossible_densities(arguments: tuple[float, int]):
    with pytest.raises(ValueError, match="expected 0 to 1"):
        BlockDensity(*arguments)
