"""Mixed-blockwise pruning: masks in the granularity of the engine's sparse code, one-shot and gradual."""

from tinyformer.pruning.blocks import allowed_blocks, block_scores, from_blocks, to_blocks
from tinyformer.pruning.gradual import GradualPruning, scheduled_sparsity
from tinyformer.pruning.masks import Targets, layer_masks, one_shot
from tinyformer.pruning.report import LayerSparsity, SparsityReport, sparsity_report

__all__ = [
    "GradualPruning",
    "LayerSparsity",
    "SparsityReport",
    "Targets",
    "allowed_blocks",
    "block_scores",
    "from_blocks",
    "layer_masks",
    "one_shot",
    "scheduled_sparsity",
    "sparsity_report",
    "to_blocks",
]
