"""What a run shows of the training inside a stage."""

from __future__ import annotations

from tinyformer.pipeline.context import Progress
from tinyformer.training import TrainingState


class Epochs:
    """A training callback that tells a Progress of steps, speed and the last validation."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def on_start(self, state: TrainingState) -> None:
        """Show where the training begins or resumes."""
        self._tell(state)

    def on_gradients(self, state: TrainingState) -> None:
        """Do nothing."""

    def on_step(self, state: TrainingState) -> None:
        """Show the steps done."""
        self._tell(state)

    def on_epoch(self, state: TrainingState) -> None:
        """Do nothing: the next step shows what the validation found."""

    def _tell(self, state: TrainingState) -> None:
        note = f"epoch {min(state.epoch + 1, state.settings.epochs)} of {state.settings.epochs}"
        if state.images_per_second > 0:
            note += f", {state.images_per_second:.0f} images/s"
        accuracy = state.rows[-1].validation_accuracy if state.rows else None
        if accuracy is not None:
            note += f", validation {accuracy:.1%}"
        self._progress.training(state.step, state.total_steps, note)
