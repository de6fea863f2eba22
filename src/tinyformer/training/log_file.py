"""The log of a run as a file that can be read while the run goes on."""

from __future__ import annotations

from pathlib import Path

from tinyformer.training.log import TrainingLog
from tinyformer.training.state import TrainingState


class LogFile:
    """A callback that writes all epochs so far after each epoch.

    Args:
        path: ``.csv`` or ``.jsonl``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_start(self, state: TrainingState) -> None:
        """Do nothing."""

    def on_gradients(self, state: TrainingState) -> None:
        """Do nothing."""

    def on_step(self, state: TrainingState) -> None:
        """Do nothing."""

    def on_epoch(self, state: TrainingState) -> None:
        """Replace the file; its folder is made when missing."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        part = self._path.with_name(f"part-{self._path.name}")
        TrainingLog(tuple(state.rows), "").write(part)
        part.replace(self._path)
