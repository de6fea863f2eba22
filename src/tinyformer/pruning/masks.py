"""Masks that set blocks of weights to zero."""

from __future__ import annotations

from collections.abc import Mapping
from math import floor

import torch
from torch import Tensor, nn

from tinyformer.errors import ConfigError
from tinyformer.pruning.blocks import Score, allowed_blocks, block_scores, from_blocks, is_depthwise
from tinyformer.search_space import BlockSparsity

Targets = Mapping[str, BlockSparsity]


def prunable(model: nn.Module, targets: Targets) -> dict[str, nn.Module]:
    """Map the targets' names to the model's modules.

    Raises:
        ConfigError: no such module, one that cannot be pruned, or not in blocks of this size.
    """
    modules = dict(model.named_modules())
    chosen = {}
    for name, target in targets.items():
        if name not in modules:
            raise ConfigError(
                f"pruning: the model has no layer '{name}'; allowed: names of its convolutions and linears"
            )
        allowed = allowed_blocks(modules[name])
        if not allowed:
            kind = type(modules[name]).__name__
            raise ConfigError(f"pruning: layer {name} is a {kind}; allowed: linear, depthwise or ungrouped convolution")
        if target.block not in allowed:
            raise ConfigError(
                f"pruning: layer {name} in blocks of {target.block}; allowed: {', '.join(map(str, allowed))}"
            )
        chosen[name] = modules[name]
    return chosen


def layer_masks(model: nn.Module, targets: Targets, score: Score = "l2") -> dict[str, Tensor]:
    """Return masks, of the weights' shapes and types, that are 0 in each layer's lowest blocks and 1 elsewhere.

    ``floor(sparsity * blocks + 1/2)`` blocks of a layer are zero. Of equal blocks the first goes first.

    Args:
        model: its float weights are read.
        targets: sparsity and block size by module name.
        score: norm by which blocks are compared.

    Raises:
        ConfigError: a layer is not in the model or cannot be pruned so.

    Reference: paper Sec. III-C2 and Fig. 5.
    """
    return {
        name: weight_mask(weight_of(module), targets[name], is_depthwise(module), score)
        for name, module in prunable(model, targets).items()
    }


@torch.no_grad()
def weight_mask(weight: Tensor, target: BlockSparsity, depthwise: bool, score: Score = "l2") -> Tensor:
    """Return the mask of one layer's weights."""
    scores = block_scores(weight, target.block, depthwise, score)
    keep = torch.ones(scores.numel(), dtype=weight.dtype, device=weight.device)
    order = torch.argsort(scores.reshape(-1), stable=True)
    keep[order[: floor(target.sparsity * scores.numel() + 0.5)]] = 0
    blocks = keep.reshape(*scores.shape, 1).expand(*scores.shape, target.block)
    return torch.empty_like(weight).copy_(from_blocks(blocks, weight.shape, target.block, depthwise))


@torch.no_grad()
def one_shot(model: nn.Module, targets: Targets, score: Score = "l2") -> dict[str, Tensor]:
    """Set the lowest blocks of the targets' layers to zero, in place, and return the masks.

    Args:
        model: float weights.
        targets: sparsity and block size by module name.
        score: norm by which blocks are compared.

    Raises:
        ConfigError: a layer is not in the model or cannot be pruned so.

    Reference: paper Alg. 2, line 17.
    """
    masks = layer_masks(model, targets, score)
    for name, mask in masks.items():
        weight_of(model.get_submodule(name)).mul_(mask)
    return masks


def weight_of(module: nn.Module) -> nn.Parameter:
    """Return a layer's weight."""
    return module.get_parameter("weight")
