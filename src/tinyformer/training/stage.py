"""A recipe for another length, batch size and learning rate: the stages of a search train by one recipe."""

from __future__ import annotations

from dataclasses import replace

from tinyformer.training.settings import TrainingSettings


def stage_recipe(recipe: TrainingSettings, epochs: int, batch_size: int, learning_rate: float) -> TrainingSettings:
    """Return a recipe for a stage; warm-up keeps its share of the epochs, the first rate its share of the peak.

    Args:
        recipe: all that the stage does not set.
        epochs: 1 or more.
        batch_size: 1 or more.
        learning_rate: the peak, above 0.

    Raises:
        ConfigError: a value is out of range.
    """
    return replace(
        recipe,
        epochs=epochs,
        batch_size=batch_size,
        peak_lr=learning_rate,
        initial_lr=learning_rate * recipe.initial_lr / recipe.peak_lr,
        warmup_epochs=epochs * recipe.warmup_epochs / recipe.epochs,
    )
