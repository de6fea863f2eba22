"""The arena of the models that the search produces is at most 5 % over the lower bound."""

from __future__ import annotations

import numpy as np
import pytest

from tinyformer import boards
from tinyformer.resources import lower
from tinyformer.search_space import PRESETS, layer_sparsities, preset, sample_path, sample_sparsity, sample_supernet
from tinyformer.sparse_engine import memory
from tinyformer.sparse_engine.coding import BlockDensity
from tinyformer.sparse_engine.layout import Budget, Layout, lay_out

BOARD = boards.load("stm32f746g-disco")
PATHS = 6


def layouts(name: str) -> list[Layout]:
    space, rng = preset(name), np.random.default_rng(3)
    found = []
    for _ in range(PATHS):
        config = sample_supernet(space, rng)
        path = sample_path(config, rng)
        sparsities = layer_sparsities(config, path, sample_sparsity(space, config, rng))
        densities = {name: BlockDensity(s.sparsity, s.block) for name, s in sparsities.items() if s.sparsity}
        graph = lower(config, path)
        found.append(lay_out(graph, BOARD, Budget(2**62, 2**62), "size", densities=densities))
        memory.verify(graph, found[-1].calls, found[-1].plan)
    return found


@pytest.mark.parametrize("name", PRESETS)
def test_sampled_paths(name: str) -> None:
    over = [layout.plan.arena_bytes / layout.plan.lower_bound_bytes for layout in layouts(name)]
    assert max(over) <= 1.05
    assert np.median(over) == 1.0


def test_no_matrix_of_tokens_by_tokens() -> None:
    """At 256 tokens it would take 64 KB; the small preset's models stay below that as a whole."""
    for layout in layouts("small"):
        attentions = [call for call in layout.calls if call.node.op.kind == "attention"]
        assert attentions
        assert not [call for call in layout.calls if call.node.op.kind == "softmax" and call.params[0][1] > 1]
        assert layout.plan.arena_bytes < 256 * 256
