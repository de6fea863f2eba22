"""Progress of long work on standard error: bars with a time estimate on a terminal, elsewhere a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
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

LINES_EVERY_S = 60.0


def progress_display() -> TerminalProgress | LineProgress:
    """Return the progress that suits standard error. A context manager."""
    console = Console(file=sys.stderr)
    return TerminalProgress(console) if console.is_terminal else LineProgress()


class TerminalProgress:
    """Bars: one for each stage of the work. A context manager."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<28}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=console,
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


class LineProgress:
    """A line for each stage as it begins and, while it lasts, one a minute. A context manager.

    Args:
        every_s: least time between two lines of a stage.
        clock: seconds that never go back.
    """

    def __init__(self, every_s: float = LINES_EVERY_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._every_s = every_s
        self._clock = clock
        self._stage = ""
        self._total: int | None = None
        self._done = ""
        self._said_s = 0.0

    def __enter__(self) -> LineProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def stage(self, name: str, total: int | None = None) -> None:
        """Begin a stage of ``total`` steps; it ends the one before."""
        self._stage, self._total, self._done = name, total, ""
        self._say(name)

    def advance(self, done: int, total: int | None = None, note: str = "") -> None:
        """Say that ``done`` steps of the stage (of ``total``, when that has changed) are done."""
        self._total = total or self._total
        count = f"{done}" if self._total is None else f"{done} of {self._total}"
        self._done = f" {count}" + (f", {note}" if note else "")
        self._say_when_due()

    def training(self, step: int, total: int, note: str) -> None:
        """Show a training inside the stage."""
        self._say_when_due(f"; training {step} of {total}, {note}")

    def _say_when_due(self, training: str = "") -> None:
        if self._clock() - self._said_s >= self._every_s:
            self._say(f"{self._stage}{self._done}{training}")

    def _say(self, line: str) -> None:
        self._said_s = self._clock()
        sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
        sys.stderr.flush()
