"""Unary functions of an int8 tensor as tables of 256 entries, computed as DequantizeLinear, f, QuantizeLinear would."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from tinyformer.sparse_engine.frontend.operands import Output
from tinyformer.sparse_engine.ir import QuantParams

Table = npt.NDArray[np.int8]
Reals = npt.NDArray[np.float64]


def table(function: Callable[[Reals], Reals], quant: QuantParams, output: Output) -> Table:
    """Tabulate a function.

    Args:
        function: of float64 arrays.
        quant: of the input.
        output: quantisation and clamps of the result.

    Returns:
        int8 (256,), indexed by the input integer + 128.
    """
    steps = np.arange(-128, 128) - quant.zero_point
    inputs = steps.astype(np.float32) * np.float32(quant.scale)
    with np.errstate(all="ignore"):
        values = function(inputs.astype(np.float64))
    return quantized(values, output.quant, output.low, output.high)


def quantized(values: npt.ArrayLike, quant: QuantParams, low: int = -128, high: int = 127) -> Table:
    """Quantise real values as QuantizeLinear does: float32, half to even, saturating; NaN counts as zero."""
    with np.errstate(over="ignore"):
        steps = np.rint(np.asarray(values).astype(np.float32) / np.float32(quant.scale)).astype(np.float64)
    saturated: Reals = np.clip(np.where(np.isnan(steps), 0.0, steps) + quant.zero_point, low, high)
    return saturated.astype(np.int8)
