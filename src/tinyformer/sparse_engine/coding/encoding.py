"""What a weight encoding is: bytes for flash, and the way back."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tinyformer.sparse_engine.ir import Operator, Shape

Int8Array = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Plane:
    """One array of an encoded layer, with the element type that the C kernel reads."""

    name: str
    array: npt.NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class EncodedWeights:
    """A layer's weights as they go to flash.

    ``block`` is 1 for the dense form; ``shape`` is that of the IR's weight tensor.
    """

    encoding: str
    block: int
    shape: Shape
    planes: tuple[Plane, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of all planes."""
        return sum(plane.array.nbytes for plane in self.planes)

    def plane(self, name: str) -> npt.NDArray[np.integer]:
        """Return a plane's array.

        Raises:
            KeyError: there is no plane of that name.
        """
        return {plane.name: plane.array for plane in self.planes}[name]


@dataclass(frozen=True, slots=True)
class BlockDensity:
    """What pruning will leave of a layer: the share of blocks that are zero, and their size.

    ``block`` counts weights along the input channels, for depthwise convolutions along the kernel width. Blocks are
    taken as zero independently of each other.
    """

    sparsity: float
    block: int

    def __post_init__(self) -> None:
        if not 0 <= self.sparsity <= 1 or self.block < 1:
            raise ValueError(
                f"sparsity {self.sparsity:g} in blocks of {self.block}: expected 0 to 1, blocks of 1 or more"
            )


class Encoding(Protocol):
    """A way to write weights: ``decode(encode(weight, block)) == weight`` for every int8 array of 2 to 4 axes.

    Weights have the IR's layout: convolution (O, kh, kw, I), depthwise (C, kh, kw), linear (O, I). A filter is one
    index of the first axis, a line one run along the last.
    """

    name: str

    def blocks(self, op: Operator) -> tuple[int, ...]:
        """Return the block sizes that there are for an operator; none when it cannot use this encoding."""
        ...

    def encode(self, weight: Int8Array, block: int) -> EncodedWeights:
        """Encode weights.

        Raises:
            ValueError: the encoding cannot hold them (``nbytes`` is None).
        """
        ...

    def decode(self, encoded: EncodedWeights) -> Int8Array:
        """Return the weights."""
        ...

    def nbytes(self, weight: Int8Array, block: int) -> int | None:
        """Return the bytes of encoded weights; None when the encoding cannot hold them."""
        ...

    def expected_nbytes(self, shape: Shape, block: int, density: BlockDensity) -> int | None:
        """Return the bytes that weights of a shape and density will take on average; None when they will not fit."""
        ...

    def blocks_in(self, nbytes: int, shape: Shape, block: int) -> int:
        """Return how many blocks weights of a shape store that take some bytes; 0 for the dense form."""
        ...


def lines(shape: Shape) -> tuple[int, int, int]:
    """Return a weight's (filters, lines of a filter, elements of a line)."""
    return shape[0], prod(shape[1:-1]), shape[-1]
