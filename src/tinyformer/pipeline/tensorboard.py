"""The epochs of a run's trainings for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tinyformer.errors import MissingExtraError
from tinyformer.training import EpochRow, TrainingState

FOLDER = "tensorboard"  # in the run's folder
_FLUSH_S = 5  # until an epoch is on the disk; the writer's own flush() does not wait for its queue


def summary_writer() -> Any:
    """Return tensorboardX's SummaryWriter, a class.

    Raises:
        MissingExtraError: tensorboardX is not installed.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise MissingExtraError("tensorboardX", "tensorboard", "--tensorboard") from error
    return SummaryWriter


class TensorBoard:
    """A training callback that writes the values of each epoch as TensorBoard's events.

    A training that resumes declares void what its folder holds and writes the epochs before it again. So TensorBoard
    shows every epoch once, those included that a kill took from the writer or that were not recorded at the time.

    Args:
        directory: of this training alone: TensorBoard shows each directory below the one that it is given as a run.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._writer: Any = None

    def on_start(self, state: TrainingState) -> None:
        """Open a file of events; a training that has ended already gets none."""
        if _is_over(state):
            return
        # Files are named by the second, and one of the same name would be written over.
        suffix = f".from-epoch-{state.epoch + 1}"
        self._writer = summary_writer()(str(self._directory), purge_step=1, flush_secs=_FLUSH_S, filename_suffix=suffix)
        for row in state.rows:
            self._write(row)

    def on_gradients(self, state: TrainingState) -> None:
        """Do nothing."""

    def on_step(self, state: TrainingState) -> None:
        """Do nothing."""

    def on_epoch(self, state: TrainingState) -> None:
        """Write the epoch; after the last one close the file."""
        self._write(state.rows[-1])
        if _is_over(state):
            self._writer.close()

    def _write(self, row: EpochRow) -> None:
        scalars = {
            "loss/training": row.loss,
            "loss/validation": row.validation_loss,
            "accuracy/validation": row.validation_accuracy,
            "learning_rate": row.learning_rate,
            "images_per_second": row.images_per_second,
        }
        for tag, value in scalars.items():
            if value is not None:
                self._writer.add_scalar(tag, value, row.epoch)


def _is_over(state: TrainingState) -> bool:
    return state.stop or state.epoch == state.settings.epochs
