"""Automated gradual pruning during training (Zhu & Gupta 2018, the paper's reference 30)."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from tinyformer.errors import ConfigError
from tinyformer.pruning.blocks import Score, is_depthwise
from tinyformer.pruning.masks import Targets, prunable, weight_mask, weight_of
from tinyformer.search_space import BlockSparsity


class PrunableRun(Protocol):
    """What pruning needs to know of a training run."""

    @property
    def model(self) -> nn.Module:
        """The model being trained."""
        ...

    @property
    def average(self) -> nn.Module | None:
        """A model that holds averaged weights, or None."""
        ...

    @property
    def step(self) -> int:
        """Optimiser steps done."""
        ...

    @property
    def total_steps(self) -> int:
        """Optimiser steps of the whole run."""
        ...


def scheduled_sparsity(step: int, first: int, last: int, final: float, initial: float = 0.0) -> float:
    """Return final + (initial - final) * (1 - (step - first) / (last - first))^3, held at both ends.

    Reference: Zhu & Gupta, To prune, or not to prune, ICLR 2018 workshop, Eq. 1.
    """
    if step < first:
        return initial
    progress = 1.0 if step >= last else (step - first) / (last - first)
    return final + (initial - final) * (1 - progress) ** 3


class GradualPruning:
    """Prune a model while it trains: a training callback.

    From ``begin`` to ``end`` masks are recomputed every ``every`` steps at the scheduled sparsity; from then to the end
    of the run they stay. After every step pruned weights, those of an average included, are zero; a pruned block stays
    pruned. With ``begin = end = 0`` everything is pruned before the first step: one-shot, then fine-tuning.

    Pruned weights have no gradient: where a whole channel is pruned, batch norm divides by next to nothing, and the
    gradients of weights that are gone would take all that clipping leaves.

    The masks follow from the weights and the step, so that a run that resumes finds them again.

    Args:
        targets: final sparsity and block size by module name.
        begin: share of the run's steps before the first mask, 0 to ``end``.
        end: share of the run's steps after which the final sparsity is reached, up to 1.
        every: steps between two masks.
        score: norm by which blocks are compared.

    Raises:
        ConfigError: a value is out of range; at the start of a run, a layer is not in the model or cannot be pruned so.

    Reference: paper Sec. III-C2.
    """

    def __init__(
        self, targets: Targets, *, begin: float = 0.0, end: float = 0.6, every: int = 10, score: Score = "l2"
    ) -> None:
        if not 0 <= begin <= end <= 1:
            raise ConfigError(f"pruning: begin = {begin}, end = {end}; allowed: 0 <= begin <= end <= 1")
        if every < 1:
            raise ConfigError(f"pruning: every = {every}; allowed: 1 or more steps")
        self.targets = dict(targets)
        self._begin, self._end, self._every, self._score = begin, end, every, score
        self._first = self._last = 0
        self._parameters: list[nn.Parameter] = []
        self._weights: list[Tensor] = []
        self._averages: list[Tensor] = []
        self._masks: list[Tensor] = []

    def on_start(self, state: PrunableRun) -> None:
        """Look up the layers, and recompute the masks of a run that resumes."""
        layers = prunable(state.model, self.targets)
        self._first = round(self._begin * state.total_steps)
        self._last = max(round(self._end * state.total_steps), self._first)
        self._depthwise = [is_depthwise(module) for module in layers.values()]
        self._parameters = [weight_of(module) for module in layers.values()]
        self._weights = [parameter.data for parameter in self._parameters]
        average = state.average
        self._averages = [] if average is None else [weight_of(average.get_submodule(name)).data for name in layers]
        self._masks = []
        if state.step >= self._first:
            self._update_masks(self._latest_update(state.step))
        self._apply()

    def on_gradients(self, state: PrunableRun) -> None:  # noqa: ARG002 - a callback's signature
        """Keep the gradients of pruned weights at zero."""
        for parameter, mask in zip(self._parameters, self._masks, strict=False):
            if parameter.grad is not None:
                parameter.grad.mul_(mask)

    def on_step(self, state: PrunableRun) -> None:
        """Keep pruned weights at zero, and prune more when it is due."""
        self._apply()
        if state.step == self._latest_update(state.step):
            self._update_masks(state.step)
            self._apply()

    def on_epoch(self, state: PrunableRun) -> None:
        """Do nothing: pruning counts steps."""

    def sparsity(self, step: int, final: float) -> float:
        """Return the sparsity after a step of a layer with the given final sparsity."""
        return scheduled_sparsity(step, self._first, self._last, final)

    def _latest_update(self, step: int) -> int:
        """Return the last step up to this one at which masks change, or -1."""
        if step < self._first:
            return -1
        return self._last if step >= self._last else step - (step - self._first) % self._every

    def _update_masks(self, step: int) -> None:
        self._masks = [
            weight_mask(
                weight, BlockSparsity(self.sparsity(step, target.sparsity), target.block), depthwise, self._score
            )
            for weight, target, depthwise in zip(self._weights, self.targets.values(), self._depthwise, strict=True)
        ]

    @torch.no_grad()
    def _apply(self) -> None:
        if self._masks:
            torch._foreach_mul_(self._weights, self._masks)
            if self._averages:
                torch._foreach_mul_(self._averages, self._masks)
