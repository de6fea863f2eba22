"""Optimisers by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn, optim

from tinyformer.training.muon import MUON, MuonAdamW

Groups = list[dict[str, Any]]

_MOMENTUM = 0.9
_MATRIX_SIZE = 16


def _adamw(groups: Groups, lr: float, fused: bool) -> optim.Optimizer:
    return optim.AdamW(groups, lr=lr, fused=fused)


def _sgd(groups: Groups, lr: float, fused: bool) -> optim.Optimizer:
    return optim.SGD(groups, lr=lr, momentum=_MOMENTUM, nesterov=True, fused=fused)


OPTIMIZERS: Mapping[str, Callable[[Groups, float, bool], optim.Optimizer]] = {
    "adamw": _adamw,
    "muon": MuonAdamW,
    "sgd": _sgd,
}


def build(name: str, model: nn.Module, lr: float, weight_decay: float) -> optim.Optimizer:
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
    return OPTIMIZERS[name](groups, lr, fused)


def _is_matrix(parameter: nn.Parameter) -> bool:
    """Say whether a weight has rows and columns enough to be a matrix: depthwise filters, for one, are not."""
    return parameter.ndim >= 2 and min(len(parameter), parameter[0].numel()) >= _MATRIX_SIZE
