"""Search spaces to start from: three sizes for 32x32 images (paper Fig. 10), and one for 8x8 digits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tinyformer.errors import ConfigError
from tinyformer.search_space.candidates import Candidates, TransformerCandidate
from tinyformer.search_space.space import DotSpace, ImageShape, SearchSpace

_ONE_HEAD = Candidates(
    transformer=(
        TransformerCandidate(encoders=2, heads=1, mlp_ratio=1),
        TransformerCandidate(encoders=2, heads=1, mlp_ratio=2),
        TransformerCandidate(encoders=3, heads=1, mlp_ratio=2),
    )
)
_DIGITS = Candidates(
    transformer=(
        TransformerCandidate(encoders=1, heads=1, mlp_ratio=2),
        TransformerCandidate(encoders=2, heads=2, mlp_ratio=2),
        TransformerCandidate(encoders=2, heads=1, mlp_ratio=1),
    )
)

_PRESETS: Mapping[str, SearchSpace] = {
    "digits": SearchSpace(
        name="digits",
        input_shape=(8, 8, 1),
        classes=10,
        dots=(
            # narrower layers of the first DoT do not survive pruning in blocks of 4
            DotSpace((32, 40), (32, 40), (1,), (32, 40), (32, 40), (1,)),
            DotSpace((40, 48), (40, 48), (1,), (40, 48), (32, 40, 48), (1,)),
        ),
        candidates=_DIGITS,
        sparsities=(0.6, 0.7, 0.8),
    ),
    "small": SearchSpace(
        name="small",
        input_shape=(32, 32, 3),
        classes=10,
        dots=(
            DotSpace((16, 24, 32), (16, 24, 32), (1, 2), (24, 32), (24, 32), (1,)),
            DotSpace((48, 64), (48, 64), (1, 2), (64, 80), (64, 96), (1,)),
        ),
        candidates=_ONE_HEAD,
    ),
    "normal": SearchSpace(
        name="normal",
        input_shape=(32, 32, 3),
        classes=10,
        dots=(
            DotSpace((32, 48, 64), (32, 48, 64), (1, 2, 3), (48, 64), (36, 44, 52), (1,)),
            DotSpace((96, 128, 160), (96, 128, 160), (1, 2, 3), (128, 160), (128, 160, 192), (1,)),
        ),
        candidates=_ONE_HEAD,
    ),
    "large": SearchSpace(
        name="large",
        input_shape=(32, 32, 3),
        classes=10,
        dots=(
            DotSpace((48, 64, 80), (48, 64, 80), (2, 3, 4), (64, 80), (44, 52, 64), (1, 2)),
            DotSpace((224, 256, 288), (224, 256, 288), (2, 3, 4), (224, 256), (192, 256), (1, 2)),
        ),
        candidates=_ONE_HEAD,
        sparsities=(0.7, 0.8, 0.9),  # with less none of them fits the paper's boards
    ),
}
PRESETS: tuple[str, ...] = tuple(_PRESETS)


def preset(name: str, input_shape: ImageShape | None = None, classes: int | None = None) -> SearchSpace:
    """Return a preset search space, for another input shape (H, W, C) or number of classes when given.

    Raises:
        ConfigError: there is no preset of that name.
    """
    if name not in _PRESETS:
        raise ConfigError(f"search space '{name}' is not known; allowed: {', '.join(PRESETS)}")
    space = _PRESETS[name]
    return replace(space, input_shape=input_shape or space.input_shape, classes=classes or space.classes)
