"""Augmentation by name: what happens to training images. ``augmentation`` does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What happens to an image, in this order; the defaults leave it alone.

    An image of one row or column, such as a signal, is only moved along itself: neither across nor turned.

    Attributes:
        crop: cut the image out of itself padded by so many pixels on every side.
        reflect: pad by reflection rather than with zeros.
        flip: mirror left to right, half of the time.
        rotate_degrees: turn by up to so many degrees.
        shift: move by up to so many pixels, fractions included.
        zoom: magnify or shrink by up to this share.
        trivial: change each image in one random way (``trivial_augment``).
        cutout: replace a square of this side by the mean.
        mixup: parameter of the Beta distribution that weighs an image and another one of its batch; 0 for none.
        cutmix: parameter of the Beta distribution of the area that another image of its batch takes in it; 0 for none.
            With mixup too, each batch is mixed in one of the two ways.
    """

    crop: int = 0
    reflect: bool = False
    flip: bool = False
    rotate_degrees: float = 0.0
    shift: float = 0.0
    zoom: float = 0.0
    trivial: bool = False
    cutout: int = 0
    mixup: float = 0.0
    cutmix: float = 0.0


AUGMENTATIONS: Mapping[str, Augmentation] = {
    "none": Augmentation(),
    "crop": Augmentation(crop=4),
    "crop_flip": Augmentation(crop=4, flip=True),
    "crop_flip_cutout": Augmentation(crop=4, reflect=True, flip=True, cutout=8),
    "crop_flip_cutout_mixup": Augmentation(crop=4, reflect=True, flip=True, cutout=8, mixup=0.2),
    "crop_flip_trivial": Augmentation(crop=4, reflect=True, flip=True, trivial=True),
    "crop_flip_trivial_cutmix": Augmentation(crop=4, reflect=True, flip=True, trivial=True, cutmix=1.0),
    "digits": Augmentation(rotate_degrees=10.0, shift=0.7, zoom=0.1),
    "shift": Augmentation(shift=1.0),
}
