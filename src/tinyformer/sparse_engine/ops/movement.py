"""Operators that move elements and compute nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar

from tinyformer.sparse_engine.ir import Shape
from tinyformer.sparse_engine.ops.shapes import WithoutMacs


@dataclass(frozen=True, slots=True)
class Reshape(WithoutMacs):
    """The same elements, in the same order, under another shape."""

    kind: ClassVar[str] = "reshape"
    shape: Shape

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return the new shape."""
        if prod(inputs[0]) != prod(self.shape):
            raise ValueError(f"cannot reshape {inputs[0]} to {self.shape}")
        return self.shape


@dataclass(frozen=True, slots=True)
class Transpose(WithoutMacs):
    """Permute axes: output axis i is input axis permutation[i]."""

    kind: ClassVar[str] = "transpose"
    permutation: tuple[int, ...]

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return the permuted shape."""
        (x,) = inputs
        if sorted(self.permutation) != list(range(len(x))):
            raise ValueError(f"{self.permutation} does not permute {x}")
        return tuple(x[axis] for axis in self.permutation)


@dataclass(frozen=True, slots=True)
class Slice(WithoutMacs):
    """Every ``steps``-th element from ``starts``, ``sizes`` of them, on each axis."""

    kind: ClassVar[str] = "slice"
    starts: tuple[int, ...]
    sizes: tuple[int, ...]
    steps: tuple[int, ...]

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return ``sizes``."""
        (x,) = inputs
        if not len(x) == len(self.starts) == len(self.sizes) == len(self.steps):
            raise ValueError(f"slice of {len(self.starts)} axes does not fit {x}")
        for dim, start, size, step in zip(x, self.starts, self.sizes, self.steps, strict=True):
            if size < 1 or step < 1 or start < 0 or start + (size - 1) * step >= dim:
                raise ValueError(f"slice {start}:+{size}:{step} leaves an axis of {dim}")
        return self.sizes


@dataclass(frozen=True, slots=True)
class Concat(WithoutMacs):
    """Join tensors of one quantisation along an axis."""

    kind: ClassVar[str] = "concat"
    axis: int

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return the joined shape."""
        first = inputs[0]
        if not 0 <= self.axis < len(first):
            raise ValueError(f"no axis {self.axis} in {first}")
        for other in inputs[1:]:
            if len(other) != len(first) or any(
                d != f for axis, (d, f) in enumerate(zip(other, first, strict=True)) if axis != self.axis
            ):
                raise ValueError(f"cannot join {first} and {other} on axis {self.axis}")
        return (*first[: self.axis], sum(x[self.axis] for x in inputs), *first[self.axis + 1 :])


@dataclass(frozen=True, slots=True)
class Pad(WithoutMacs):
    """Surround a tensor with a constant value, given as an integer of its type."""

    kind: ClassVar[str] = "pad"
    before: tuple[int, ...]
    after: tuple[int, ...]
    value: int

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return the padded shape."""
        (x,) = inputs
        if not len(x) == len(self.before) == len(self.after):
            raise ValueError(f"padding of {len(self.before)} axes does not fit {x}")
        return tuple(b + d + a for b, d, a in zip(self.before, x, self.after, strict=True))
