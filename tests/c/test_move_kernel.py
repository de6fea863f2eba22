"""Transpose, slice and concatenation by strided copies equal NumPy and the reference's operators."""

from __future__ import annotations

import ctypes
from itertools import permutations
from math import prod

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from activation_cases import FILL, GUARD, Structs, integers

HYPOTHESIS = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=120)


def move(
    source: np.ndarray, target: np.ndarray, base: tuple[np.ndarray, np.ndarray], runtime: ctypes.CDLL, structs: Structs
) -> None:
    """Copy one view onto another of equal shape; ``base`` are the arrays that own their memory."""
    leading = 4 - source.ndim
    params = structs["se_move_params"](
        shape=(ctypes.c_int32 * 4)(*(1,) * leading, *source.shape),
        input_stride=(ctypes.c_int32 * 4)(*(0,) * leading, *source.strides),
        output_stride=(ctypes.c_int32 * 4)(*(0,) * leading, *target.strides),
        input_offset=source.ctypes.data - base[0].ctypes.data,
        output_offset=target.ctypes.data - base[1].ctypes.data,
    )
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in base]
    runtime.se_move_s8(ctypes.byref(params), *pointers)


def guarded(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """An output full of rubbish, and the larger array that it lies in."""
    memory = np.full(prod(shape) + 2 * GUARD, FILL, np.int8)
    return memory[GUARD:-GUARD].reshape(shape), memory


def check_guards(memory: np.ndarray) -> None:
    assert np.all(memory[:GUARD] == FILL)
    assert np.all(memory[-GUARD:] == FILL)


@pytest.mark.parametrize("shape", [(5,), (3, 4), (7, 9), (2, 3, 5), (1, 16, 4), (2, 3, 4, 5), (3, 1, 17, 2)])
def test_every_transpose(shape: tuple[int, ...], runtime: ctypes.CDLL, structs: Structs) -> None:
    x = integers(np.random.default_rng(0), shape)
    for permutation in permutations(range(len(shape))):
        expected = x.transpose(permutation)
        output, memory = guarded(expected.shape)
        move(expected, output, (x, output), runtime, structs)
        np.testing.assert_array_equal(output, expected)
        check_guards(memory)


@pytest.mark.parametrize("permutation", list(permutations(range(3))))
def test_scatter_into_a_transposed_output(permutation: tuple[int, ...], runtime: ctypes.CDLL, structs: Structs) -> None:
    """The output's inner axis strides too, as when a concatenation runs over the last axis of one element."""
    x = integers(np.random.default_rng(1), (4, 6, 9))
    output, memory = guarded(tuple(np.array(x.shape)[list(permutation)]))
    move(x, output.transpose(np.argsort(permutation)), (x, output), runtime, structs)
    np.testing.assert_array_equal(output, x.transpose(permutation))
    check_guards(memory)


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 20, 31, 32, 33, 63, 64, 65, 100])
def test_runs_of_every_length(length: int, runtime: ctypes.CDLL, structs: Structs) -> None:
    x = integers(np.random.default_rng(2), (3, length + 2))
    source = x[:, 1:-1]
    output, memory = guarded(source.shape)
    move(source, output, (x, output), runtime, structs)
    np.testing.assert_array_equal(output, source)
    check_guards(memory)


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_concatenation_fills_its_part_only(axis: int, runtime: ctypes.CDLL, structs: Structs) -> None:
    rng = np.random.default_rng(3)
    shape = [2, 3, 4, 5]
    parts = []
    for size in (1, 3, 4):
        shape[axis] = size
        parts.append(integers(rng, tuple(shape)))
    expected = np.concatenate(parts, axis)
    output, memory = guarded(expected.shape)
    start = 0
    for part in parts:
        index = [slice(None)] * 4
        index[axis] = slice(start, start + part.shape[axis])
        start += part.shape[axis]
        move(part, output[tuple(index)], (part, output), runtime, structs)
    np.testing.assert_array_equal(output, expected)
    check_guards(memory)


@HYPOTHESIS
@given(data=st.data(), shape=st.lists(st.integers(1, 9), min_size=1, max_size=4), seed=st.integers(0, 2**32 - 1))
def test_random_slices_of_random_transposes(
    data: st.DataObject, shape: list[int], seed: int, runtime: ctypes.CDLL, structs: Structs
) -> None:
    x = integers(np.random.default_rng(seed), tuple(shape))
    cut = []
    for size in shape:
        start = data.draw(st.integers(0, size - 1))
        stop = data.draw(st.integers(start + 1, size))
        cut.append(slice(start, stop, data.draw(st.integers(1, 3))))
    source = x[tuple(cut)].transpose(data.draw(st.permutations(range(len(shape)))))
    output, memory = guarded(source.shape)
    move(source, output, (x, output), runtime, structs)
    np.testing.assert_array_equal(output, source)
    check_guards(memory)
