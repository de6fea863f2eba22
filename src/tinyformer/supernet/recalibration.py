"""Batch norm's statistics for one path of a supernet."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tinyformer.errors import ConfigError

_BATCH = 256
_IMAGES = 1024


def recalibration_images(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return up to 1,024 of training images (N, H, W, C): the first of every N // 1024."""
    return images[:: max(1, len(images) // _IMAGES)][:_IMAGES]


def recalibration_batch(count: int) -> int:
    """Return into how large batches to cut images, up to 256: all weigh the same, so none may be much smaller."""
    return -(-count // -(-count // _BATCH))


@torch.no_grad()
def recalibrate(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace the running statistics of batch norm by the means over batches of images (batch, C, H, W).

    A path's statistics in a supernet mix those of all the paths it shared blocks with: recalibrate an extracted model
    before its accuracy counts. The model's mode is kept.

    Raises:
        ConfigError: there is no batch.

    Reference: Guo et al., Single Path One-Shot Neural Architecture Search, ECCV 2020, Sec. 3.3.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta, training = [norm.momentum for norm in norms], model.training
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative average
    model.train()
    seen = 0
    for batch in batches:
        model(batch)
        seen += 1
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.train(training)
    if not seen:
        raise ConfigError("recalibration got no batch; allowed: one or more")
