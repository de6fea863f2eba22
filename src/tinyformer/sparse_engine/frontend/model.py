"""What the converters see of an ONNX file: plain names, attributes, constants and shapes, already checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx

from tinyformer.errors import UnsupportedModelError
from tinyformer.sparse_engine.frontend.errors import quoted, unsupported
from tinyformer.sparse_engine.ir import AnyArray, Shape

LARGEST_ATTRIBUTE = 2**15 - 1
"""Greatest kernel size, stride, dilation or padding."""


@dataclass(frozen=True)
class OnnxNode:
    """One node of the file."""

    proto: onnx.NodeProto
    name: str
    attributes: Mapping[str, object] = field(repr=False)

    @property
    def op_type(self) -> str:
        """The operator's ONNX name."""
        return str(self.proto.op_type)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs; an absent optional one is empty."""
        return tuple(self.proto.input)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return tuple(self.proto.output)

    @property
    def where(self) -> str:
        """How messages call the node."""
        return f"node {quoted(self.name)} ({self.op_type})"

    def has_input(self, index: int) -> bool:
        """Whether the input at an index is given."""
        return index < len(self.inputs) and self.inputs[index] != ""

    def integer(self, name: str, default: int) -> int:
        """Return an integer attribute."""
        value = self.attributes.get(name, default)
        if not isinstance(value, int):
            raise self._wrong(name, "an integer")
        return value

    def number(self, name: str, default: float) -> float:
        """Return a float attribute."""
        value = self.attributes.get(name, default)
        if not isinstance(value, int | float) or not np.isfinite(value):
            raise self._wrong(name, "a finite number")
        return float(value)

    def text(self, name: str, default: str) -> str:
        """Return a string attribute."""
        value = self.attributes.get(name, default)
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        if not isinstance(value, str):
            raise self._wrong(name, "a string")
        return value

    def integers(self, name: str, default: tuple[int, ...] | None) -> tuple[int, ...] | None:
        """Return an attribute that is a list of integers."""
        value = self.attributes.get(name, default)
        if value is None:
            return None
        if not isinstance(value, list | tuple) or not all(isinstance(item, int) for item in value):
            raise self._wrong(name, "a list of integers")
        return tuple(value)

    def sizes(self, name: str, count: int, default: int | None, least: int) -> tuple[int, ...]:
        """Return an attribute of ``count`` integers, ``least`` .. 32767 each."""
        value = self.integers(name, None if default is None else (default,) * count)
        if value is None or len(value) != count or not all(least <= item <= LARGEST_ATTRIBUTE for item in value):
            raise self._wrong(name, f"{count} integers, {least} .. {LARGEST_ATTRIBUTE}")
        return value

    def error(self, problem: str, allowed: str, remedy: str = "export the model again") -> UnsupportedModelError:
        """Return the error that says what is wrong with this node."""
        return unsupported(self.where, problem, allowed, remedy)

    def require(self, holds: bool, problem: str, allowed: str, remedy: str = "export the model again") -> None:
        """Raise an error about this node unless a condition holds."""
        if not holds:
            raise self.error(problem, allowed, remedy)

    def _wrong(self, attribute: str, allowed: str) -> UnsupportedModelError:
        return self.error(f"attribute '{attribute}' is {repr(self.attributes.get(attribute))[:60]}", allowed)


@dataclass(frozen=True)
class OnnxModel:
    """A file with one input and one output, static shapes and supported operators only.

    ``constants`` are initialisers and what folded into them. ``shapes`` and ``types`` (ONNX element types) know every
    tensor, batch included. ``opset`` is the version of the default operator set.
    """

    name: str
    opset: int
    nodes: tuple[OnnxNode, ...]
    constants: Mapping[str, AnyArray]
    shapes: Mapping[str, Shape]
    types: Mapping[str, int]
    input: str
    output: str

    def readers(self) -> dict[str, list[OnnxNode]]:
        """Map each tensor to the nodes that read it, in order."""
        readers: dict[str, list[OnnxNode]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                readers.setdefault(name, []).append(node)
        return readers

    def shape(self, node: OnnxNode, name: str) -> Shape:
        """Return the shape of a tensor that a node touches."""
        if name not in self.shapes:
            raise node.error(f"the shape of {quoted(name)} is unknown", "static shapes", "export with fixed sizes")
        return self.shapes[name]

    def static(self, node: OnnxNode, index: int) -> AnyArray | None:
        """Return a constant input such as axes or a target shape; None where the node has none.

        Raises:
            UnsupportedModelError: the input is computed at run time.
        """
        if not node.has_input(index):
            return None
        name = node.inputs[index]
        if name not in self.constants:
            raise node.error(f"input {quoted(name)} is computed at run time", "a constant", "export with fixed sizes")
        return self.constants[name]

    def static_integers(self, node: OnnxNode, index: int, attribute: str) -> tuple[int, ...] | None:
        """Return integers that are an attribute in old operator sets and a constant input in new ones."""
        if attribute in node.attributes:
            return node.integers(attribute, None)
        values = self.static(node, index)
        if values is None:
            return None
        node.require(np.issubdtype(values.dtype, np.integer), f"'{attribute}' is {values.dtype}", "integers")
        return tuple(int(value) for value in values.reshape(-1))
