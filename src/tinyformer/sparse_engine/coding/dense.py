"""The dense form: every weight one byte, in the order in which the kernel walks.

One plane, "weights", int8. Convolution (O, kh, kw, I) and linear (O, I) weights keep their order, each filter padded
with zeros to whole words: every load is then aligned, and no filter ends inside one. Depthwise weights (C, kh, kw)
become (kh, kw, C), because the kernel takes four channels at a time.
"""

from __future__ import annotations

from math import prod

import numpy as np
import numpy.typing as npt

from tinyformer.sparse_engine.coding.encoding import BlockDensity, EncodedWeights, Int8Array, Plane
from tinyformer.sparse_engine.ir import Operator, Shape

_WORD_BYTES = 4


class Dense:
    """The dense form."""

    name = "dense"

    def blocks(self, op: Operator) -> tuple[int, ...]:  # noqa: ARG002 - it is there for every operator
        """Return (1,)."""
        return (1,)

    def encode(self, weight: Int8Array, block: int = 1) -> EncodedWeights:
        """Return one plane in the kernel's order."""
        ordered = np.moveaxis(weight, 0, -1) if _is_depthwise(weight.shape) else _in_words(weight)
        return EncodedWeights(self.name, block, weight.shape, (Plane("weights", np.ascontiguousarray(ordered)),))

    def decode(self, encoded: EncodedWeights) -> Int8Array:
        """Return the weights."""
        ordered: npt.NDArray[np.integer] = encoded.plane("weights")
        shape = encoded.shape
        if _is_depthwise(shape):
            return np.ascontiguousarray(np.moveaxis(ordered, -1, 0), np.int8)
        return np.ascontiguousarray(ordered[:, : prod(shape[1:])].reshape(shape), np.int8)

    def nbytes(self, weight: Int8Array, block: int = 1) -> int:  # noqa: ARG002 - the protocol's signature
        """Return one byte per weight, and what pads the filters."""
        return _nbytes(weight.shape)

    def expected_nbytes(self, shape: Shape, block: int, density: BlockDensity) -> int:  # noqa: ARG002 - as the protocol has it
        """Return one byte per weight and what pads the filters, whatever the density."""
        return _nbytes(shape)

    def blocks_in(self, nbytes: int, shape: Shape, block: int) -> int:  # noqa: ARG002 - as the protocol has it
        """Return 0."""
        return 0


def _is_depthwise(shape: Shape) -> bool:
    return len(shape) == 3


def _row_bytes(shape: Shape) -> int:
    return -(-prod(shape[1:]) // _WORD_BYTES) * _WORD_BYTES


def _nbytes(shape: Shape) -> int:
    return prod(shape) if _is_depthwise(shape) else shape[0] * _row_bytes(shape)


def _in_words(weight: Int8Array) -> Int8Array:
    rows = weight.reshape(len(weight), prod(weight.shape[1:]))
    return np.pad(rows, ((0, 0), (0, _row_bytes(weight.shape) - rows.shape[1])))
