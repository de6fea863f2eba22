"""Names that run files use, known without Optuna."""

from typing import Literal, get_args

Sampler = Literal["random", "tpe", "nsga2"]
SAMPLER_NAMES: tuple[Sampler, ...] = get_args(Sampler)
