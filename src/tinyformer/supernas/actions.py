"""What supernet search does to networks, as functions: PyTorch in a run, fakes in a test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from tinyformer.search_space import Path, SparsityConfig, SupernetConfig
from tinyformer.study import Arrays

S = TypeVar("S")
M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class SupernasActions(Generic[S, M]):
    """What Algorithm 2 does to a network: S is a supernet, M a single-path model. Each must be deterministic.

    Attributes:
        build: return the supernet of a configuration; the integer seeds its weights.
        train: train all paths of a supernet for epochs; the second integer seeds the order of data and paths, the
            string names the training.
        weights: return a supernet's weights.
        restore: return the supernet of a configuration with given weights.
        extract: return a path's model, with a copy of the supernet's weights.
        prune: prune a model to a sparsity configuration in one shot.
        accuracy: return a model's accuracy on the validation split, 0 to 1.
    """

    build: Callable[[SupernetConfig, int], S]
    train: Callable[[S, int, int, str], None]
    weights: Callable[[S], Arrays]
    restore: Callable[[SupernetConfig, Arrays], S]
    extract: Callable[[S, Path], M]
    prune: Callable[[M, SparsityConfig], None]
    accuracy: Callable[[M], float]
