"""The operators: one frozen dataclass each, with attributes, shape inference and work.

Attributes named ``multiplier``, ``left_shift``, ``offset`` and the like are integers that the lowering pass computes
from the tensors' scales; before it they hold ``None``. ``low`` and ``high`` clamp the int8 output (a fused
activation). The integer meaning of every operator is in ``reference``.

Inputs, in order (constants marked *, lowered constants marked +; see ``reference`` for the formulas):

=================  =======================================================================================
Conv2D             x (H, W, C), weight* (O, kh, kw, C / groups), bias*+ (O,) int32, multiplier+ (O,) int32
DepthwiseConv2D    x (H, W, C), weight* (C, kh, kw), bias*+ (C,) int32, multiplier+ (C,) int32
Linear             x (..., I), weight* (O, I), bias*+ (O,) int32, multiplier+ (O,) int32
MatMul             a (..., M, K), b (..., K, N), or (..., N, K) with transpose_b
Add, Mul           a, b: equal shapes, or b's shape a suffix of a's (repeated over the leading axes)
Softmax            x (..., N), over the last axis
LayerNorm          x (..., C), gamma* (C,) int16, beta* (C,) int32, over the last axis
MaxPool2D          x (H, W, C)
AvgPool2D          x (H, W, C), multiplier+ (1,) or (kh * kw,) int32
PooledConv2D       as Conv2D
Attention          query (..., M, D), key (..., K, D) or (..., D, K), value (..., K, N) or (..., N, K)
Lookup             x (any), table* (256,) int8
Reshape ... Pad    x (any); Concat any number
=================  =======================================================================================
"""

from __future__ import annotations

from tinyformer.sparse_engine.ir import Operator
from tinyformer.sparse_engine.ops.activations import Add, AvgPool2D, LayerNorm, Lookup, MatMul, MaxPool2D, Mul, Softmax
from tinyformer.sparse_engine.ops.fused import Attention, PooledConv2D
from tinyformer.sparse_engine.ops.movement import Concat, Pad, Reshape, Slice, Transpose
from tinyformer.sparse_engine.ops.shapes import Pads, Pair
from tinyformer.sparse_engine.ops.weighted import Conv2D, DepthwiseConv2D, Linear

__all__ = [
    "Add",
    "Attention",
    "AvgPool2D",
    "Concat",
    "Conv2D",
    "DepthwiseConv2D",
    "LayerNorm",
    "Linear",
    "Lookup",
    "MatMul",
    "MaxPool2D",
    "Mul",
    "Pad",
    "Pads",
    "Pair",
    "PooledConv2D",
    "Reshape",
    "Slice",
    "Softmax",
    "Transpose",
    "with_weights",
]


def with_weights(op: Operator) -> Conv2D | DepthwiseConv2D | Linear | None:
    """Return the operator that multiplies by constant weights, the node's second input: this one or one inside it."""
    inner = op.conv if isinstance(op, PooledConv2D) else op
    return inner if isinstance(inner, Conv2D | DepthwiseConv2D | Linear) else None
