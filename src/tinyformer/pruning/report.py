"""How sparse a model is."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from tinyformer.pruning.blocks import is_depthwise, to_blocks
from tinyformer.pruning.masks import Targets, prunable, weight_of


@dataclass(frozen=True, slots=True)
class LayerSparsity:
    """Weights and blocks of a layer, and how many are zero.

    Attributes:
        name: the module's.
        block: weights in a block.
        target: share of blocks that was to be pruned.
        weights: number of weights, padding left out.
        zero_weights: how many of them are zero.
        blocks: number of blocks, padded ones included.
        zero_blocks: how many of them are all zero.
    """

    name: str
    block: int
    target: float
    weights: int
    zero_weights: int
    blocks: int
    zero_blocks: int

    @property
    def weight_sparsity(self) -> float:
        """Share of zero weights."""
        return self.zero_weights / self.weights

    @property
    def block_sparsity(self) -> float:
        """Share of blocks that are all zero: what the sparse code does not store."""
        return self.zero_blocks / self.blocks


@dataclass(frozen=True, slots=True)
class SparsityReport:
    """The sparsity of every layer with a target."""

    layers: tuple[LayerSparsity, ...]

    @property
    def weights(self) -> int:
        """Weights of all layers."""
        return sum(layer.weights for layer in self.layers)

    @property
    def nonzero_weights(self) -> int:
        """Weights that are not zero (the paper's effective weights, Table II)."""
        return sum(layer.weights - layer.zero_weights for layer in self.layers)

    @property
    def weight_sparsity(self) -> float:
        """Share of zero weights; 0 without layers."""
        return 1 - self.nonzero_weights / self.weights if self.weights else 0.0


def sparsity_report(model: nn.Module, targets: Targets) -> SparsityReport:
    """Count the zero weights and blocks of the targets' layers.

    Raises:
        ConfigError: a layer is not in the model or cannot be pruned so.
    """
    return SparsityReport(tuple(_layer(name, module, targets) for name, module in prunable(model, targets).items()))


def _layer(name: str, module: nn.Module, targets: Targets) -> LayerSparsity:
    weight, target = weight_of(module).detach(), targets[name]
    blocks = to_blocks(weight, target.block, is_depthwise(module))
    return LayerSparsity(
        name=name,
        block=target.block,
        target=target.sparsity,
        weights=weight.numel(),
        zero_weights=int((weight == 0).sum()),
        blocks=blocks.shape[0] * blocks.shape[1],
        zero_blocks=int((blocks == 0).all(-1).sum()),
    )
