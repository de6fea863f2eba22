"""Self-adaptive coding: what each layer would take in every encoding, and the smallest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tinyformer.errors import ConfigError
from tinyformer.sparse_engine import ops
from tinyformer.sparse_engine.coding.block_bitmap import BlockBitmap
from tinyformer.sparse_engine.coding.block_rle import BlockRle
from tinyformer.sparse_engine.coding.block_rle4 import BlockRle4
from tinyformer.sparse_engine.coding.dense import Dense
from tinyformer.sparse_engine.coding.encoding import BlockDensity, EncodedWeights, Encoding, Int8Array
from tinyformer.sparse_engine.ir import Graph, GraphError, Operator, Shape

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
        operator = ops.with_weights(node.op)
        if operator is None:
            continue
        weight = graph.data.get(node.inputs[1])
        if weight is None:
            density = (densities or {}).get(node.name, _UNPRUNED)
            found[node.name] = _expected_options(operator, graph.tensors[node.inputs[1]].shape, density)
        else:
            found[node.name] = _options(operator, weight.astype(np.int8, copy=False))
    return found


def _options(operator: Operator, weight: Int8Array) -> tuple[Option, ...]:
    return _held(operator, weight.shape, lambda encoding, block: encoding.nbytes(weight, block))


@lru_cache(maxsize=8192)
def _expected_options(operator: Operator, shape: Shape, density: BlockDensity) -> tuple[Option, ...]:
    return _held(operator, shape, lambda encoding, block: encoding.expected_nbytes(shape, block, density))


def _held(operator: Operator, shape: Shape, nbytes: Callable[[Encoding, int], int | None]) -> tuple[Option, ...]:
    """Return the options of one layer, ``nbytes`` saying what an encoding and block size take, None if they cannot."""
    found = []
    for encoding in ENCODINGS.values():
        for block in encoding.blocks(operator):
            taken = nbytes(encoding, block)
            if taken is not None:
                found.append(Option(encoding.name, block, taken, encoding.blocks_in(taken, shape, block)))
    return tuple(found)


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
