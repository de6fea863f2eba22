"""Progress of long work on a terminal, with a time estimate; silent elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class TerminalProgress:
    """Bars on standard error: one for each stage of the work. A context manager."""

    def __init__(self) -> None:
        console = Console(file=sys.stderr)
        self._progress = Progress(
            TextColumn("{task.description:<28}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._training: TaskID | None = None

    def __enter__(self) -> TerminalProgress:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finish()
        self._progress.stop()

    def stage(self, name: str, total: int | None = None) -> None:
        """Begin a stage of ``total`` steps; it ends the one before."""
        self._finish()
        self._task = self._progress.add_task(name, total=total, note="")

    def advance(self, done: int, total: int | None = None, note: str = "") -> None:
        """Say that ``done`` steps of the stage (of ``total``, when that has changed) are done."""
        if self._task is not None:
            self._progress.update(self._task, completed=done, total=total, note=note)

    def training(self, step: int, total: int, note: str) -> None:
        """Show a training inside the stage: a bar of its own, which goes with the training."""
        if self._training is None:
            self._training = self._progress.add_task("  training", total=total, note=note)
        self._progress.update(self._training, completed=step, total=total, note=note)
        if step == total:
            self._progress.remove_task(self._training)
            self._training = None

    def _finish(self) -> None:
        if self._task is not None:
            task = next(task for task in self._progress.tasks if task.id == self._task)  # ids outlive removed tasks
            total = task.total or task.completed or 1
            self._progress.update(self._task, completed=total, total=total)
            self._task = None
        if self._training is not None:
            self._progress.remove_task(self._training)
            self._training = None
