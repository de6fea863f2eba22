"""Optimisers by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn, optim

from tinyformer.training.muon import MUON, MuonAdamW
from tinyformer.training.settings import Optimizer

Groups = list[dict[str, Any]]

_MOMENTUM = 0.9
_MATRIX_SIZE = 16
# Far below any gradient's moment that counts, and hundreds of steps of decay above float32's denormals (1.2e-38).
_NOTHING = 1e-30


def _adamw(groups: Groups, lr: float, fused: bool) -> optim.Optimizer:
    return optim.AdamW(groups, lr=lr, fused=fused)


def _sgd(groups: Groups, lr: float, fused: bool) -> optim.Optimizer:
    return optim.SGD(groups, lr=lr, momentum=_MOMENTUM, nesterov=True, fused=fused)


_BUILDERS: Mapping[Optimizer, Callable[[Groups, float, bool], optim.Optimizer]] = {
    "adamw": _adamw,
    "muon": MuonAdamW,
    "sgd": _sgd,
}


def build(name: Optimizer, model: nn.Module, lr: float, weight_decay: float) -> optim.Optimizer:
    """Return an optimiser of a model's parameters; only weights of two axes or more decay."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in parameters if _is_matrix(p)]
    others = [p for p in parameters if p.ndim >= 2 and not _is_matrix(p)]
    spared = [p for p in parameters if p.ndim < 2]
    groups: Groups = [
        {"params": members, "weight_decay": decay, MUON: name == "muon" and members is matrices}
        for members, decay in ((matrices, weight_decay), (others, weight_decay), (spared, 0.0))
        if members
    ]
    fused = all(p.device.type in ("cpu", "cuda") for p in parameters)
    return _BUILDERS[name](groups, lr, fused)


@torch.no_grad()
def forget_nothings(optimizer: optim.Optimizer) -> None:
    """Set what has decayed to next to nothing in an optimiser's state to zero; call it every hundred steps or so.

    A pruned weight has no gradient, and its moments halve every few steps until they are denormal, which processors
    multiply tens of times more slowly: a third of the weights was enough for epochs that took seven times as long.
    """
    for state in optimizer.state.values():
        for value in state.values():
            if isinstance(value, torch.Tensor) and value.is_floating_point() and value.ndim:
                value.masked_fill_(value.abs() < _NOTHING, 0.0)


def _is_matrix(parameter: nn.Parameter) -> bool:
    """Say whether a weight has rows and columns enough to be a matrix: depthwise filters, for one, are not."""
    return parameter.ndim >= 2 and min(len(parameter), parameter[0].numel()) >= _MATRIX_SIZE
