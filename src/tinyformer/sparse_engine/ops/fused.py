"""Operators of several steps, between which nothing exists as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from tinyformer.sparse_engine.ir import QuantParams, Shape, Tensor
from tinyformer.sparse_engine.ops.activations import MatMul, MaxPool2D, Softmax
from tinyformer.sparse_engine.ops.weighted import Conv2D


@dataclass(frozen=True, slots=True)
class PooledConv2D:
    """A convolution and the maximum over windows of its output, which never exists as a whole.

    ``quant`` is the quantisation of the convolution's output, ``inside`` that output as the unfused graph has it; what
    it is called there does not make an operator another one.
    """

    kind: ClassVar[str] = "pooled_conv2d"
    conv: Conv2D
    pool: MaxPool2D
    quant: QuantParams | None = None
    inside: tuple[Tensor, ...] = field(default=(), repr=False, compare=False)

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return (H', W', O) of the maxima."""
        return self.pool.infer_shape([self.conv.infer_shape(inputs)])

    def macs(self, inputs: Sequence[Shape]) -> int:
        """Return those of the convolution."""
        return self.conv.macs(inputs)


@dataclass(frozen=True, slots=True)
class Attention:
    """Softmax(query x key) x value, without the matrix of tokens by tokens.

    ``scores``, ``softmax`` and ``context`` are the three steps, ``scores_quant`` and ``weights_quant`` the
    quantisations of what the first two give, ``inside`` these two as the unfused graph has them; what they are called
    there does not make an operator another one.
    """

    kind: ClassVar[str] = "attention"
    scores: MatMul
    softmax: Softmax
    context: MatMul
    scores_quant: QuantParams | None = None
    weights_quant: QuantParams | None = None
    inside: tuple[Tensor, ...] = field(default=(), repr=False, compare=False)

    def infer_shape(self, inputs: Sequence[Shape]) -> Shape:
        """Return (..., M, N)."""
        query, key, value = inputs
        return self.context.infer_shape([self.scores.infer_shape([query, key]), value])

    def macs(self, inputs: Sequence[Shape]) -> int:
        """Return those of both products."""
        query, key, value = inputs
        return self.scores.macs([query, key]) + self.context.macs([self.scores.infer_shape([query, key]), value])
