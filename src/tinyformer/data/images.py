"""Image files as uint8 arrays, by Pillow."""

from __future__ import annotations

import struct
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyformer.errors import DataError, MissingExtraError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff")


def pillow(purpose: str) -> ModuleType:
    """Return Pillow's Image module.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtraError("pillow", "search", purpose) from error
    return Image


def read_image(path: Path, size: tuple[int, int] | None, grayscale: bool) -> npt.NDArray[np.uint8]:
    """Read an image upright, in three channels or one, resized to (height, width) with antialiasing.

    Of grey values in 16 bits the upper eight count. Transparency is left out: pixels keep the colour that is stored.

    Returns:
        uint8 (H, W, 3) or (H, W, 1).

    Raises:
        DataError: not a readable image.
        MissingExtraError: Pillow is not installed.
    """
    image_module = pillow("reading image files")
    from PIL import ImageOps

    try:
        with image_module.open(path) as file:
            image = _eight_bits(ImageOps.exif_transpose(file), image_module).convert("L" if grayscale else "RGB")
    except (OSError, SyntaxError, ValueError, struct.error, image_module.DecompressionBombError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"image {path} cannot be read: {reason}; remove it or save it again") from error
    if size is not None and (image.height, image.width) != size:
        image = image.resize((size[1], size[0]), image_module.Resampling.BILINEAR)
    array = np.asarray(image, np.uint8)
    return array[..., np.newaxis] if grayscale else array


def _eight_bits(image: Any, image_module: ModuleType) -> Any:
    """Return an image whose values are bytes; Pillow's own conversion of wider ones cuts off at 255.

    Raises:
        ValueError: its values are no whole numbers of up to 16 bits.
    """
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image)
    if image.mode == "F" or values.min() < 0 or values.max() > 0xFFFF:
        raise ValueError(f"values of type {image.mode} that are no bytes")
    return image_module.fromarray((values >> 8).astype(np.uint8))
