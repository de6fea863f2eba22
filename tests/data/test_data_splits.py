import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyformer.data.splits import TEST_FRACTION, hold_out_test, stratified


@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=60),
    fraction=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_split_keeps_every_sample_once_and_every_class(labels, fraction, seed):
    y = np.array(labels, np.int64)
    kept, held = stratified(y, fraction, np.random.default_rng(seed))
    assert sorted([*kept, *held]) == list(range(len(y)))
    assert set(y[kept]) == set(y)
    for label in set(labels):
        members, part = np.sum(y == label), np.sum(y[held] == label)
        assert part == min(int(np.ceil(round(fraction * members, 9))), members - 1)


def test_the_seed_draws_the_samples():
    y = np.repeat(np.arange(3), 20)
    first, again, other = (stratified(y, 0.5, np.random.default_rng(seed))[1] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_test_split_is_always_the_same():
    y = np.repeat(np.arange(10), 10)
    kept, held = hold_out_test(y)
    assert np.array_equal(held, hold_out_test(y)[1])
    assert len(held) == pytest.approx(TEST_FRACTION * len(y))
    assert not set(kept) & set(held)
