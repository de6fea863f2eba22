"""Self-adaptive coding: what each layer would take in every encoding, and the smallest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tinyformer.errors import ConfigError
from tinyformer.sparse_engine import ops
from tinyformer.sparse_engine.coding.block_bitmap import BlockBitmap
from tinyformer.sparse_engine.coding.block_rle import BlockRle
from tinyformer.sparse_engine.coding.block_rle4 import BlockRle4
from tinyformer.sparse_engine.coding.dense import Dense
from tinyformer.sparse_engine.coding.encoding import BlockDensity, EncodedWeights, Encoding, Int8Array
from tinyformer.sparse_engine.ir import Graph, GraphError, Node

_ALL: tuple[Encoding, ...] = (Dense(), BlockRle(), BlockRle4(), BlockBitmap())
ENCODINGS: Mapping[str, Encoding] = {encoding.name: encoding for encoding in _ALL}
_UNPRUNED = BlockDensity(0.0, 1)


@dataclass(frozen=True, slots=True)
class Option:
    """An encoding, its block size (1 for the dense form), the bytes a layer takes in it, and the blocks it stores."""

    encoding: str
    block: int
    nbytes: int
    stored_blocks: int = 0


def options(graph: Graph, densities: Mapping[str, BlockDensity] | None = None) -> Mapping[str, tuple[Option, ...]]:
    """Return the encodings of every node with weights: the dense form first, then those that can hold the weights.

    Args:
        graph: with or without the weights' data.
        densities: for nodes without data, what pruning will leave, by node name; a node it does not name is dense.
    """
    found = {}
    for node in graph.nodes:
        if ops.with_weights(node.op) is not None:
            density = (densities or {}).get(node.name, _UNPRUNED)
            found[node.name] = tuple(_node_options(graph, node, density))
    return found


def _node_options(graph: Graph, node: Node, density: BlockDensity) -> list[Option]:
    name = node.inputs[1]
    weight, shape = graph.data.get(name), graph.tensors[name].shape
    operator = ops.with_weights(node.op) or node.op
    found = []
    for encoding in ENCODINGS.values():
        for block in encoding.blocks(operator):
            if weight is None:
                nbytes = encoding.expected_nbytes(shape, block, density)
            else:
                nbytes = encoding.nbytes(weight.astype(np.int8, copy=False), block)
            if nbytes is not None:
                found.append(Option(encoding.name, block, nbytes, encoding.blocks_in(nbytes, shape, block)))
    return found


def prescribe(
    found: Mapping[str, tuple[Option, ...]], wanted: Mapping[str, tuple[str, int]]
) -> Mapping[str, tuple[Option, ...]]:
    """Return the options with only the wanted (encoding, block) left for the nodes that ``wanted`` names.

    Raises:
        ConfigError: a named node has no such option.
    """
    left = dict(found)
    for name, (encoding, block) in wanted.items():
        every = found.get(name, ())
        left[name] = tuple(option for option in every if (option.encoding, option.block) == (encoding, block))
        if not left[name]:
            there = ", ".join(f"{option.encoding}/{option.block}" for option in every) or "none"
            raise ConfigError(f"node {name} has no encoding {encoding}/{block}: there are {there}")
    return left


def choose(found: Mapping[str, Sequence[Option]]) -> Mapping[str, Option]:
    """Return every node's smallest option; the dense form, which comes first, on a tie."""
    return {name: min(node_options, key=lambda option: option.nbytes) for name, node_options in found.items()}


def encode(graph: Graph, choice: Mapping[str, Option]) -> Mapping[str, EncodedWeights]:
    """Return the weights of the chosen nodes, encoded as chosen.

    Raises:
        GraphError: a chosen node does not exist or its weights have no data.
    """
    nodes = {node.name: node for node in graph.nodes}
    encoded = {}
    for name, option in choice.items():
        if name not in nodes:
            raise GraphError(f"graph {graph.name}: no node '{name}' to encode")
        tensor = nodes[name].inputs[1]
        if tensor not in graph.data:
            raise GraphError(f"node {name}: weight '{tensor}' has no data to encode")
        weight: Int8Array = graph.data[tensor].astype(np.int8, copy=False)
        encoded[name] = ENCODINGS[option.encoding].encode(weight, option.block)
    return encoded
