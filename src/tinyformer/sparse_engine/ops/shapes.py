"""What operators share: windows, ranks, and that most multiply nothing by weights."""

from __future__ import annotations

from collections.abc import Sequence

from tinyformer.sparse_engine.ir import Shape

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]  # top, left, bottom, right


class WithoutMacs:
    """What operators have in common that multiply nothing by weights."""

    __slots__ = ()

    def macs(self, inputs: Sequence[Shape]) -> int:  # noqa: ARG002 - the Operator protocol's signature
        """Return 0."""
        return 0


def window_shape(size: Pair, kernel: Pair, stride: Pair, padding: Pads, dilation: Pair = (1, 1)) -> Pair:
    """Return how many windows fit along each axis; raise ValueError where none does."""
    out = []
    for axis in (0, 1):
        span = (kernel[axis] - 1) * dilation[axis] + 1
        padded = size[axis] + padding[axis] + padding[axis + 2]
        if padded < span:
            raise ValueError(f"a window of {span} does not fit into {padded} on axis {axis}")
        out.append((padded - span) // stride[axis] + 1)
    return out[0], out[1]


def expect_rank(shape: Shape, rank: int) -> None:
    """Raise ValueError for a shape of another number of axes."""
    if len(shape) != rank:
        raise ValueError(f"expected {rank} axes, got shape {shape}")
