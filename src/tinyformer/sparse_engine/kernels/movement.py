"""Data movement as strided copies of up to four axes: transpose, slice, concatenation and padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from tinyformer.errors import UnsupportedModelError
from tinyformer.sparse_engine.ir import Shape
from tinyformer.sparse_engine.kernels.calls import Params

MOVE_AXES = 4


def strides(shape: Shape) -> tuple[int, ...]:
    """Return the row-major strides of a shape, in elements."""
    return tuple(accumulate((1, *shape[:0:-1]), lambda stride, dim: stride * dim))[::-1] if shape else ()


@dataclass(frozen=True, slots=True)
class Move:
    """A copy of a box of ``shape`` between two arrays; strides and offsets count elements."""

    shape: tuple[int, ...]
    input_strides: tuple[int, ...]
    output_strides: tuple[int, ...]
    input_offset: int = 0
    output_offset: int = 0

    def merged(self) -> Move:
        """Return the same copy with axes of one element dropped and neighbours that run on joined."""
        axes: list[tuple[int, int, int]] = []
        for dim, source, target in zip(self.shape, self.input_strides, self.output_strides, strict=True):
            if dim == 1:
                continue
            if axes and axes[-1][1] == source * dim and axes[-1][2] == target * dim:
                axes[-1] = (axes[-1][0] * dim, source, target)
            else:
                axes.append((dim, source, target))
        return Move(
            tuple(axis[0] for axis in axes),
            tuple(axis[1] for axis in axes),
            tuple(axis[2] for axis in axes),
            self.input_offset,
            self.output_offset,
        )

    def params(self, where: str) -> Params:
        """Return the fields of ``se_move_params``.

        Raises:
            UnsupportedModelError: more than four axes remain after merging; ``where`` names the node.
        """
        move = self.merged()
        missing = MOVE_AXES - len(move.shape)
        if missing < 0:
            raise UnsupportedModelError(
                f"{where}: moves {len(move.shape)} separate axes, the engine moves up to {MOVE_AXES}: "
                "split it into several transposes or slices in the ONNX file"
            )
        return (
            ("shape", (1,) * missing + move.shape),
            ("input_stride", (0,) * missing + move.input_strides),
            ("output_stride", (0,) * missing + move.output_strides),
            ("input_offset", move.input_offset),
            ("output_offset", move.output_offset),
        )


def transpose(shape: Shape, permutation: Sequence[int]) -> Move:
    """Return the copy that permutes the axes of an array of ``shape``."""
    source = strides(shape)
    output = tuple(shape[axis] for axis in permutation)
    return Move(output, tuple(source[axis] for axis in permutation), strides(output))


def cut(shape: Shape, starts: Sequence[int], sizes: Sequence[int], steps: Sequence[int]) -> Move:
    """Return the copy that takes every ``steps``-th element from ``starts``, ``sizes`` of them."""
    source = strides(shape)
    return Move(
        tuple(sizes),
        tuple(stride * step for stride, step in zip(source, steps, strict=True)),
        strides(tuple(sizes)),
        input_offset=sum(start * stride for start, stride in zip(starts, source, strict=True)),
    )


def insert(shape: Shape, output_shape: Shape, starts: Sequence[int]) -> Move:
    """Return the copy that puts an array of ``shape`` into a larger one at ``starts``."""
    target = strides(output_shape)
    return Move(
        shape,
        strides(shape),
        target,
        output_offset=sum(start * stride for start, stride in zip(starts, target, strict=True)),
    )
