"""How to train: one frozen dataclass, and presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from tinyformer.errors import ConfigError
from tinyformer.training.policies import AUGMENTATIONS

Optimizer = Literal["adamw", "muon", "sgd"]
OPTIMIZERS: tuple[Optimizer, ...] = get_args(Optimizer)
Precision = Literal["auto", "fp32", "bf16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """A recipe, independent of model and data.

    Attributes:
        epochs: passes over the training data.
        batch_size: images per step; a remainder of an epoch is left out, a smaller dataset is one batch.
        optimizer: a name in ``OPTIMIZERS``.
        initial_lr: learning rate at the first step of the warm-up.
        peak_lr: learning rate after it.
        warmup_epochs: epochs of linear increase; may be a fraction.
        final_lr_ratio: the cosine ends at this share of ``peak_lr``.
        weight_decay: decoupled for adamw; spares biases and normalisation.
        label_smoothing: 0 to below 1.
        ema_decay: of the average over steps of weights, which is validated and becomes the result; 0 for none.
        augmentation: a name in ``AUGMENTATIONS``.
        precision: ``auto`` is bf16 autocast where the processor has it and the model is large enough to gain.
        gradient_clip: greatest norm of all gradients together; 0 for no limit.
        distillation: share of the teacher in the loss, when there is a teacher.
        temperature: divides student's and teacher's logits in that share.
        validate_every: epochs between validations; the last epoch always is.

    Raises:
        ConfigError: a value is out of range.
    """

    epochs: int
    batch_size: int = 128
    optimizer: Optimizer = "adamw"
    initial_lr: float = 0.0
    peak_lr: float = 1e-3
    warmup_epochs: float = 0.0
    final_lr_ratio: float = 0.0
    weight_decay: float = 0.01
    label_smoothing: float = 0.0
    ema_decay: float = 0.0
    augmentation: str = "none"
    precision: Precision = "auto"
    gradient_clip: float = 0.0
    distillation: float = 0.5
    temperature: float = 2.0
    validate_every: int = 1

    def __post_init__(self) -> None:
        checks = (
            ("epochs", self.epochs >= 1, "1 or more"),
            ("batch_size", self.batch_size >= 1, "1 or more"),
            ("optimizer", self.optimizer in OPTIMIZERS, ", ".join(OPTIMIZERS)),
            ("peak_lr", self.peak_lr > 0, "above 0"),
            ("initial_lr", 0 <= self.initial_lr <= self.peak_lr, "0 to peak_lr"),
            ("warmup_epochs", 0 <= self.warmup_epochs <= self.epochs, "0 to epochs"),
            ("final_lr_ratio", 0 <= self.final_lr_ratio <= 1, "0 to 1"),
            ("weight_decay", self.weight_decay >= 0, "0 or more"),
            ("label_smoothing", 0 <= self.label_smoothing < 1, "0 to below 1"),
            ("ema_decay", 0 <= self.ema_decay < 1, "0 to below 1"),
            ("augmentation", self.augmentation in AUGMENTATIONS, ", ".join(AUGMENTATIONS)),
            ("precision", self.precision in PRECISIONS, ", ".join(PRECISIONS)),
            ("gradient_clip", self.gradient_clip >= 0, "0 or more"),
            ("distillation", 0 <= self.distillation <= 1, "0 to 1"),
            ("temperature", self.temperature > 0, "above 0"),
            ("validate_every", self.validate_every >= 1, "1 or more"),
        )
        for name, valid, allowed in checks:
            if not valid:
                raise ConfigError(f"training settings: {name} = {getattr(self, name)}; allowed: {allowed}")


# The paper's recipe (Sec. IV-A). It says that the learning rate is "gradually decreasing to 0.1" by a cosine after the
# peak of 55e-5. A rate of 0.1 would be 180 times the peak, so it is read as a tenth of the peak: the final ratio that
# cosine schedules take. Weight decay (AdamW's default) and augmentation (the usual one for CIFAR-10) are not in its
# text.
PAPER = TrainingSettings(
    epochs=300,
    batch_size=128,
    optimizer="adamw",
    initial_lr=1e-5,
    peak_lr=55e-5,
    warmup_epochs=10,
    final_lr_ratio=0.1,
    weight_decay=0.01,
    label_smoothing=0.1,
    augmentation="crop_flip",
)

# Fewer epochs at a higher rate, annealed to almost nothing, with averaged weights.
STRONG = TrainingSettings(
    epochs=100,
    batch_size=256,
    optimizer="adamw",
    initial_lr=1e-4,
    peak_lr=2e-3,
    warmup_epochs=5,
    final_lr_ratio=0.005,
    weight_decay=0.05,
    label_smoothing=0.1,
    ema_decay=0.999,
    augmentation="crop_flip_cutout",
    gradient_clip=1.0,
)

# 1,300 images of 8 x 8: 0.3 s an epoch of a hybrid of two million multiply-accumulates on two cores. A shallow one
# passes 97 % of the validation split after 3 to 5 epochs, single-path models of the digits space after 8 to 14.
DIGITS = TrainingSettings(
    epochs=20,
    batch_size=64,
    optimizer="adamw",
    initial_lr=3e-4,
    peak_lr=6e-3,
    warmup_epochs=1,
    final_lr_ratio=0.01,
    weight_decay=0.05,
    label_smoothing=0.1,
    augmentation="digits",
    gradient_clip=1.0,
)

PRESETS: Mapping[str, TrainingSettings] = {"paper": PAPER, "strong": STRONG, "digits": DIGITS}
