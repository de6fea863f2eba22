"""The average of weights over the steps of a run."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn


class WeightAverage:
    """Exponential moving average of a model's parameters and floating point buffers.

    The decay of step t is min(decay, (1 + t) / (10 + t)), so that early weights are soon forgotten.

    Attributes:
        model: a copy of the model that holds the average.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = deepcopy(model).requires_grad_(False)
        self._decay = decay
        own, source = _tensors(self.model), _tensors(model)
        moving = [name for name, value in own.items() if value.is_floating_point()]
        self._average = [own[name] for name in moving]
        self._source = [source[name] for name in moving]
        self._counters = [(own[name], source[name]) for name in own if not own[name].is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the model's weights after a step, counted from 1."""
        decay = min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._average, self._source, 1 - decay)
        for own, source in self._counters:
            own.copy_(source)


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers by name, those with several names once."""
    tensors = {name: parameter.detach() for name, parameter in model.named_parameters()}
    return tensors | dict(model.named_buffers())
