"""Weights as the blocks that the engine's sparse code stores.

Per output channel, blocks of b consecutive weights: along the input channels at each kernel position (convolution,
linear), or along the kernel width (depthwise). Where the length is no multiple of b, zeros pad the last block. Blocks
of a filter are numbered in (ky, kx, channel block) order, as in the runtime's ``se_block_weights``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from tinyformer.errors import ConfigError
from tinyformer.search_space import BLOCK_SIZES, DEPTHWISE_BLOCK

Score = Literal["l2", "l1"]

_SCORES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "l2": lambda blocks: blocks.square().sum(-1).sqrt(),
    "l1": lambda blocks: blocks.abs().sum(-1),
}


def is_depthwise(module: nn.Module) -> bool:
    """Say whether a module is a convolution with one filter per channel."""
    return isinstance(module, nn.Conv2d) and 1 < module.groups == module.in_channels == module.out_channels


def allowed_blocks(module: nn.Module) -> tuple[int, ...]:
    """Return the block sizes in which a module can be pruned; none for a module without a sparse kernel."""
    if is_depthwise(module):
        return (DEPTHWISE_BLOCK,)
    dense = isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1)
    return BLOCK_SIZES if dense else ()


def to_blocks(weight: Tensor, block: int, depthwise: bool = False) -> Tensor:
    """Cut weights into blocks.

    Args:
        weight: (O, I, kh, kw) or (O, I); depthwise (C, 1, kh, kw).
        block: weights in a block.
        depthwise: blocks run along the kernel width.

    Returns:
        (O, blocks per filter, block), zero in the padding.
    """
    rows = _rows(weight, depthwise)
    padded = functional.pad(rows, (0, -rows.shape[-1] % block))
    return padded.reshape(weight.shape[0], -1, block)


def from_blocks(blocks: Tensor, shape: torch.Size | tuple[int, ...], block: int, depthwise: bool = False) -> Tensor:
    """Undo ``to_blocks`` for weights of a shape."""
    rows_shape = _rows(blocks.new_empty(shape), depthwise).shape
    length = rows_shape[-1]
    rows = blocks.reshape(*rows_shape[:-1], length + -length % block)[..., :length]
    if len(shape) == 2 or depthwise:
        return rows.reshape(shape)
    return rows.permute(0, 3, 1, 2)


def block_scores(weight: Tensor, block: int, depthwise: bool = False, score: Score = "l2") -> Tensor:
    """Return the norm of each block, (O, blocks per filter).

    A padded block has fewer weights and so tends to a lower score: it costs as many bytes and holds less.

    Raises:
        ConfigError: an unknown norm.
    """
    if score not in _SCORES:
        raise ConfigError(f"pruning: score '{score}'; allowed: {', '.join(_SCORES)}")
    return _SCORES[score](to_blocks(weight, block, depthwise))


def _rows(weight: Tensor, depthwise: bool) -> Tensor:
    """Return weights with the axis along which blocks run last: (O, ..., length)."""
    if weight.ndim == 2:
        return weight
    return weight[:, 0] if depthwise else weight.permute(0, 2, 3, 1)
