"""Batches from arrays that lie on the device: no workers, no queue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tinyformer.errors import DataError
from tinyformer.training import augmentation as augment
from tinyformer.training.augmentation import Mix
from tinyformer.training.policies import Augmentation
from tinyformer.training.trivial_augment import trivial_augment

Images = npt.NDArray[np.uint8] | Tensor
Labels = npt.NDArray[np.int64] | Tensor

_CHUNK_ELEMENTS = 1 << 20  # of images that are augmented in one go: small enough for the caches


@dataclass(frozen=True, slots=True)
class Batch:
    """Normalised images float32 (N, C, H, W), labels int64 (N,), and how they mix."""

    images: Tensor
    labels: Tensor
    mix: Mix | None = None


@dataclass(frozen=True, slots=True)
class Samples:
    """Images uint8 (N, H, W, C) and labels int64 (N,) on a device, and their normalisation."""

    images: Tensor
    labels: Tensor
    mean: float
    std: float


def samples(x: Images, y: Labels, mean: float, std: float, device: torch.device) -> Samples:
    """Move arrays to a device.

    Raises:
        DataError: not uint8 (N, H, W, C) with one int64 label each, or empty.
    """
    images, labels = torch.as_tensor(x), torch.as_tensor(y)
    if images.dtype != torch.uint8 or images.ndim != 4 or not len(images):
        raise DataError(
            f"training: images are {images.dtype}{tuple(images.shape)}; allowed: uint8 (N, H, W, C), one or more"
        )
    if labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
        raise DataError(
            f"training: labels are {labels.dtype}{tuple(labels.shape)} for {len(images)} images; allowed: int64 (N,)"
        )
    return Samples(images.to(device), labels.to(device), mean, std)


def normalize(images: Tensor, mean: float, std: float) -> Tensor:
    """Return (byte - mean) / std as float32 (N, C, H, W), channels last in memory, of bytes (N, H, W, C)."""
    return ((images.float() - mean) * (1.0 / std)).permute(0, 3, 1, 2)


def image_batches(
    x: Images, *, mean: float, std: float, batch_size: int = 256, device: torch.device | str = "cpu"
) -> Iterator[Tensor]:
    """Yield normalised images float32 (N, C, H, W) in order, for calibration and evaluation.

    Args:
        x: uint8 (N, H, W, C).
        mean: byte that becomes 0.
        std: bytes that become 1.
        batch_size: of all batches but the last.
        device: where the batches lie.
    """
    images = torch.as_tensor(x)
    for start in range(0, len(images), batch_size):
        yield normalize(images[start : start + batch_size].to(device), mean, std)


def epoch_batches(
    data: Samples, batch_size: int, augmentation: Augmentation, generator: np.random.Generator
) -> Iterator[Batch]:
    """Yield the batches of an epoch in random order, augmented; a remainder is left out.

    Args:
        data: the training samples.
        batch_size: at most the number of samples.
        augmentation: applied in chunks of several batches.
        generator: draws order and augmentation.
    """
    count = len(data.images)
    order = generator.permutation(count)[: count - count % batch_size]
    chunk = batch_size * max(1, _CHUNK_ELEMENTS // (batch_size * data.images[0].numel()))
    for start in range(0, len(order), chunk):
        indices = order[start : start + chunk]
        labels = data.labels[torch.from_numpy(indices).to(data.labels.device)]
        images = _augmented(data, indices, augmentation, generator)
        for first in range(0, len(indices), batch_size):
            part = images[first : first + batch_size]
            mixing = augment.draw_mix(part, augmentation, generator)
            if mixing is not None:
                part = augment.mix(part, mixing)
            yield Batch(part, labels[first : first + batch_size], mixing)


def _augmented(
    data: Samples, indices: npt.NDArray[np.intp], augmentation: Augmentation, generator: np.random.Generator
) -> Tensor:
    raw = augment.gather(data.images, indices, augmentation, generator)
    warped = augment.warp(raw.float().permute(0, 3, 1, 2), augmentation, generator)
    if augmentation.trivial:
        warped = trivial_augment(warped, generator)
    return augment.cut_out(normalize(warped.permute(0, 2, 3, 1), data.mean, data.std), augmentation, generator)
