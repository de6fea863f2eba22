"""Running a model over many images."""

from __future__ import annotations

from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from tinyformer.training.batches import Images, Labels, image_batches

_BATCH_SIZE = 512


class Forward(Protocol):
    """Runs a model: a supernet needs a path, which this chooses from the number of the step.

    The result must depend on the arguments only, or else a resumed run differs from one without interruption. In
    validation ``step`` counts batches from 0, so that every validation sees the same paths.
    """

    def __call__(self, model: nn.Module, images: Tensor, step: int) -> Tensor:
        """Map normalised images (N, C, H, W) to logits (N, classes)."""
        ...


def plain_forward(model: nn.Module, images: Tensor, step: int) -> Tensor:  # noqa: ARG001 - the Forward protocol
    """Call the model."""
    logits: Tensor = model(images)
    return logits


@torch.no_grad()
def logits(
    model: nn.Module,
    x: Images,
    *,
    mean: float,
    std: float,
    batch_size: int = _BATCH_SIZE,
    forward: Forward | None = None,
    precision: Literal["fp32", "bf16"] = "fp32",
) -> Tensor:
    """Return the logits of images, float32 (N, classes), on the model's device; the model's mode is kept.

    Args:
        model: run in evaluation mode, where it is.
        x: uint8 (N, H, W, C), one or more.
        mean: byte that becomes 0.
        std: bytes that become 1.
        batch_size: images at a time.
        forward: how the model is run; by default it is called.
        precision: fp32, or bf16 autocast.
    """
    device = next(model.parameters()).device
    training, run = model.training, forward or plain_forward
    model.eval()
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            batches = image_batches(x, mean=mean, std=std, batch_size=batch_size, device=device)
            return torch.cat([run(model, images, step).float() for step, images in enumerate(batches)])
    finally:
        model.train(training)


def evaluate(
    model: nn.Module,
    x: Images,
    y: Labels,
    *,
    mean: float,
    std: float,
    batch_size: int = _BATCH_SIZE,
    forward: Forward | None = None,
    precision: Literal["fp32", "bf16"] = "fp32",
) -> float:
    """Return the share of images whose greatest logit is their label's; arguments as in ``logits``."""
    scores = logits(model, x, mean=mean, std=std, batch_size=batch_size, forward=forward, precision=precision)
    return score(scores, torch.as_tensor(y).to(scores.device))[1]


def score(scores: Tensor, labels: Tensor) -> tuple[float, float]:
    """Return mean cross-entropy and accuracy of logits (N, classes) against labels (N,)."""
    loss = functional.cross_entropy(scores, labels)
    return float(loss), float((scores.argmax(1) == labels).float().mean())
