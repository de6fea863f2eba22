"""Stratified splits."""

from __future__ import annotations

from math import ceil

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.intp]

TEST_FRACTION = 0.2
_TEST_SEED = 2024


def stratified(
    labels: npt.NDArray[np.int64], fraction: float, generator: np.random.Generator
) -> tuple[Indices, Indices]:
    """Split indices into a kept and a held-out part with the same share of every class.

    Held out is ``fraction`` of each class, rounded up; a class keeps at least one sample.

    Args:
        labels: (N,).
        fraction: 0 .. 1.
        generator: draws the samples.

    Returns:
        Kept and held-out indices, both ascending.
    """
    held = np.zeros(len(labels), np.bool_)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = min(ceil(round(fraction * len(members), 9)), len(members) - 1)
        held[generator.permutation(members)[:count]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def hold_out_test(labels: npt.NDArray[np.int64]) -> tuple[Indices, Indices]:
    """Split off a stratified fifth for testing: always the same, whatever a run's seed, so that no run trains on it."""
    return stratified(labels, TEST_FRACTION, np.random.default_rng(_TEST_SEED))
