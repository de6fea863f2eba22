"""The training loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tinyformer.errors import TrainingError
from tinyformer.training import checkpoint as checkpoints
from tinyformer.training import evaluation, optimizers, precision
from tinyformer.training.average import WeightAverage
from tinyformer.training.batches import Batch, Images, Labels, Samples, epoch_batches, normalize, samples
from tinyformer.training.evaluation import Forward, plain_forward
from tinyformer.training.host_memory import kept_memory
from tinyformer.training.log import EpochRow, TrainingLog
from tinyformer.training.loss import batch_loss
from tinyformer.training.policies import AUGMENTATIONS
from tinyformer.training.schedule import learning_rate
from tinyformer.training.settings import TrainingSettings
from tinyformer.training.state import Callback, TrainingState
from tinyformer.training.threads import worthwhile_threads

_CHECKPOINT_INTERVAL_S = 60.0
_FORGET_STEPS = 100


def fit(
    model: nn.Module,
    x: Images,
    y: Labels,
    settings: TrainingSettings,
    *,
    mean: float,
    std: float,
    seed: int,
    validation: tuple[Images, Labels] | None = None,
    forward: Forward | None = None,
    callbacks: Sequence[Callback] = (),
    checkpoint: Path | None = None,
    checkpoint_interval_s: float = _CHECKPOINT_INTERVAL_S,
    resume: bool = False,
    teacher: nn.Module | None = None,
    device: torch.device | str = "auto",
) -> TrainingLog:
    """Train a model in place.

    Afterwards the model has the averaged weights if there is an average, is where it was, and its weights lie channels
    last in memory. An interrupted run that resumes gives the same weights, bit for bit in fp32 on one thread, as one
    without interruption, if ``forward`` and ``callbacks`` depend on step and weights only. Nothing is printed, and
    torch's global random state is left as it was.

    Args:
        model: maps normalised images (N, C, H, W) to logits (N, classes).
        x: training images, uint8 (N, H, W, C).
        y: labels, int64 (N,).
        settings: the recipe.
        mean: byte that becomes 0 in the model's input.
        std: bytes that become 1.
        seed: draws order, augmentation and what the model draws.
        validation: images and labels like x and y.
        forward: how the model is run; a supernet samples a path here. By default it is called.
        callbacks: run in order.
        checkpoint: a .safetensors file, written after epochs and at the end.
        checkpoint_interval_s: least time between two checkpoints.
        resume: continue from ``checkpoint`` if it exists.
        teacher: logits to learn from, run in evaluation mode, in the model's precision, on the same images; it is left
            where the model trained.
        device: ``auto`` takes CUDA where there is one.

    Raises:
        ConfigError: the checkpoint belongs to other settings.
        DataError: x or y have the wrong type or shape, or the checkpoint is damaged.
        TrainingError: the loss is no longer finite.
    """
    target = _device(device)
    home, was_training = next(model.parameters()).device, model.training
    data = samples(x, y, mean, std, target)
    held_out = None if validation is None else samples(*validation, mean, std, target)
    generators = [target] if target.type == "cuda" else []
    try:
        model.to(target, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if teacher is not None:
            teacher.to(target, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        with torch.random.fork_rng(devices=generators), kept_memory(target):
            run = _Run(model, data, held_out, settings, forward or plain_forward, teacher, seed)
            if resume and checkpoint is not None and checkpoint.exists():
                run.restore(checkpoint)
            with worthwhile_threads(run.macs_per_step):
                return run.train(callbacks, checkpoint, checkpoint_interval_s)
    finally:
        model.to(home).train(was_training)


class _Run:
    """A run: the state that callbacks see, and what only the loop needs."""

    def __init__(
        self,
        model: nn.Module,
        data: Samples,
        validation: Samples | None,
        settings: TrainingSettings,
        forward: Forward,
        teacher: nn.Module | None,
        seed: int,
    ) -> None:
        self.data, self.validation, self.settings = data, validation, settings
        self.forward, self.teacher, self.seed = forward, teacher, seed
        self.taught_by = {} if teacher is None else {"teacher": checkpoints.fingerprint(teacher)}
        batch_size = min(settings.batch_size, len(data.images))
        self.average = WeightAverage(model, settings.ema_decay) if settings.ema_decay else None
        average = None if self.average is None else self.average.model
        self.state = TrainingState(model, average, settings, batch_size, len(data.images) // batch_size)
        self.optimizer = optimizers.build(settings.optimizer, model, settings.peak_lr, settings.weight_decay)
        self.parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        first = normalize(data.images[:2], data.mean, data.std)
        self.macs_per_step = batch_size * precision.count_macs(model, first, forward)
        self.precision = precision.resolve(settings.precision, model, first, forward)

    @property
    def origin(self) -> dict[str, Any]:
        """What a run must be started with again to resume."""
        shape = list(self.data.images.shape)
        return {
            **asdict(self.settings),
            "seed": self.seed,
            "images": shape,
            "mean": self.data.mean,
            "std": self.data.std,
            **self.taught_by,
        }

    def restore(self, path: Path) -> None:
        position, tensors = checkpoints.read(path, self.origin)
        checkpoints.restore(path, tensors, self.state.model, self.state.average, self.optimizer)
        self.precision = "bf16" if position.precision == "bf16" else "fp32"
        self.state.begin(position.epoch, position.step, list(position.rows))
        self.state.stop = position.stopped

    def save(self, path: Path) -> None:
        state = self.state
        position = checkpoints.Position(
            state.epoch, state.step, state.stop, self.precision, tuple(state.rows), self.origin
        )
        checkpoints.write(path, position, state.model, state.average, self.optimizer)

    def train(self, callbacks: Sequence[Callback], checkpoint: Path | None, interval_s: float) -> TrainingLog:
        state = self.state
        state.begin(state.epoch, state.step, state.rows)
        for callback in callbacks:
            callback.on_start(state)
        saved_s = monotonic()
        while state.epoch < self.settings.epochs and not state.stop:
            state.rows.append(self.train_epoch(callbacks))
            state.epoch += 1
            for callback in callbacks:
                callback.on_epoch(state)
            last = state.stop or state.epoch == self.settings.epochs
            if checkpoint is not None and (last or monotonic() - saved_s >= interval_s):
                self.save(checkpoint)
                saved_s = monotonic()
        if state.average is not None:
            state.model.load_state_dict(state.average.state_dict())
        return TrainingLog(tuple(state.rows), self.precision)

    def train_epoch(self, callbacks: Sequence[Callback]) -> EpochRow:
        state, started_s = self.state, monotonic()
        seeds = np.random.SeedSequence((self.seed, state.epoch)).spawn(2)
        torch.manual_seed(int(seeds[0].generate_state(1, np.uint64)[0]) >> 1)
        augmentation = AUGMENTATIONS[self.settings.augmentation]
        state.model.train()
        total = torch.zeros((), device=self.data.images.device)
        for batch in epoch_batches(self.data, state.batch_size, augmentation, np.random.default_rng(seeds[1])):
            total += self.train_step(batch, callbacks)
            for callback in callbacks:
                callback.on_step(state)
        loss = float(total) / state.steps_per_epoch
        trained_s = monotonic() - started_s
        if not isfinite(loss) or not self.is_finite():
            what = "the weights are not finite" if isfinite(loss) else f"the loss is {loss}"
            raise TrainingError(
                f"training diverged in epoch {state.epoch + 1}: {what}; lower the learning rate (its peak is "
                f"{self.settings.peak_lr:g}) or set gradient_clip"
            )
        validation = self.validate()
        images = state.steps_per_epoch * state.batch_size
        return EpochRow(
            state.epoch + 1,
            state.learning_rate,
            loss,
            *validation,
            seconds=monotonic() - started_s,
            images_per_second=images / max(trained_s, 1e-9),
        )

    def is_finite(self) -> bool:
        """Whether weights and statistics are numbers: what the last step did shows in no loss."""
        tensors = [*self.state.model.parameters(), *self.state.model.buffers()]
        return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)

    def train_step(self, batch: Batch, callbacks: Sequence[Callback]) -> Tensor:
        state, device = self.state, batch.images.device
        state.learning_rate = learning_rate(self.settings, state.step, state.steps_per_epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = state.learning_rate
        with precision.autocast(self.precision, device):
            logits = self.forward(state.model, batch.images, state.step)
            teacher_logits = self.teach(batch.images)
        loss = batch_loss(logits, batch, self.settings, teacher_logits)
        loss.backward()  # type: ignore[no-untyped-call]
        for callback in callbacks:
            callback.on_gradients(state)
        if self.settings.gradient_clip:
            nn.utils.clip_grad_norm_(self.parameters, self.settings.gradient_clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        state.step += 1
        if state.step % _FORGET_STEPS == 0:
            optimizers.forget_nothings(self.optimizer)
        if self.average is not None:
            self.average.update(state.step)
        state._last_loss = loss.detach()
        return state._last_loss

    @torch.no_grad()
    def teach(self, images: Tensor) -> Tensor | None:
        return None if self.teacher is None else self.teacher(images)

    def validate(self) -> tuple[float | None, float | None]:
        state, data = self.state, self.validation
        due = (state.epoch + 1) % self.settings.validate_every == 0 or state.epoch + 1 == self.settings.epochs
        if data is None or not due:
            return None, None
        scores = evaluation.logits(
            state.average or state.model,
            data.images,
            mean=data.mean,
            std=data.std,
            forward=self.forward,
            precision=self.precision,
        )
        return evaluation.score(scores, data.labels)


def _device(device: torch.device | str) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(device)
