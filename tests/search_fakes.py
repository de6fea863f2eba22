"""Networks that are a few numbers, for searches that run in milliseconds, and a search that dies where one wants."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinyformer.errors import TrainingError
from tinyformer.resources import Resources
from tinyformer.search_space import (
    Path,
    SparsityConfig,
    SupernetConfig,
    count_parameters,
)
from tinyformer.sparsenas.actions import PruningRun, QuantizedRun, SparsenasActions
from tinyformer.study import Arrays
from tinyformer.supernas.actions import SupernasActions


class Killed(BaseException):
    """The process is gone."""


@dataclass
class Calls:
    """Counts the calls of all actions, in order; raises ``Killed`` instead of the n-th one."""

    kill_at: int | None = None
    names: list[str] = field(default_factory=list)

    def __call__(self, name: str) -> None:
        if self.kill_at == len(self.names):
            raise Killed(name)
        self.names.append(name)


def fraction(*parts: object) -> float:
    """Return a number in [0, 1) that depends on the parts only."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


@dataclass
class FakeNet:
    """A supernet or a model: what was done to it, and the numbers that came of it."""

    config: SupernetConfig
    value: float
    history: tuple[object, ...] = ()
    path: Path | None = None

    def did(self, *step: object) -> None:
        self.history += (step,)
        self.value = fraction(self.value, step)

    def arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        return {"value": np.array([self.value])}


def fake_resources(config: SupernetConfig, path: Path, sparsity: SparsityConfig) -> Resources:
    """Flash falls with sparsity; RAM depends on supernet and path only."""
    parameters = count_parameters(config, path)
    kept = 1 - sum(block.sparsity for block in sparsity.blocks) / len(sparsity.blocks)
    weight_bytes = int(parameters * kept)
    arena_bytes = 10_000 + int(20_000 * fraction(config.dots, path.choices))
    return Resources(weight_bytes + 8_000, arena_bytes + 4_000, arena_bytes, weight_bytes, parameters, weight_bytes)


def supernas_actions(calls: Callable[[str], None]) -> SupernasActions[FakeNet, FakeNet]:
    def build(config: SupernetConfig, seed: int) -> FakeNet:
        calls("build")
        return FakeNet(config, fraction(config, seed))

    def train(net: FakeNet, epochs: int, seed: int, name: str) -> None:
        calls("train")
        net.did("train", epochs, seed)

    def weights(net: FakeNet) -> Arrays:
        calls("weights")
        return net.arrays()

    def restore(config: SupernetConfig, arrays: Arrays) -> FakeNet:
        calls("restore")
        return FakeNet(config, float(arrays["value"][0]))

    def extract(net: FakeNet, path: Path) -> FakeNet:
        calls("extract")
        return FakeNet(net.config, fraction(net.value, path), path=path)

    def prune(net: FakeNet, sparsity: SparsityConfig) -> None:
        calls("prune")
        net.did("prune", sparsity)

    def accuracy(net: FakeNet) -> float:
        calls("accuracy")
        return net.value

    return SupernasActions(build, train, weights, restore, extract, prune, accuracy)


def sparsenas_actions(
    calls: Callable[[str], None], diverges: Callable[[Path], bool] = lambda path: False
) -> SparsenasActions[FakeNet]:
    def inherit(config: SupernetConfig, path: Path, arrays: Arrays) -> FakeNet:
        calls("inherit")
        return FakeNet(config, fraction(float(arrays["value"][0]), path), path=path)

    def restore(config: SupernetConfig, path: Path, arrays: Arrays) -> FakeNet:
        calls("restore")
        return FakeNet(config, float(arrays["value"][0]), path=path)

    def train(net: FakeNet, epochs: int, seed: int, name: str) -> None:
        calls("train")
        assert net.path is not None
        if diverges(net.path):
            raise TrainingError("training diverged in epoch 1: the loss is nan")
        net.did("train", epochs, seed)

    def prune(net: FakeNet, sparsity: SparsityConfig, run: PruningRun) -> None:
        calls("prune")
        if run.checkpoint is not None:
            run.checkpoint.parent.mkdir(parents=True, exist_ok=True)
            run.checkpoint.write_text("half way")
        calls("prune on")
        net.did("prune", sparsity, run.ramp_epochs, run.epochs, run.seed)

    def train_quantized(net: FakeNet, sparsity: SparsityConfig, run: QuantizedRun) -> None:
        calls("train_quantized")
        run.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        run.checkpoint.write_text("half way")
        calls("train_quantized on")
        net.did("train_quantized", sparsity, run.epochs, run.learning_rate, run.seed)

    def weights(net: FakeNet) -> Arrays:
        calls("weights")
        return net.arrays()

    def accuracy(net: FakeNet) -> float:
        calls("accuracy")
        return net.value

    def judge(net: FakeNet, sparsity: SparsityConfig) -> float:
        calls("judge")
        net.did("judge", sparsity)
        return net.value

    def int8_accuracy(net: FakeNet) -> float:
        calls("int8_accuracy")
        return net.value * 0.99

    return SparsenasActions(inherit, restore, train, prune, train_quantized, weights, accuracy, judge, int8_accuracy)
