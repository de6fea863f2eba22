from math import prod

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tinyformer.sparse_engine.ops import Reshape, Transpose
from tinyformer.sparse_engine.passes.movement import Movement

SHAPES = [(2, 3, 4), (6, 4), (24,), (4, 3, 2), (2, 2, 3, 2), (1, 24), (3, 8), (2, 1, 3, 4), (8, 3)]


def applied(values, operators):
    for op in operators:
        values = values.reshape(op.shape) if isinstance(op, Reshape) else values.transpose(op.permutation)
    return values


@st.composite
def chains(draw):
    shape = source = draw(st.sampled_from(SHAPES))
    chain = []
    for _ in range(draw(st.integers(1, 6))):
        if draw(st.booleans()):
            shape = draw(st.sampled_from(SHAPES))
            chain.append(Reshape(shape))
        else:
            permutation = draw(st.permutations(range(len(shape))))
            chain.append(Transpose(tuple(permutation)))
            shape = tuple(shape[axis] for axis in permutation)
    return source, chain


@given(chains())
def test_canonical_chain_moves_elements_like_the_chain(case):
    source, chain = case
    positions = np.arange(prod(source)).reshape(source)
    movement = Movement.none(source)
    for op in chain:
        following = movement.then(op)
        if following is None:  # no single permutation: nothing is claimed
            return
        movement = following
    canonical = movement.operators()
    expected, actual = applied(positions, chain), applied(positions, canonical)
    assert actual.shape == expected.shape == movement.shape
    assert np.array_equal(actual, expected)
    assert [type(op) for op in canonical].count(Transpose) <= 1
    assert len(canonical) <= 3
    if np.array_equal(expected.reshape(-1), np.arange(prod(source))):
        assert Transpose not in [type(op) for op in canonical]


@given(chains(), st.data())
def test_equal_movement_has_one_canonical_chain(case, data):
    source, chain = case
    detour = [*chain]
    at = data.draw(st.integers(0, len(chain)))
    detour[at:at] = [Reshape((24,)), Reshape(applied(np.zeros(source), chain[:at]).shape)]
    canonical = []
    for ops in (chain, detour):
        movement = Movement.none(source)
        for op in ops:
            movement = movement and movement.then(op)
        canonical.append(movement and movement.operators())
    assert canonical[0] == canonical[1]


def operators(source, *chain):
    movement = Movement.none(source)
    for op in chain:
        movement = movement.then(op)
    return movement.operators()


def test_channels_first_and_back_is_nothing():
    assert operators((4, 5, 3), Transpose((2, 0, 1)), Transpose((1, 2, 0))) == ()


def test_tokens_of_an_image_are_a_reshape():
    chain = (Transpose((2, 0, 1)), Reshape((3, 20)), Transpose((1, 0)))
    assert operators((4, 5, 3), *chain) == (Reshape((20, 3)),)


def test_image_of_tokens_ends_in_a_transpose_that_can_move_on():
    chain = (Transpose((1, 0)), Reshape((3, 4, 5)))
    assert operators((20, 3), *chain) == (Reshape((4, 5, 3)), Transpose((2, 0, 1)))


def test_merged_heads_end_in_a_reshape():
    assert operators((2, 9, 4), Transpose((1, 0, 2)), Reshape((9, 8))) == (Transpose((1, 0, 2)), Reshape((9, 8)))


def test_moving_an_axis_of_one_is_a_reshape():
    assert operators((5, 1, 4), Transpose((1, 0, 2))) == (Reshape((1, 5, 4)),)


def test_single_transpose_stays_single_with_axes_of_one():
    assert operators((2, 1, 3), Transpose((2, 1, 0))) == (Transpose((2, 1, 0)),)


def test_reshape_that_tears_an_axis_stops_the_chain():
    movement = Movement.none((2, 3)).then(Transpose((1, 0))).then(Reshape((2, 3)))
    assert movement.operators() == (Transpose((1, 0)), Reshape((2, 3)))
    assert movement.then(Transpose((1, 0))) is None
