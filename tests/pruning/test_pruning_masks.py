from math import floor

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tinyformer.errors import ConfigError
from tinyformer.pruning import block_scores, layer_masks, one_shot, sparsity_report, to_blocks
from tinyformer.search_space import BlockSparsity

torch.set_num_threads(1)


def network(channels=7, seed=0):
    model = nn.Sequential(
        nn.Conv2d(5, channels, 3),
        nn.Conv2d(channels, channels, 3, groups=channels),
        nn.Flatten(),
        nn.Linear(channels, 6),
    )
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        nn.init.normal_(parameter, generator=generator)
    return model


@given(
    sparsity=st.floats(0, 0.99),
    blocks=st.tuples(st.sampled_from([2, 4]), st.sampled_from([2, 4])),
    channels=st.integers(2, 9),
    score=st.sampled_from(["l2", "l1"]),
    seed=st.integers(0, 100),
)
def test_the_lowest_blocks_and_no_others_become_zero(sparsity, blocks, channels, score, seed):
    model, dense = network(channels, seed), network(channels, seed)
    targets = {
        "0": BlockSparsity(sparsity, blocks[0]),
        "1": BlockSparsity(sparsity, 3),
        "3": BlockSparsity(sparsity, blocks[1]),
    }
    masks = one_shot(model, targets, score)
    for name, target in targets.items():
        depthwise = name == "1"
        before, after = dense.get_submodule(name).weight, model.get_submodule(name).weight
        scores = block_scores(before, target.block, depthwise, score).flatten()
        zero = (to_blocks(after, target.block, depthwise) == 0).all(-1).flatten()
        assert int(zero.sum()) == floor(sparsity * len(scores) + 0.5)
        assert not zero.any() or zero.all() or scores[zero].max() <= scores[~zero].min()
        kept = after != 0
        assert torch.equal(after[kept], before[kept])
        assert torch.equal(masks[name] != 0, kept)
        assert torch.equal(dense.get_submodule(name).bias, model.get_submodule(name).bias)


def test_masks_keep_the_memory_layout():
    model = network().to(memory_format=torch.channels_last)
    mask = layer_masks(model, {"0": BlockSparsity(0.5, 2)})["0"]
    assert mask.stride() == model[0].weight.stride()


def test_of_equal_blocks_the_first_goes_first():
    model = nn.Sequential(nn.Linear(8, 2))
    nn.init.ones_(model[0].weight)
    mask = layer_masks(model, {"0": BlockSparsity(0.3, 2)})["0"]
    assert mask.tolist() == [[0, 0, 0, 0, 1, 1, 1, 1], [1] * 8]


def test_pruning_again_changes_nothing():
    model = network()
    targets = {"0": BlockSparsity(0.6, 4), "1": BlockSparsity(0.6, 3)}
    first = one_shot(model, targets)
    again = layer_masks(model, targets)
    assert all(torch.equal(first[name], again[name]) for name in targets)


def test_the_report_counts_weights_and_blocks():
    model = network(channels=6)
    targets = {"0": BlockSparsity(0.5, 4), "1": BlockSparsity(0.0, 3)}
    one_shot(model, targets)
    report = sparsity_report(model, targets)
    conv, depthwise = report.layers
    assert (conv.weights, conv.blocks, conv.zero_blocks) == (6 * 5 * 9, 6 * 9 * 2, 54)
    assert conv.block_sparsity == 0.5
    assert conv.zero_weights == int((model[0].weight == 0).sum())
    assert conv.weight_sparsity < 0.5  # padded blocks hold fewer weights, and go first
    assert (depthwise.blocks, depthwise.zero_blocks, depthwise.target) == (18, 0, 0.0)
    assert report.weights == conv.weights + depthwise.weights
    assert report.nonzero_weights == report.weights - conv.zero_weights
    assert report.weight_sparsity == pytest.approx(conv.zero_weights / report.weights)
    assert sparsity_report(model, {}).weight_sparsity == 0.0


@pytest.mark.parametrize(
    ("name", "block", "expected"),
    [
        ("conv", 2, "the model has no layer 'conv'"),
        ("2", 2, "layer 2 is a Flatten; allowed: linear, depthwise or ungrouped convolution"),
        ("0", 3, "layer 0 in blocks of 3; allowed: 2, 4"),
        ("1", 2, "layer 1 in blocks of 2; allowed: 3"),
    ],
)
def test_wrong_targets_are_refused(name, block, expected):
    model = network()
    for function in (one_shot, layer_masks, sparsity_report):
        with pytest.raises(ConfigError, match=expected):
            function(model, {name: BlockSparsity(0.5, block)})
