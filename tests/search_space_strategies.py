"""Hypothesis strategies over search spaces and what is sampled from them."""

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from tinyformer.search_space import (
    DotSpace,
    Path,
    SearchSpace,
    SparsityConfig,
    SupernetConfig,
    sample_path,
    sample_sparsity,
    sample_supernet,
)


class Sample(NamedTuple):
    space: SearchSpace
    config: SupernetConfig
    path: Path
    sparsity: SparsityConfig


def _choices(least: int, most: int, step: int = 1) -> st.SearchStrategy[tuple[int, ...]]:
    values = st.integers(least, most).map(lambda n: n * step)
    return st.lists(values, min_size=1, max_size=3, unique=True).map(tuple)


@st.composite
def search_spaces(draw: st.DrawFn, largest: int = 17) -> SearchSpace:
    """Spaces over images of any proportions, with channels that fill no block evenly."""
    sides = st.integers(1, largest)
    dots = tuple(
        DotSpace(
            draw(_choices(1, 12)),
            draw(_choices(1, 12)),
            draw(_choices(0, 2)),
            draw(_choices(1, 12)),
            draw(_choices(1, 6, step=2)),  # the default candidates have one or two heads
            draw(_choices(0, 2)),
        )
        for _ in range(draw(st.integers(1, 2)))
    )
    return SearchSpace(
        name="drawn",
        input_shape=(draw(sides), draw(sides), draw(st.integers(1, 3))),
        classes=draw(st.integers(2, 5)),
        dots=dots,
        transformer=draw(st.booleans()),
    )


@st.composite
def samples(draw: st.DrawFn, largest: int = 17) -> Sample:
    """A space with a supernet, a path and a sparsity configuration drawn from it."""
    space = draw(search_spaces(largest))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    config = sample_supernet(space, rng)
    return Sample(space, config, sample_path(config, rng), sample_sparsity(space, config, rng))
