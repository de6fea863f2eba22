"""TrivialAugment: one random change of colour or position per image, at a random strength, for whole batches at once.

Nothing is tuned and nothing depends on the training's progress, which is why it suits short schedules as well as long
ones.

Reference: Mueller and Hutter, TrivialAugment, ICCV 2021 (the strengths are those of its "RA" space).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import radians

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

_ENHANCEMENT = 0.9  # greatest change of a factor of 1
_ROTATION_DEGREES = 30.0
_SHEAR = 0.3
_SHIFT = 1 / 3  # of the image's side
_LEAST_BITS = 4

Change = Callable[[Tensor, Tensor], Tensor]


def trivial_augment(images: Tensor, generator: np.random.Generator) -> Tensor:
    """Change each image in one way.

    An image of one row or column, such as a signal, is only moved along itself.

    Args:
        images: float (N, C, H, W) with values of 0 to 255.
        generator: draws each image's change and its strength.

    Returns:
        float (N, C, H, W) with values of 0 to 255.
    """
    count = len(images)
    chosen = generator.integers(0, len(CHANGES), count)
    strength = torch.from_numpy(generator.uniform(-1.0, 1.0, count).astype(np.float32)).to(images.device)
    changed = images.clone()
    for index, change in enumerate(CHANGES.values()):
        rows = torch.from_numpy(np.flatnonzero(chosen == index)).to(images.device)
        if len(rows):
            changed[rows] = change(images[rows], strength[rows][:, None, None, None]).clamp(0.0, 255.0)
    return changed


def _identity(x: Tensor, _: Tensor) -> Tensor:
    return x


def _brightness(x: Tensor, strength: Tensor) -> Tensor:
    return x * (1 + _ENHANCEMENT * strength)


def _contrast(x: Tensor, strength: Tensor) -> Tensor:
    return torch.lerp(x.mean((1, 2, 3), keepdim=True), x, 1 + _ENHANCEMENT * strength)


def _colour(x: Tensor, strength: Tensor) -> Tensor:
    return torch.lerp(x.mean(1, keepdim=True), x, 1 + _ENHANCEMENT * strength)


def _sharpness(x: Tensor, strength: Tensor) -> Tensor:
    smooth = functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    return torch.lerp(smooth, x, 1 + _ENHANCEMENT * strength)


def _autocontrast(x: Tensor, _: Tensor) -> Tensor:
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    return (x - low) * (255.0 / (high - low).clamp(min=1.0))


def _posterize(x: Tensor, strength: Tensor) -> Tensor:
    step = 2.0 ** torch.round(strength.abs() * (8 - _LEAST_BITS))
    return torch.floor(x / step) * step


def _solarize(x: Tensor, strength: Tensor) -> Tensor:
    return torch.where(x > 255.0 * (1 - strength.abs()), 255.0 - x, x)


def _rotate(x: Tensor, strength: Tensor) -> Tensor:
    angle = strength * radians(_ROTATION_DEGREES) * _has_area(x)
    ratio = x.shape[2] / x.shape[3]
    return _affine(x, (angle.cos(), -angle.sin() * ratio, 0.0), (angle.sin() / ratio, angle.cos(), 0.0))


def _shear_x(x: Tensor, strength: Tensor) -> Tensor:
    return _affine(x, (1.0, _SHEAR * strength * _has_area(x), 0.0), (0.0, 1.0, 0.0))


def _shear_y(x: Tensor, strength: Tensor) -> Tensor:
    return _affine(x, (1.0, 0.0, 0.0), (_SHEAR * strength * _has_area(x), 1.0, 0.0))


def _shift_x(x: Tensor, strength: Tensor) -> Tensor:
    return _affine(x, (1.0, 0.0, 2 * _SHIFT * strength * (x.shape[3] > 1)), (0.0, 1.0, 0.0))


def _shift_y(x: Tensor, strength: Tensor) -> Tensor:
    return _affine(x, (1.0, 0.0, 0.0), (0.0, 1.0, 2 * _SHIFT * strength * (x.shape[2] > 1)))


def _has_area(x: Tensor) -> bool:
    return min(x.shape[2:]) > 1


def _affine(x: Tensor, *rows: tuple[Tensor | float, Tensor | float, Tensor | float]) -> Tensor:
    """Take each pixel from where a 2 x 3 matrix sends it in coordinates of -1 to 1; beyond the border is reflected."""
    one = torch.ones(len(x), device=x.device)
    theta = torch.stack([torch.stack([one * _flat(entry) for entry in row], -1) for row in rows], 1)
    grid = functional.affine_grid(theta, list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, padding_mode="reflection", align_corners=False)


def _flat(entry: Tensor | float) -> Tensor | float:
    return entry.reshape(-1) if isinstance(entry, Tensor) else entry


CHANGES: Mapping[str, Change] = {
    "identity": _identity,
    "brightness": _brightness,
    "contrast": _contrast,
    "colour": _colour,
    "sharpness": _sharpness,
    "autocontrast": _autocontrast,
    "posterize": _posterize,
    "solarize": _solarize,
    "rotate": _rotate,
    "shear_x": _shear_x,
    "shear_y": _shear_y,
    "shift_x": _shift_x,
    "shift_y": _shift_y,
}
