"""Random changes of training images, for whole batches at once.

Random numbers are drawn per image by NumPy on the processor, so that every device sees the same images.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import radians
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from tinyformer.training.policies import Augmentation


@dataclass(frozen=True, slots=True)
class Mix:
    """Partners of mixed images: indices into the batch, and each image's own share, both (N,).

    ``taken`` (N, 1, H, W) is true where the partner's pixels replace the image's (CutMix); without it the two are
    averaged (mixup).
    """

    partner: Tensor
    share: Tensor
    taken: Tensor | None = None


def gather(
    images: Tensor, indices: npt.NDArray[np.intp], augmentation: Augmentation, generator: np.random.Generator
) -> Tensor:
    """Take images by index, cropped and flipped.

    Args:
        images: uint8 (N, H, W, C).
        indices: (M,).
        augmentation: ``crop``, ``reflect`` and ``flip`` are read.
        generator: draws offsets and flips.

    Returns:
        uint8 (M, H, W, C), contiguous.
    """
    chosen = torch.from_numpy(indices).to(images.device)
    if not augmentation.crop and not augmentation.flip:
        return images[chosen]
    count, height, width = len(indices), images.shape[1], images.shape[2]
    offsets = generator.integers(-augmentation.crop, augmentation.crop + 1, (2, count))
    offsets *= np.array([[height > 1], [width > 1]])
    rows = np.arange(height) + offsets[0][:, np.newaxis]
    columns = np.arange(width) + offsets[1][:, np.newaxis]
    if augmentation.flip:
        mirrored = generator.random(count) < 0.5
        columns[mirrored] = columns[mirrored, ::-1]
    rows_inside, columns_inside = _fold(rows, height), _fold(columns, width)
    y = torch.from_numpy(rows_inside).to(images.device)[:, :, None]
    x = torch.from_numpy(columns_inside).to(images.device)[:, None, :]
    cut = images[chosen[:, None, None], y, x]
    if augmentation.reflect or not augmentation.crop:
        return cut
    inside_y = torch.from_numpy(rows == rows_inside).to(images.device)[:, :, None, None]
    inside_x = torch.from_numpy(columns == columns_inside).to(images.device)[:, None, :, None]
    return cut * (inside_y & inside_x)


def _fold(positions: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.int64]:
    """Reflect positions at the first and last index, which are not repeated."""
    period = max(2 * (size - 1), 1)
    folded: npt.NDArray[np.int64] = np.abs((positions + size - 1) % period - (size - 1))
    return folded


def warp(images: Tensor, augmentation: Augmentation, generator: np.random.Generator) -> Tensor:
    """Rotate, shift and zoom by bilinear interpolation, with zeros outside.

    Args:
        images: float (N, C, H, W).
        augmentation: ``rotate_degrees``, ``shift`` and ``zoom`` are read.
        generator: draws them.
    """
    if not augmentation.rotate_degrees and not augmentation.shift and not augmentation.zoom:
        return images
    count, _, height, width = images.shape
    draw = generator.uniform(-1.0, 1.0, (4, count))
    angle = draw[0] * radians(augmentation.rotate_degrees) * (min(height, width) > 1)
    scale = 1.0 + draw[1] * augmentation.zoom
    cosine, sine = np.cos(angle) * scale, np.sin(angle) * scale
    shift_x = draw[2] * augmentation.shift * 2 / width * (width > 1)
    shift_y = draw[3] * augmentation.shift * 2 / height * (height > 1)
    rows = [[cosine, -sine * height / width, shift_x], [sine * width / height, cosine, shift_y]]
    theta = torch.from_numpy(np.array(rows, np.float32).transpose(2, 0, 1).copy()).to(images.device)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="zeros", align_corners=False)


def cut_out(images: Tensor, augmentation: Augmentation, generator: np.random.Generator) -> Tensor:
    """Set a square in each normalised image to zero, the mean; its centre lies anywhere in the image.

    Args:
        images: float (N, C, H, W).
        augmentation: ``cutout`` is read.
        generator: draws the centres.
    """
    if not augmentation.cutout:
        return images
    count, _, height, width = images.shape

    def covered(size: int) -> Tensor:
        start = generator.integers(0, size, (count, 1)) - augmentation.cutout // 2
        position = np.arange(size)
        return torch.from_numpy((position >= start) & (position < start + augmentation.cutout)).to(images.device)

    hidden = covered(height)[:, None, :, None] & covered(width)[:, None, None, :]
    return images.masked_fill(hidden, 0.0)


def draw_mix(images: Tensor, augmentation: Augmentation, generator: np.random.Generator) -> Mix | None:
    """Draw partners and shares for images (N, C, H, W); None without mixup and CutMix.

    References: Zhang et al., mixup, ICLR 2018; Yun et al., CutMix, ICCV 2019.
    """
    ways = [draw for alpha, draw in ((augmentation.mixup, _draw_mixup), (augmentation.cutmix, _draw_cutmix)) if alpha]
    if not ways:
        return None
    return ways[generator.integers(len(ways)) if len(ways) > 1 else 0](images, augmentation, generator)


def _draw_mixup(images: Tensor, augmentation: Augmentation, generator: np.random.Generator) -> Mix:
    count = len(images)
    share = generator.beta(augmentation.mixup, augmentation.mixup, count).astype(np.float32)
    partner = generator.permutation(count)
    return Mix(_on(images, partner), _on(images, np.maximum(share, 1 - share)))


def _draw_cutmix(images: Tensor, augmentation: Augmentation, generator: np.random.Generator) -> Mix:
    """Draw a box for each image, as wide and high as the image by the root of its area; the border cuts it."""
    count, _, *size = images.shape
    side = np.sqrt(generator.beta(augmentation.cutmix, augmentation.cutmix, (count, 1)))
    inside = []
    for length in size:
        centre = generator.uniform(0, length, (count, 1))
        inside.append(np.abs(np.arange(length) + 0.5 - centre) < side * length / 2)
    taken = inside[0][:, :, np.newaxis] & inside[1][:, np.newaxis, :]
    share = 1 - taken.mean((1, 2), dtype=np.float32)
    partner = generator.permutation(count)
    return Mix(_on(images, partner), _on(images, share), _on(images, taken[:, np.newaxis]))


def _on(images: Tensor, values: npt.NDArray[Any]) -> Tensor:
    return torch.from_numpy(values).to(images.device)


def mix(images: Tensor, mixing: Mix) -> Tensor:
    """Return float images (N, C, H, W) averaged with their partners by their shares, or with their partners' boxes."""
    partners = images[mixing.partner]
    if mixing.taken is not None:
        return torch.where(mixing.taken, partners, images)
    return torch.lerp(partners, images, mixing.share[:, None, None, None])
