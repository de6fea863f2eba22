"""Muon for matrices, AdamW for all else."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any

import torch
from torch import Tensor, optim

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

    The singular values of the result lie between 0.7 and 1.2, but for those that were next to zero. The steps
    X' = (a I + b X X^T + c (X X^T)^2) X commute with X X^T, so they are gathered as one square matrix of the shorter
    side, and the longer side is multiplied twice in all.

    Args:
        matrix: (rows, columns), float32.
    """
    a, b, c = _COEFFICIENTS
    wide = matrix.shape[0] <= matrix.shape[1]
    x: Tensor = matrix if wide else matrix.T
    x = x / (x.norm() + 1e-7)
    gram = x @ x.T
    polynomial = torch.eye(len(gram), device=matrix.device)
    for _ in range(_ITERATIONS):
        step = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        step.diagonal().add_(a)
        polynomial = step @ polynomial
        gram = step @ gram @ step
    x = polynomial @ x
    return x if wide else x.T
