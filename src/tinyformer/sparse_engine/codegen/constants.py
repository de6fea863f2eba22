"""The constant arrays of a model: every plane, bias, multiplier and table once, under a name made of its use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tinyformer.sparse_engine import ops
from tinyformer.sparse_engine.codegen import text
from tinyformer.sparse_engine.coding import EncodedWeights
from tinyformer.sparse_engine.ir import Graph, GraphError, Operator
from tinyformer.sparse_engine.kernels import KernelCall, TensorArgument, WeightsArgument

_ALIGNMENT_BYTES = 4

_ROLES: Mapping[type[Operator], tuple[str, ...]] = {
    ops.Conv2D: ("input", "weights", "bias", "multipliers"),
    ops.PooledConv2D: ("input", "weights", "bias", "multipliers"),
    ops.DepthwiseConv2D: ("input", "weights", "bias", "multipliers"),
    ops.Linear: ("input", "weights", "bias", "multipliers"),
    ops.LayerNorm: ("input", "gamma", "beta"),
    ops.AvgPool2D: ("input", "multipliers"),
    ops.Lookup: ("input", "table"),
}

_STRUCTS = {"block_rle": "se_block_weights", "block_rle4": "se_rle4_weights", "block_bitmap": "se_bitmap_weights"}
"""Encoding -> the struct of ``runtime/se_kernels.h`` whose fields are its planes."""


@dataclass(frozen=True)
class ConstantArray:
    """One const array of the generated C."""

    symbol: str
    values: npt.NDArray[np.integer]
    comment: str
    alignment: int = _ALIGNMENT_BYTES

    @property
    def c_type(self) -> str:
        """The element type."""
        return text.C_TYPES[self.values.dtype]

    @property
    def elements(self) -> int:
        """The number of elements."""
        return int(self.values.size)

    @property
    def text(self) -> str:
        """The inside of the initialiser."""
        return text.array(self.values)


@dataclass(frozen=True)
class BlockStruct:
    """One struct of block weights: its C type, and the symbols of its planes in the struct's order."""

    c_type: str
    symbol: str
    planes: tuple[str, ...]


@dataclass
class ConstantPool:
    """Collects the constants of a model; equal arrays are stored once.

    ``tensors`` maps (index of a call, constant tensor) to the C expression that points at it, ``weights`` the index of
    a call to that of its encoded weights.
    """

    name: str
    arrays: list[ConstantArray] = field(default_factory=list)
    blocks: list[BlockStruct] = field(default_factory=list)
    tensors: dict[tuple[int, str], str] = field(default_factory=dict)
    weights: dict[int, str] = field(default_factory=dict)
    _seen: dict[tuple[str, bytes], str] = field(default_factory=dict)

    def add(self, role: str, values: npt.NDArray[np.integer], comment: str) -> str:
        """Return the symbol of an array, new or already there."""
        values = np.ascontiguousarray(values).ravel()
        if values.size == 0:  # C has no empty arrays
            values = np.zeros(1, values.dtype)
        key = (values.dtype.str, values.tobytes())
        if key not in self._seen:
            self._seen[key] = f"{self.name}_{role}"
            self.arrays.append(ConstantArray(self._seen[key], values, text.comment(comment)))
        return self._seen[key]

    def add_weights(self, index: int, encoded: EncodedWeights, comment: str) -> None:
        """Store the planes of one node's weights."""
        if encoded.encoding == "dense":
            self.weights[index] = self.add(f"weights_{index}", encoded.planes[0].array, comment)
            return
        planes = tuple(self.add(f"{p.name}_{index}", p.array, f"{comment}, {p.name}") for p in encoded.planes)
        struct = BlockStruct(_STRUCTS[encoded.encoding], f"{self.name}_weights_{index}", planes)
        same = [other.symbol for other in self.blocks if (other.c_type, other.planes) == (struct.c_type, planes)]
        if not same:
            self.blocks.append(struct)
        self.weights[index] = f"&{same[0] if same else struct.symbol}"


def collect(
    graph: Graph, calls: Sequence[KernelCall], encoded: Mapping[str, EncodedWeights], name: str
) -> ConstantPool:
    """Gather every constant that the calls read, in the order of first use.

    Raises:
        GraphError: a constant has no data, or a node's weights are not encoded as its call says.
    """
    pool = ConstantPool(name)
    for index, kernel_call in enumerate(calls):
        node = kernel_call.node
        where = f"node {index}, {node.op.kind}"
        for call in kernel_call.calls:
            for argument in call.arguments:
                if isinstance(argument, WeightsArgument):
                    pool.add_weights(index, _weights(kernel_call, encoded), f"{where}: weights")
                elif isinstance(argument, TensorArgument) and graph.tensors[argument.name].constant:
                    if argument.name not in graph.data:
                        raise GraphError(f"node {node.name}: constant '{argument.name}' has no data to generate C from")
                    position = node.inputs.index(argument.name)
                    role = _role(node.op, position)
                    pool.tensors[index, argument.name] = pool.add(
                        f"{role}_{index}", graph.data[argument.name], f"{where}: {role}"
                    )
    return pool


def _weights(kernel_call: KernelCall, encoded: Mapping[str, EncodedWeights]) -> EncodedWeights:
    name, option = kernel_call.node.name, kernel_call.encoding
    weights = encoded.get(name)
    if weights is None or option is None or (weights.encoding, weights.block) != (option.encoding, option.block):
        raise GraphError(f"node {name}: its weights are not encoded as its kernel reads them")
    return weights


def _role(op: Operator, position: int) -> str:
    roles = _ROLES.get(type(op), ())
    return roles[position] if position < len(roles) else f"operand{position}"
