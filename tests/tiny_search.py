"""A search space and a dataset small enough to train on in a test."""

from __future__ import annotations

import numpy as np

from tinyformer.data import Dataset
from tinyformer.data.dataset import statistics
from tinyformer.search_space import Candidates, DotSpace, SearchSpace, TransformerCandidate
from tinyformer.training import TrainingSettings

SPACE = SearchSpace(
    name="tiny",
    input_shape=(8, 8, 1),
    classes=2,
    dots=(DotSpace((8,), (8,), (1,), (8, 16), (8,), (1,)),),
    candidates=Candidates(
        transformer=(
            TransformerCandidate(encoders=1, heads=1, mlp_ratio=1),
            TransformerCandidate(encoders=1, heads=2, mlp_ratio=1),
        )
    ),
    sparsities=(0.0, 0.5),
)
RECIPE = TrainingSettings(epochs=10, peak_lr=1e-3, initial_lr=1e-4, warmup_epochs=1, weight_decay=0.0)


def dataset(images: int = 192, seed: int = 0) -> Dataset:
    """Return images that are brighter on the left (class 0) or on the right (class 1)."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, images)
    x = generator.integers(0, 100, (images, 8, 8, 1))
    x[labels == 0, :, :4] += 100
    x[labels == 1, :, 4:] += 100
    x = x.astype(np.uint8)
    parts = np.split(np.arange(images), [images // 2, 3 * images // 4])
    mean, std = statistics(x[parts[0]])
    arrays = [part for indices in parts for part in (x[indices], labels[indices])]
    return Dataset("sides", ("left", "right"), *arrays, mean, std)
