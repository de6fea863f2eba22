"""Muon for matrices, AdamW for all else."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any

import torch
from torch import Tensor, optim

from tinyformer.training.precision import has_bf16

MUON = "muon"  # the key of a parameter group

_MOMENTUM = 0.95
_ITERATIONS = 5
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ADAMW_RMS = 0.2  # the root mean square of AdamW's updates, which Muon's are scaled to (Liu et al. 2025, Sec. 2.2)


class MuonAdamW(optim.AdamW):
    """Two optimisers in one: Muon for the groups whose ``muon`` is true, AdamW for the others.

    Muon replaces the momentum of a weight by the nearest orthogonal matrix, scaled so that learning rate and weight
    decay mean what they mean for AdamW. A convolution's weight is the matrix of its filters.

    Args:
        groups: parameter groups; those with ``muon`` true hold weights of two axes or more.
        lr: learning rate.
        fused: whether AdamW runs as one kernel.

    Reference: Jordan et al., Muon, 2024; Liu et al., Muon is Scalable for LLM Training, 2025.
    """

    def __init__(self, groups: list[dict[str, Any]], lr: float, fused: bool) -> None:
        super().__init__(groups, lr=lr, fused=fused)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step; gradients of Muon's weights are used up."""
        for group in self.param_groups:
            if group.get(MUON):
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        self._step_matrix(parameter, parameter.grad, group["lr"], group["weight_decay"])
                        parameter.grad = None  # AdamW passes it by
        return super().step(closure)  # type: ignore[no-any-return]

    def _step_matrix(self, weight: Tensor, gradient: Tensor, lr: float, weight_decay: float) -> None:
        state = self.state[weight]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(weight)
        momentum: Tensor = state["momentum"].lerp_(gradient, 1 - _MOMENTUM)
        update = orthogonal(torch.lerp(gradient, momentum, _MOMENTUM).flatten(1))
        scale = _ADAMW_RMS * sqrt(max(update.shape))
        weight.mul_(1 - lr * weight_decay).add_(update.view(weight.shape), alpha=-lr * scale)


def orthogonal(matrix: Tensor) -> Tensor:
    """Return about U V^T of the singular value decomposition U S V^T, by a quintic Newton-Schulz iteration.

    The singular values of the result lie between 0.7 and 1.2, but for those that were next to zero.

    Args:
        matrix: (rows, columns).
    """
    a, b, c = _COEFFICIENTS
    dtype = torch.bfloat16 if has_bf16(matrix.device) else torch.float32
    wide = matrix.shape[0] <= matrix.shape[1]
    x: Tensor = (matrix if wide else matrix.T).to(dtype)
    x = x / (x.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x if wide else x.T).to(matrix.dtype)
