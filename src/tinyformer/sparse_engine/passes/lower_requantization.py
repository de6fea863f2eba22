"""Compute every integer attribute and multiplier from the tensors' scales: afterwards no operator needs a real number.

``docs/numerics.md`` derives the formulas; s and z are scale and zero point of inputs a, b, x and output o.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyformer.errors import UnsupportedModelError
from tinyformer.sparse_engine import fixed_point, ops
from tinyformer.sparse_engine.ir import Graph, Node, Operator, QuantParams
from tinyformer.sparse_engine.passes.rewriting import Rewriter

NORMALIZED_SCALE = 2.0**-7
"""Real value of one step of the Scaled-LayerNorm's normalised values (paper Sec. III-C3)."""

_LARGEST_ADD_SHIFT = 22
_INT16_MAX = 2**15 - 1
_LARGEST_EPSILON_TERM = 2**61


def lower_requantization(graph: Graph) -> Graph:
    """Fill in multipliers, shifts, offsets and the like.

    Raises:
        UnsupportedModelError: scales that the integer formulas cannot express.
    """
    rewriter = Rewriter(graph)
    for node in graph.nodes:
        rule = _RULES.get(type(node.op))
        if rule is None:
            rewriter.keep(node)
            continue
        try:
            op, multipliers = rule(graph, node)
        except (ValueError, OverflowError) as error:
            raise UnsupportedModelError(
                f"node {node.name} ({node.op.kind}): {error}; allowed: scales of a calibrated model; "
                "calibrate the model again"
            ) from error
        inputs = tuple(rewriter.read(name) for name in node.inputs)
        if multipliers is not None:
            inputs = (*inputs, rewriter.new_constant(f"{node.name}/multiplier", multipliers))
        rewriter.put(node, op, inputs)
    return rewriter.finish()


Lowered = tuple[Operator, npt.NDArray[np.int32] | None]


def _quant(graph: Graph, name: str) -> QuantParams:
    quant = graph.tensors[name].quant
    if quant is None:
        raise ValueError(f"tensor {name} has no scale")
    return quant


def _quants(graph: Graph, node: Node) -> tuple[QuantParams, ...]:
    """Return the quantisation of a node's first two inputs (or one) and, last, of its output."""
    return (*(_quant(graph, name) for name in node.inputs[:2]), _quant(graph, node.output))


def _weighted(graph: Graph, node: Node) -> Lowered:
    """s_x * s_w / s_o for each output channel."""
    op: Any = node.op
    x, weight, output = _quants(graph, node)
    channels = graph.tensors[node.inputs[1]].shape[0]
    factors = np.broadcast_to(x.scale * np.array(weight.scales) / output.scale, (channels,))
    multipliers, left_shift = fixed_point.quantize_multipliers(factors)
    return replace(op, left_shift=left_shift), multipliers


def _product(graph: Graph, node: Node) -> Lowered:
    """s_a * s_b / s_o."""
    op: Any = node.op
    a, b, output = _quants(graph, node)
    multiplier, left_shift = fixed_point.quantize_multipliers(a.scale * b.scale / output.scale)
    return replace(op, multiplier=int(multiplier), left_shift=left_shift), None


def _add(graph: Graph, node: Node) -> Lowered:
    """Choose the largest shift at which both multipliers fit int16: (a * ma + b * mb + offset) >> shift."""
    op: Any = node.op
    a, b, output = _quants(graph, node)
    factor_a, factor_b = op.signs[0] * a.scale / output.scale, op.signs[1] * b.scale / output.scale
    for shift in range(_LARGEST_ADD_SHIFT, 0, -1):
        multiplier_a, multiplier_b = round(factor_a * 2**shift), round(factor_b * 2**shift)
        if max(abs(multiplier_a), abs(multiplier_b)) <= _INT16_MAX:
            break
    else:
        raise ValueError(f"an input's scale is {max(abs(factor_a), abs(factor_b)):g} times the output's")
    centre = -a.zero_point * factor_a - b.zero_point * factor_b + output.zero_point
    offset = round(centre * 2**shift) + 2 ** (shift - 1)
    op = replace(op, multiplier_a=multiplier_a, multiplier_b=multiplier_b, offset=offset, shift=shift, signs=(1, 1))
    return op, None


def _avg_pool(graph: Graph, node: Node) -> Lowered:
    """s_x / (s_o * n) for each number n of averaged values."""
    op: Any = node.op
    x, output = _quants(graph, node)
    factors = [x.scale / (output.scale * count) for count in op.counts]
    multipliers, left_shift = fixed_point.quantize_multipliers(factors)
    return replace(op, left_shift=left_shift), multipliers


def _softmax(graph: Graph, node: Node) -> Lowered:
    op: Any = node.op
    x, output = _quants(graph, node)
    fraction_bits = fixed_point.softmax_fraction_bits(graph.tensors[node.inputs[0]].shape[-1])
    multiplier, exponent = fixed_point.softmax_output_multiplier(output.scale)
    if not -30 <= exponent <= fraction_bits - 2:
        raise ValueError(f"a softmax output of scale {output.scale:g}")
    op = replace(
        op,
        exp_multiplier=fixed_point.exp_multiplier(x.scale),
        fraction_bits=fraction_bits,
        output_multiplier=multiplier,
        output_exponent=exponent,
    )
    return op, None


def _layer_norm(graph: Graph, node: Node) -> Lowered:
    """2**-7 * s_gamma / s_o; epsilon joins the variance of n * x, which is n**2 / s_x**2 times the real one, in Q16."""
    op: Any = node.op
    x, gamma, output = _quants(graph, node)
    columns = graph.tensors[node.inputs[0]].shape[-1]
    multiplier, left_shift = fixed_point.quantize_multipliers(NORMALIZED_SCALE * gamma.scale / output.scale)
    epsilon_term = max(1, round(columns**2 * op.epsilon / x.scale**2 * 2**fixed_point.VARIANCE_FRACTION_BITS))
    if epsilon_term > _LARGEST_EPSILON_TERM:
        raise ValueError(f"epsilon {op.epsilon:g} at input scale {x.scale:g}")
    return replace(op, epsilon_term=epsilon_term, multiplier=int(multiplier), left_shift=left_shift), None


_RULES: Mapping[type, Callable[[Graph, Node], Lowered]] = {
    ops.Conv2D: _weighted,
    ops.DepthwiseConv2D: _weighted,
    ops.Linear: _weighted,
    ops.MatMul: _product,
    ops.Mul: _product,
    ops.Add: _add,
    ops.AvgPool2D: _avg_pool,
    ops.Softmax: _softmax,
    ops.LayerNorm: _layer_norm,
}
