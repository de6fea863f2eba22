"""Handwritten digits, 1,797 images of 8 x 8, embedded in scikit-learn."""

from __future__ import annotations

import numpy as np

from tinyformer.data.dataset import Arrays, Request
from tinyformer.errors import MissingExtraError

_MAX_VALUE = 16


def read(request: Request) -> Arrays:  # noqa: ARG001 - one signature for every source
    """Return the digits; their values 0 .. 16 become 0 .. 255, rounded.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingExtraError("scikit-learn", "search", "the digits dataset") from error
    bunch = load_digits()
    images = np.rint(bunch.images * (255 / _MAX_VALUE)).astype(np.uint8)[..., np.newaxis]
    classes = tuple(str(digit) for digit in range(10))
    return Arrays(classes, (images, bunch.target.astype(np.int64)), value_range=(0.0, float(_MAX_VALUE)))
