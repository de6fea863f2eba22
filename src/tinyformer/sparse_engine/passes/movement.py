"""The algebra of Transpose and Reshape: chains of them as one permutation of memory, and the shortest chain back.

A chain turns a tensor's elements into another order. As a mixed-radix number, the position of an element in the result
has digits; each digit counts steps of some stride in the source. Transpose permutes digits, Reshape regroups them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

from tinyformer.sparse_engine.ir import Shape
from tinyformer.sparse_engine.ops import Reshape, Transpose

Digits = tuple[tuple[int, int], ...]  # (size, stride in the source), outermost first, sizes above 1


@dataclass(frozen=True)
class Movement:
    """What a chain of Transpose and Reshape does to a tensor.

    Args:
        source: shape of the tensor it starts from.
        digits: the order of the result's elements, merged as far as possible.
        shape: shape of the result.
    """

    source: Shape
    digits: Digits
    shape: Shape

    @classmethod
    def none(cls, shape: Shape) -> Movement:
        """Return the empty chain."""
        return cls(shape, _merged(((prod(shape), 1),)), shape)

    def then(self, op: Reshape | Transpose) -> Movement | None:
        """Return the chain followed by one more operator; None where no single permutation of axes says it."""
        if isinstance(op, Reshape):
            return replace(self, shape=op.shape)
        axes = _grouped(self.digits, self.shape)
        if axes is None:
            return None
        digits = tuple(digit for axis in op.permutation for digit in axes[axis])
        return replace(self, digits=_merged(digits), shape=tuple(self.shape[axis] for axis in op.permutation))

    def operators(self) -> tuple[Reshape | Transpose, ...]:
        """Return the one canonical chain that does this: at most Reshape, Transpose, Reshape.

        The Transpose comes last where it can, so that it can move on through what follows.
        """
        if len(self.digits) < 2:
            return () if self.shape == self.source else (Reshape(self.shape),)
        permutation = self._single_transpose()
        if permutation is not None:
            return (Transpose(permutation),)
        axes = _grouped(self.digits, self.shape)
        if axes is not None and all(len(digits) < 2 for digits in axes):
            return self._transpose_last([digits[0][1] if digits else 0 for digits in axes])
        order = sorted(range(len(self.digits)), key=lambda i: -self.digits[i][1])
        before = tuple(self.digits[i][0] for i in order)
        first = () if before == self.source else (Reshape(before),)
        return (*first, Transpose(_inverse(order)), Reshape(self.shape))

    def _single_transpose(self) -> tuple[int, ...] | None:
        """Return the permutation of the source's axes that gives the result, if one does."""
        axes = _grouped(self.digits, self.shape)
        if axes is None or sorted(self.source) != sorted(self.shape):
            return None
        strides = [prod(self.source[axis + 1 :]) for axis in range(len(self.source))]
        ones = iter([axis for axis, size in enumerate(self.source) if size == 1])
        found = []
        for size, digits in zip(self.shape, axes, strict=True):
            if size == 1:
                found.append(next(ones))
                continue
            if len(digits) > 1 or digits[0][1] not in strides:
                return None
            axis = strides.index(digits[0][1])  # the outermost of that stride: those behind it are of size 1
            if self.source[axis] != size:
                return None
            found.append(axis)
        return tuple(found)

    def _transpose_last(self, strides: list[int]) -> tuple[Reshape | Transpose, ...]:
        """Return Reshape, Transpose for a result whose axes have one digit each (stride 0: none, in front)."""
        order = sorted(range(len(strides)), key=lambda axis: (strides[axis] != 0, -strides[axis]))
        before = tuple(self.shape[axis] for axis in order)
        first = () if before == self.source else (Reshape(before),)
        return (*first, Transpose(_inverse(order)))


def _inverse(order: list[int]) -> tuple[int, ...]:
    return tuple(order.index(axis) for axis in range(len(order)))


def _merged(digits: Digits) -> Digits:
    """Join neighbours that are neighbours in the source as well."""
    merged: list[tuple[int, int]] = []
    for size, stride in digits:
        if size == 1:
            continue
        if merged and merged[-1][1] == size * stride:
            merged[-1] = (merged[-1][0] * size, stride)
        else:
            merged.append((size, stride))
    return tuple(merged)


def _grouped(digits: Digits, shape: Shape) -> list[Digits] | None:
    """Split digits at the boundaries of a shape's axes; None where an axis ends inside a digit that does not divide."""
    left = list(digits)
    axes: list[Digits] = []
    for axis_size in reversed(shape):
        group: list[tuple[int, int]] = []
        size = axis_size
        while size > 1:
            digit, stride = left.pop()
            if size % digit == 0:
                group.insert(0, (digit, stride))
                size //= digit
            elif digit % size == 0:
                group.insert(0, (size, stride))
                left.append((digit // size, stride * size))
                size = 1
            else:
                return None
        axes.insert(0, tuple(group))
    return axes
