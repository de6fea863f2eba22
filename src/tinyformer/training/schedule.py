"""The learning rate over the steps of a run."""

from __future__ import annotations

from math import cos, pi

from tinyformer.training.settings import TrainingSettings


def learning_rate(settings: TrainingSettings, step: int, steps_per_epoch: int) -> float:
    """Return the learning rate of a step: linear warm-up, then half a cosine.

    The first step has ``initial_lr``, the first after the warm-up ``peak_lr``, the last ``final_lr_ratio * peak_lr``.

    Args:
        settings: the recipe.
        step: 0 .. epochs * steps_per_epoch - 1.
        steps_per_epoch: 1 or more.

    Reference: paper Sec. IV-A2.
    """
    warmup = round(settings.warmup_epochs * steps_per_epoch)
    if step < warmup:
        return settings.initial_lr + (settings.peak_lr - settings.initial_lr) * step / warmup
    last = max(settings.epochs * steps_per_epoch - 1 - warmup, 1)
    progress = min((step - warmup) / last, 1.0)
    final = settings.final_lr_ratio * settings.peak_lr
    return final + (settings.peak_lr - final) * 0.5 * (1 + cos(pi * progress))
