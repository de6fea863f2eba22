"""The passes: a graph as the file says it in, a lowered graph that kernels run out.

A pass is a pure function of a graph with a name and a reason. ``PIPELINE`` is the order; ``run`` verifies the graph
after every pass. Passes also take graphs whose constants have no data, and then change operators, shapes and order in
the same way (a clamp that only the values of a table show is not seen).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tinyformer.errors import TinyFormerError
from tinyformer.sparse_engine.ir import Graph, GraphError
from tinyformer.sparse_engine.passes.channels_last import channels_last_input, channels_last_output
from tinyformer.sparse_engine.passes.fold_padding import fold_padding
from tinyformer.sparse_engine.passes.fold_zero_points import fold_zero_points
from tinyformer.sparse_engine.passes.fuse_attention import fuse_attention
from tinyformer.sparse_engine.passes.fuse_lookups import fuse_clamps, merge_lookups
from tinyformer.sparse_engine.passes.fuse_pooling import fuse_pooling
from tinyformer.sparse_engine.passes.lower_requantization import lower_requantization
from tinyformer.sparse_engine.passes.permute_linear_weights import permute_linear_weights
from tinyformer.sparse_engine.passes.place_movement import place_movement
from tinyformer.sparse_engine.passes.pointwise_to_linear import pointwise_to_linear
from tinyformer.sparse_engine.passes.prove_accumulators import prove_accumulators
from tinyformer.sparse_engine.passes.remove_channels import remove_channels
from tinyformer.sparse_engine.passes.remove_identities import remove_identities
from tinyformer.sparse_engine.passes.rescale_zero_filters import rescale_zero_filters
from tinyformer.sparse_engine.passes.sink_transposes import sink_transposes
from tinyformer.sparse_engine.passes.split_transposes import split_transposes
from tinyformer.sparse_engine.passes.tabulate_pointwise import tabulate_pointwise
from tinyformer.sparse_engine.passes.transpose_matmul import transpose_matmul

__all__ = ["PIPELINE", "Pass", "PassError", "run"]


@dataclass(frozen=True)
class Pass:
    """One step of the pipeline: a function of a graph, and why it stands where it stands."""

    apply: Callable[[Graph], Graph]
    reason: str

    @property
    def name(self) -> str:
        """The function's name."""
        return self.apply.__name__


class PassError(GraphError):
    """A pass failed or left a broken graph: a defect of the pass, not of the model."""


PIPELINE: tuple[Pass, ...] = (
    Pass(remove_identities, "what changes nothing must not stand between operators that later passes join"),
    Pass(channels_last_input, "images come channels last; before sinking, which takes the transpose back with it"),
    Pass(sink_transposes, "operators are channels last, so the file's channels-first transposes meet and cancel"),
    Pass(transpose_matmul, "attention's transposed keys are read in place; needs composed chains"),
    Pass(sink_transposes, "composes what transpose_matmul took apart"),
    Pass(channels_last_output, "the last transpose, now sunk to the output, is the caller's to interpret"),
    Pass(
        permute_linear_weights,
        "the transpose in front of a classifier costs nothing in its weights; needs composed chains",
    ),
    Pass(merge_lookups, "two tables in a row are one; before fuse_clamps, which sees one table at a time"),
    Pass(fuse_clamps, "a Relu with its own scale costs no pass over memory; needs transposes gone from between"),
    Pass(fold_padding, "convolutions pad for themselves; needs transposes gone from between"),
    Pass(pointwise_to_linear, "a 1x1 convolution needs no windows; after fold_padding, which may give it padding"),
    Pass(split_transposes, "the engine's copy walks four axes; after the last pass that composes chains"),
    Pass(place_movement, "one order whatever the exporter's; after the last pass that adds movement"),
    Pass(rescale_zero_filters, "emptied filters must not cost the others precision; before scales become multipliers"),
    Pass(fold_zero_points, "kernels multiply stored integers; padding and weights are final"),
    Pass(lower_requantization, "scales become integers"),
    Pass(tabulate_pointwise, "a Silu in parts is one table and one buffer less; needs the integers of its parts"),
    Pass(remove_channels, "what an emptied filter gives is known to the integer; before sums are bounded"),
    Pass(prove_accumulators, "int32 must hold every sum; needs folded biases and shifts"),
    Pass(fuse_pooling, "a convolution under a maximum need not exist as a whole; last, as it joins finished operators"),
    Pass(fuse_attention, "nor need a matrix of tokens by tokens; for the same reason"),
)
"""The pipeline, in order."""


def run(graph: Graph, pipeline: Sequence[Pass] = PIPELINE) -> Graph:
    """Apply passes in order, verifying the graph before the first and after each.

    Args:
        graph: for example from ``frontend.load``.
        pipeline: usually ``PIPELINE``.

    Raises:
        UnsupportedModelError: the model asks for what the engine cannot compute in integers.
        PassError: names the pass that failed and those that ran before it.
    """
    graph.verify()
    for index, step in enumerate(pipeline):
        try:
            graph = step.apply(graph)
            graph.verify()
        except TinyFormerError:
            raise
        except Exception as error:
            before = ", ".join(earlier.name for earlier in pipeline[:index]) or "none"
            raise PassError(f"pass {step.name}: {error}; ran before it: {before}") from error
    return graph
