"""What callbacks see of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import nan
from time import monotonic
from typing import Protocol

from torch import Tensor, nn

from tinyformer.training.log import EpochRow
from tinyformer.training.settings import TrainingSettings


@dataclass
class TrainingState:
    """Where a run is.

    Attributes:
        model: being trained.
        average: holds the average of its weights, or None.
        settings: the recipe.
        batch_size: images per step.
        steps_per_epoch: optimiser steps in an epoch.
        epoch: epochs done.
        step: optimiser steps done.
        learning_rate: of the last step.
        rows: one per epoch done.
        stop: a callback that sets it ends the run after the epoch.
    """

    model: nn.Module
    average: nn.Module | None
    settings: TrainingSettings
    batch_size: int
    steps_per_epoch: int
    epoch: int = 0
    step: int = 0
    learning_rate: float = nan
    rows: list[EpochRow] = field(default_factory=list)
    stop: bool = False
    _last_loss: Tensor | None = None
    _started_s: float = field(default_factory=monotonic)
    _first_step: int = 0

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.settings.epochs * self.steps_per_epoch

    @property
    def loss(self) -> float:
        """Loss of the last step; waits for the device."""
        return nan if self._last_loss is None else float(self._last_loss)

    @property
    def images_per_second(self) -> float:
        """Training images over wall time, validation included, since the run began or resumed."""
        elapsed_s = monotonic() - self._started_s
        return (self.step - self._first_step) * self.batch_size / elapsed_s if elapsed_s > 0 else nan

    @property
    def seconds_left(self) -> float:
        """Estimated wall time to the end of the run; NaN before the first step."""
        rate = self.images_per_second
        return (self.total_steps - self.step) * self.batch_size / rate if rate > 0 else nan

    def begin(self, epoch: int, step: int, rows: list[EpochRow]) -> None:
        """Start the clock at a position in the run."""
        self.epoch, self.step, self.rows = epoch, step, rows
        self._first_step, self._started_s = step, monotonic()


class Callback(Protocol):
    """Is told what happens in a run; may change weights and gradients, and may end the run by ``state.stop``."""

    def on_start(self, state: TrainingState) -> None:
        """Run before the first step, and after a resumed run has its weights back."""
        ...

    def on_gradients(self, state: TrainingState) -> None:
        """Run when the gradients of a step are there, before they are clipped and used."""
        ...

    def on_step(self, state: TrainingState) -> None:
        """Run after each optimiser step and update of the average."""
        ...

    def on_epoch(self, state: TrainingState) -> None:
        """Run after each epoch and its validation, before its checkpoint."""
        ...


Watch = Callable[[str], Sequence[Callback]]
"""Returns the callbacks that a training is told to, by the training's name, such as ``candidate-0003-pruning``."""


def unwatched(name: str) -> tuple[Callback, ...]:  # noqa: ARG001 - a Watch
    """Return no callbacks."""
    return ()
