"""The engine's intermediate representation: an immutable graph of integer operators.

Shapes leave out the batch, which is always 1: an image is (height, width, channels), a token sequence (tokens,
features), attention (heads, tokens, tokens), a vector (features,). Data is row-major in that order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from math import isfinite, prod
from types import MappingProxyType
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Shape = tuple[int, ...]
IntArray = npt.NDArray[np.integer]
AnyArray = npt.NDArray[Any]


class DType(Enum):
    """Element type of a tensor; the value is NumPy's name for it."""

    INT8 = "int8"
    INT16 = "int16"
    INT32 = "int32"

    @cached_property
    def item_bytes(self) -> int:
        """Bytes of one element."""
        return self.numpy.itemsize

    @cached_property
    def numpy(self) -> np.dtype[np.integer]:
        """The NumPy dtype."""
        return np.dtype(self.value)


@dataclass(frozen=True, slots=True)
class QuantParams:
    """Affine quantisation: real = scale * (integer - zero_point).

    ``scales`` has one entry (per tensor) or one for each index of the tensor's first axis (per output channel).
    """

    scales: tuple[float, ...]
    zero_point: int = 0

    def __post_init__(self) -> None:
        if not self.scales or not all(isfinite(s) and s > 0 for s in self.scales):
            raise ValueError(f"scales must be finite and positive, got {self.scales[:4]}")

    @property
    def scale(self) -> float:
        """The scale of a per-tensor quantisation."""
        if len(self.scales) != 1:
            raise ValueError("quantised per channel: use scales")
        return self.scales[0]


