"""The dense form: every weight one byte, in the order in which the kernel walks.

One plane, "weights", int8. Convolution (O, kh, kw, I) and linear (O, I) weights stay as they are; depthwise weights
(C, kh, kw) become (kh, kw, C), because the kernel takes four channels at a time.
"""

from __future__ import annotations

from math import prod

import numpy as np
import numpy.typing as npt

from tinyformer.sparse_engine.coding.encoding import BlockDensity, EncodedWeights, Int8Array, Plane
from tinyformer.sparse_engine.ir import Operator, Shape


class Dense:
    """The dense form."""

    name = "dense"

    def blocks(self, op: Operator) -> tuple[int, ...]:  # noqa: ARG002 - it is there for every operator
        """Return (1,)."""
        return (1,)

    def encode(self, weight: Int8Array, block: int = 1) -> EncodedWeights:
        """Return one plane in the kernel's order."""
        ordered = np.moveaxis(weight, 0, -1) if weight.ndim == 3 else weight
        return EncodedWeights(self.name, block, weight.shape, (Plane("weights", np.ascontiguousarray(ordered)),))

    def decode(self, encoded: EncodedWeights) -> Int8Array:
        """Return the weights."""
        ordered: npt.NDArray[np.integer] = encoded.plane("weights")
        weight = np.moveaxis(ordered, -1, 0) if ordered.ndim == 3 else ordered
        return np.ascontiguousarray(weight, np.int8)

    def nbytes(self, weight: Int8Array, block: int = 1) -> int:  # noqa: ARG002 - the protocol's signature
        """Return one byte per weight."""
        return int(weight.size)

    def expected_nbytes(self, shape: Shape, block: int, density: BlockDensity) -> int:  # noqa: ARG002 - as the protocol has it
        """Return one byte per weight, whatever the density."""
        return prod(shape)

    def blocks_in(self, nbytes: int, shape: Shape, block: int) -> int:  # noqa: ARG002 - as the protocol has it
        """Return 0."""
        return 0
