"""What SparseNAS does to networks, as functions: PyTorch in a run, fakes in a test."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from tinyformer.search_space import Path, SparsityConfig, SupernetConfig
from tinyformer.study import Arrays

M = TypeVar("M")


@dataclass(frozen=True, slots=True)
class PruningRun:
    """One run of iterative pruning: sparsity rises over ``ramp_epochs`` of ``epochs``, then the masks stay.

    ``checkpoint`` is a file from which an interrupted run goes on, ``log`` a table of its epochs with the accuracy on
    the validation split after each; both None for runs too short to matter. ``name`` is what it is recorded under.
    """

    ramp_epochs: int
    epochs: int
    seed: int
    checkpoint: pathlib.Path | None = None
    log: pathlib.Path | None = None
    name: str = "pruning"


@dataclass(frozen=True, slots=True)
class QuantizedRun:
    """One run of quantisation-aware training; the fields are those of ``PruningRun``."""

    epochs: int
    learning_rate: float
    seed: int
    checkpoint: pathlib.Path
    log: pathlib.Path
    name: str = "quantised"


@dataclass(frozen=True, slots=True)
class SparsenasActions(Generic[M]):
    """What Algorithm 3 and stage two do to a single-path model M. Each must be deterministic.

    Attributes:
        inherit: return a path's model with the weights it has in a supernet's weights.
        restore: return a path's model with its own weights.
        train: train a model for epochs; the second integer seeds the order of data, the string names the training.
        prune: prune a model to a sparsity configuration by AGP while it trains.
        train_quantized: train a pruned model as its int8 version computes; zero blocks stay zero.
        weights: return a model's weights.
        accuracy: return a float model's accuracy on the validation split, 0 to 1.
        judge: prune a model that has just inherited its weights in one shot, and return its accuracy there, untrained.
        int8_accuracy: quantise a model after training (PTQ) and return the int8 model's accuracy there, 0 to 1.
    """

    inherit: Callable[[SupernetConfig, Path, Arrays], M]
    restore: Callable[[SupernetConfig, Path, Arrays], M]
    train: Callable[[M, int, int, str], None]
    prune: Callable[[M, SparsityConfig, PruningRun], None]
    train_quantized: Callable[[M, SparsityConfig, QuantizedRun], None]
    weights: Callable[[M], Arrays]
    accuracy: Callable[[M], float]
    judge: Callable[[M, SparsityConfig], float]
    int8_accuracy: Callable[[M], float]