@dataclass(frozen=True, slots=True)
class Tensor:
    """A named array: an activation, or a constant when the graph holds (or will hold) its data.

    ``axis_order`` relates it to the model file's tensor of the same name: this tensor is the file's, without the batch
    axis, transposed by ``axis_order`` and reshaped to ``shape``. Empty: the file's own order. ``channels`` are the
    file's indices along the last axis in this tensor's order, at the end those of channels that were removed. Empty:
    all, in the file's order.
    """

    name: str
    shape: Shape
    dtype: DType = DType.INT8
    quant: QuantParams | None = None
    constant: bool = False
    axis_order: tuple[int, ...] = ()
    channels: tuple[int, ...] = ()

    @property
    def elements(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the plain array."""
        return self.elements * self.dtype.item_bytes

    @property
    def model_elements(self) -> int:
        """Number of elements of the model file's tensor."""
        return prod(self.shape[:-1]) * len(self.channels) if self.channels else self.elements

    def from_model(self, values: AnyArray) -> AnyArray:
        """Return the model file's values of this tensor, (N, ...), as (N, *shape) in this tensor's order."""
        if self.axis_order:
            values = values.transpose(0, *(axis + 1 for axis in self.axis_order))
        if not self.channels:
            return values.reshape(len(values), *self.shape)
        present = self.channels[: self.shape[-1]]
        return values.reshape(len(values), *self.shape[:-1], len(self.channels))[..., present]


@runtime_checkable
class Operator(Protocol):
    """What an operator knows without its tensors: attributes, shape inference, work."""

    kind: ClassVar[str]

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return the output's shape; raise ValueError when the inputs do not fit the attributes."""
        ...

    def macs(self, inputs: Sequence[Shape]) -> int:
        """Return the multiply-accumulates of one inference (0 for operators without)."""
        ...


@dataclass(frozen=True, slots=True)
class Node:
    """One application of an operator. ``name`` is unique; inputs and output are tensor names."""

    name: str
    op: Operator
    inputs: tuple[str, ...]
    output: str


class GraphError(ValueError):
    """A graph breaks an invariant: a defect of the pass or front end that built it."""


@dataclass(frozen=True)
class Graph:
    """Nodes in execution order over named tensors, with one input and one output.

    ``data`` holds the constants' values. A graph lowered from a search-space path has constant tensors without data:
    shapes and costs are known, weights are not.
    """

    name: str
    tensors: Mapping[str, Tensor]
    nodes: tuple[Node, ...]
    input: str
    output: str
    data: Mapping[str, IntArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tensors", MappingProxyType(dict(self.tensors)))
        object.__setattr__(self, "data", MappingProxyType(dict(self.data)))

    def with_(
        self,
        *,
        nodes: Sequence[Node] | None = None,
        tensors: Mapping[str, Tensor] | None = None,
        data: Mapping[str, IntArray] | None = None,
        output: str | None = None,
        input: str | None = None,  # noqa: A002 - the field's name
    ) -> Graph:
        """Return a copy with the given parts replaced and tensors nobody uses dropped."""
        graph = replace(
            self,
            nodes=self.nodes if nodes is None else tuple(nodes),
            tensors=self.tensors if tensors is None else tensors,
            data=self.data if data is None else data,
            output=self.output if output is None else output,
            input=self.input if input is None else input,
        )
        used = {graph.input, graph.output}
        for node in graph.nodes:
            used.update(node.inputs)
            used.add(node.output)
        return replace(
            graph,
            tensors={k: t for k, t in graph.tensors.items() if k in used},
            data={k: d for k, d in graph.data.items() if k in used},
        )

    def producers(self) -> dict[str, Node]:
        """Map each computed tensor to the node that writes it."""
        return {node.output: node for node in self.nodes}

    def consumers(self) -> dict[str, list[Node]]:
        """Map each tensor to the nodes that read it, in order."""
        readers: dict[str, list[Node]] = {name: [] for name in self.tensors}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                readers[name].append(node)
        return readers

    def zero_point(self, name: str) -> int:
        """Return a tensor's zero point, 0 for one that is not quantised."""
        quant = self.tensors[name].quant
        return 0 if quant is None else quant.zero_point

    def input_shapes(self, node: Node) -> list[Shape]:
        """Return the shapes of a node's inputs, constants included."""
        return [self.tensors[name].shape for name in node.inputs]

    def macs(self, node: Node) -> int:
        """Return a node's multiply-accumulates, zero weights included."""
        return node.op.macs(self.input_shapes(node))

    def verify(self) -> None:
        """Check every invariant.

        Raises:
            GraphError: names the first node or tensor that breaks one.
        """
        for name in (self.input, self.output):
            if name not in self.tensors:
                raise GraphError(f"graph {self.name}: no tensor '{name}'")
        repeated = [name for name, count in Counter(n.name for n in self.nodes).items() if count > 1]
        if repeated:
            raise GraphError(f"graph {self.name}: node name '{repeated[0]}' is not unique")
        known = {self.input} | {name for name, tensor in self.tensors.items() if tensor.constant}
        for node in self.nodes:
            self._verify_node(node, known)
            known.add(node.output)
        if self.output not in known:
            raise GraphError(f"graph {self.name}: nothing computes the output '{self.output}'")
        for name, array in self.data.items():
            tensor = self.tensors.get(name)
            if tensor is None or not tensor.constant:
                raise GraphError(f"graph {self.name}: data without a constant tensor '{name}'")
            if array.shape != tensor.shape or array.dtype != tensor.dtype.numpy:
                raise GraphError(
                    f"constant {name}: data is {array.dtype}{array.shape}, tensor is {tensor.dtype.value}{tensor.shape}"
                )

    def _verify_node(self, node: Node, known: set[str]) -> None:
        where = f"node {node.name} ({node.op.kind})"
        for name in node.inputs:
            if name not in self.tensors:
                raise GraphError(f"{where}: no tensor '{name}'")
            if name not in known:
                raise GraphError(f"{where}: reads '{name}' before it is computed")
        if node.output not in self.tensors:
            raise GraphError(f"{where}: no tensor '{node.output}'")
        if node.output in known:
            raise GraphError(f"{where}: writes '{node.output}' a second time")
        try:
            shape = node.op.infer_shape(self.input_shapes(node))
        except ValueError as error:
            raise GraphError(f"{where}: {error}") from error
        if shape != self.tensors[node.output].shape:
            raise GraphError(f"{where}: output is {self.tensors[node.output].shape}, operator gives {shape}")

    def to_text(self) -> str:
        """Return one line per node, for people and golden tests."""
        lines = [f"graph {self.name}: {_describe(self.tensors[self.input])}"]
        for node in self.nodes:
            inputs = ", ".join(node.inputs)
            lines.append(f"  {_describe(self.tensors[node.output])} = {node.op}({inputs})")
        lines.append(f"  return {self.output}")
        return "\n".join(lines) + "\n"


def _describe(tensor: Tensor) -> str:
    shape = "x".join(map(str, tensor.shape)) or "scalar"
    text = f"{tensor.name}: {tensor.dtype.value}[{shape}]"
    if tensor.quant is not None and len(tensor.quant.scales) == 1:
        text += f" * {tensor.quant.scale:.6g} @ {tensor.quant.zero_point}"
    return text
