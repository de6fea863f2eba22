"""What the stages of a run share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from tinyformer import boards
from tinyformer.boards import Board
from tinyformer.config import RunConfig
from tinyformer.data import Dataset
from tinyformer.errors import ConfigError, DataError, DoesNotFitError
from tinyformer.pipeline.tensorboard import summary_writer
from tinyformer.quantization import InputQuantization, QuantizationSettings
from tinyformer.resources import Limits, ResourceEval, resource_eval
from tinyformer.search_space import SearchSpace
from tinyformer.sparsenas.checkpoint import SparseModel, load_checkpoint
from tinyformer.sparsenas.teacher import Teacher, load_teacher


class Progress(Protocol):
    """Is told what a run is doing."""

    def stage(self, name: str, total: int | None = None) -> None:
        """Begin a stage of ``total`` steps."""
        ...

    def advance(self, done: int, total: int | None = None, note: str = "") -> None:
        """Say that ``done`` steps of the stage are done."""
        ...

    def training(self, step: int, total: int, note: str) -> None:
        """Say that ``step`` of ``total`` optimiser steps are done of a training inside the stage."""
        ...


class Silent:
    """A Progress that says nothing."""

    def stage(self, name: str, total: int | None = None) -> None:
        """Ignore it."""

    def advance(self, done: int, total: int | None = None, note: str = "") -> None:
        """Ignore it."""

    def training(self, step: int, total: int, note: str) -> None:
        """Ignore it."""


@dataclass(frozen=True)
class RunContext:
    """What every stage of a run reads: its configuration and what follows from it, each made once."""

    config: RunConfig
    directory: Path
    progress: Progress
    tensorboard: bool = False
    resumed: bool = False

    @cached_property
    def board(self) -> Board:
        """The target."""
        return boards.load(self.config.board)

    @cached_property
    def limits(self) -> Limits:
        """What the model may take."""
        return self.config.limits.limits(self.board)

    @cached_property
    def dataset(self) -> Dataset:
        """The data, in splits."""
        return self.config.data.load(self.config.seed)

    @cached_property
    def space(self) -> SearchSpace:
        """The search space for this data."""
        return self.config.space.space(self.dataset.input_shape, len(self.dataset.classes))

    @cached_property
    def start(self) -> SparseModel | None:
        """The model of an earlier run that this one goes on from, in place of a search."""
        file = self.config.finetune.start
        if not file:
            return None
        try:
            return load_checkpoint(Path(file), self.dataset.input_shape, len(self.dataset.classes))
        except (ConfigError, DataError) as error:
            raise type(error)(f"[finetune] start: {error}") from error

    @cached_property
    def teacher(self) -> Teacher | None:
        """What stage two learns from beside the labels."""
        file = self.config.finetune.teacher
        return load_teacher(Path(file), self.dataset.input_shape, len(self.dataset.classes)) if file else None

    def prepare(self) -> None:
        """Get all that the run file names, so that what is wrong with it shows before anything is written.

        Raises:
            TinyFormerError: something cannot be had.
        """
        _ = self.limits, self.space, self.teacher
        if self.start is not None:
            self._require_ram(self.start)
        if self.tensorboard:
            summary_writer()

    def _require_ram(self, model: SparseModel) -> None:
        """Check that a model has room to compute, which no training changes.

        Raises:
            DoesNotFitError: it has not.
        """
        needed = self.evaluate_ram(model.supernet, model.path, model.sparsity).ram_bytes
        if needed > self.limits.ram_bytes:
            raise DoesNotFitError(
                f"[finetune] start: {self.config.finetune.start} takes {needed} bytes of RAM, allowed are "
                f"{self.limits.ram_bytes}; choose another model, or more under [limits] ram_kb"
            )

    @cached_property
    def evaluate(self) -> ResourceEval:
        """ResourceEval for the board."""
        return resource_eval(self.board, self.limits, self.config.compile.objective)

    @cached_property
    def evaluate_ram(self) -> ResourceEval:
        """ResourceEval for the board's RAM, whatever else a model takes."""
        return resource_eval(self.board, self.limits, self.config.compile.objective, ram_alone=True)

    @property
    def quantizing(self) -> QuantizationSettings:
        """How the model is quantised: camera bytes enter as they are."""
        data = self.dataset
        return QuantizationSettings(self.config.calibration, InputQuantization.of_bytes(data.mean, data.std))
