import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tinyformer.errors import ConfigError
from tinyformer.pruning import allowed_blocks, block_scores, from_blocks, to_blocks

torch.set_num_threads(1)


def engine_blocks(weight, block, depthwise):
    """Blocks as the runtime's header tells them, from weights in the engine's layout."""
    canonical = weight.numpy()
    if depthwise:
        canonical = canonical[:, 0]  # (C, kh, kw)
    elif weight.ndim == 4:
        canonical = canonical.transpose(0, 2, 3, 1)  # (O, kh, kw, I)
    else:
        canonical = canonical[:, None, None, :]
    tail = -canonical.shape[-1] % block
    filters = []
    for one in canonical:
        blocks = []
        for row in one.reshape(-1, one.shape[-1]):  # kernel positions in (ky, kx) order; kernel rows of a depthwise
            padded = [*row.tolist(), *([0.0] * tail)]
            blocks += [padded[i : i + block] for i in range(0, len(padded), block)]
        filters.append(blocks)
    return np.array(filters, np.float32)


dimensions = st.integers(1, 7)
cases = st.one_of(
    st.tuples(st.just(False), st.sampled_from([2, 4]), st.tuples(dimensions, dimensions)),
    st.tuples(
        st.just(False), st.sampled_from([2, 4]), st.tuples(dimensions, dimensions, st.integers(1, 3), st.integers(1, 3))
    ),
    st.tuples(st.just(True), st.just(3), st.tuples(dimensions, st.just(1), st.integers(1, 5), st.integers(1, 5))),
)


@given(cases)
def test_blocks_are_those_of_the_engine(case):
    depthwise, block, shape = case
    weight = torch.arange(1.0, 1.0 + int(np.prod(shape))).reshape(shape)
    blocks = to_blocks(weight, block, depthwise)
    assert np.array_equal(blocks.numpy(), engine_blocks(weight, block, depthwise))
    assert torch.equal(from_blocks(blocks, weight.shape, block, depthwise), weight)


def test_scores_are_norms():
    weight = torch.tensor([[3.0, -4.0, 1.0], [0.0, 0.0, -2.0]])
    assert block_scores(weight, 2).tolist() == [[5.0, 1.0], [0.0, 2.0]]
    assert block_scores(weight, 2, score="l1").tolist() == [[7.0, 1.0], [0.0, 2.0]]
    with pytest.raises(ConfigError, match="score 'max'; allowed: l2, l1"):
        block_scores(weight, 2, score="max")


@pytest.mark.parametrize(
    ("module", "blocks"),
    [
        (nn.Conv2d(4, 8, 3), (2, 4)),
        (nn.Conv2d(1, 1, 3), (2, 4)),
        (nn.Linear(4, 8), (2, 4)),
        (nn.Conv2d(8, 8, 3, groups=8), (3,)),
        (nn.Conv2d(8, 16, 3, groups=8), ()),
        (nn.Conv2d(8, 8, 3, groups=2), ()),
        (nn.BatchNorm2d(8), ()),
    ],
)
def test_block_sizes_are_those_with_a_sparse_kernel(module, blocks):
    assert allowed_blocks(module) == blocks
