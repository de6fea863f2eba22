"""How SparseNAS samples and trains, in the search and in stage two."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from tinyformer.errors import ConfigError
from tinyformer.study.names import SAMPLER_NAMES, Sampler

OBJECTIVES = ("accuracy", "front")


@dataclass(frozen=True, slots=True)
class SparsenasSettings:
    """How Algorithm 3 samples and trains.

    ``candidates`` is the paper's T_sin, for which it gives no value. A candidate trains for ``epochs`` (10 in the
    paper), then for ``prune_epochs`` while AGP raises its sparsity during the first ``ramp_epochs``. ``batch_size``
    and ``learning_rate`` (its peak) are the paper's. The int8 model is measured on up to ``int8_samples`` images of
    the validation split. ``sampler`` chooses paths and sparsity configurations.

    ``objective`` is what the sampler looks for: "accuracy", or the "front" of accuracy against flash, RAM and latency.

    With ``screened`` more than 0, so many candidates are first judged with the supernet's weights, without training,
    and the best of those that fit are the ``candidates`` that train.

    Raises:
        ConfigError: a value is out of range.
    """

    candidates: int = 50
    screened: int = 0
    epochs: int = 10
    prune_epochs: int = 10
    ramp_epochs: int = 7
    batch_size: int = 128
    learning_rate: float = 55e-5
    int8_samples: int = 1000
    sampler: Sampler = "random"
    objective: str = "accuracy"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("candidates", "epochs", "prune_epochs", "ramp_epochs", "batch_size", "int8_samples"):
            if getattr(self, name) < 1:
                raise ConfigError(f"sparsenas: {name} = {getattr(self, name)}; allowed: 1 or more")
        if not 0 < self.learning_rate < inf:
            raise ConfigError(f"sparsenas: learning_rate = {self.learning_rate}; allowed: above 0")
        if self.sampler not in SAMPLER_NAMES:
            raise ConfigError(f"sparsenas: sampler = '{self.sampler}'; allowed: {', '.join(SAMPLER_NAMES)}")
        if self.objective not in OBJECTIVES:
            raise ConfigError(f"sparsenas: objective = '{self.objective}'; allowed: {', '.join(OBJECTIVES)}")
        if self.screened and self.screened < self.candidates:
            raise ConfigError(
                f"sparsenas: screened = {self.screened}; allowed: 0, or candidates ({self.candidates}) and more"
            )
        if self.ramp_epochs > self.prune_epochs:
            raise ConfigError(
                f"sparsenas: ramp_epochs = {self.ramp_epochs}; allowed: up to prune_epochs ({self.prune_epochs})"
            )


@dataclass(frozen=True, slots=True)
class FinetuneSettings:
    """How stage two trains: the paper's 300 epochs, of which AGP raises the sparsity during ``ramp_epochs``.

    With ``ramp_epochs`` 0 all is pruned before the first step. The int8 model is measured on up to ``int8_samples``
    images of the validation split. ``start`` is a checkpoint whose model is trained on instead of a searched one; with
    ``epochs`` 0 it is only quantised, compiled and proven anew. ``teacher`` is the checkpoint of a model whose logits
    enter the loss.

    ``qat_epochs`` more train the pruned model as its int8 version computes (quantisation-aware), at
    ``qat_learning_rate`` at its peak.

    Raises:
        ConfigError: a value is out of range.
    """

    epochs: int = 300
    ramp_epochs: int = 100
    batch_size: int = 128
    learning_rate: float = 55e-5
    qat_epochs: int = 0
    qat_learning_rate: float = 55e-6
    int8_samples: int = 5000
    start: str = ""
    teacher: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.ramp_epochs <= self.epochs:
            raise ConfigError(f"finetune: ramp_epochs = {self.ramp_epochs}; allowed: 0 to epochs ({self.epochs})")
        if self.epochs < 1 and not (self.epochs == 0 and self.start):
            raise ConfigError(f"finetune: epochs = {self.epochs}; allowed: 1 or more, with start also 0")
        for name in ("learning_rate", "qat_learning_rate"):
            if not 0 < getattr(self, name) < inf:
                raise ConfigError(f"finetune: {name} = {getattr(self, name)}; allowed: above 0")
        if self.qat_epochs < 0:
            raise ConfigError(f"finetune: qat_epochs = {self.qat_epochs}; allowed: 0 or more")
        if self.teacher and not self.epochs + self.qat_epochs:
            raise ConfigError(f"finetune: teacher = '{self.teacher}' with epochs = 0; allowed: with 1 epoch or more")
        for name in ("batch_size", "int8_samples"):
            if getattr(self, name) < 1:
                raise ConfigError(f"finetune: {name} = {getattr(self, name)}; allowed: 1 or more")
