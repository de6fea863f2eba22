"""The operator converters: one table from ONNX operator type to the function that emits it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from tinyformer.sparse_engine.frontend.converters import (
    channelwise,
    convolution,
    elementwise,
    linear,
    movement,
    normalization,
    pooling,
    resize,
)
from tinyformer.sparse_engine.frontend.site import Site

Converter = Callable[[Site], str]
"""Emits one output of one operator; returns the tensor of the graph that holds it in the file's axis order."""

MOVEMENT: Mapping[str, Converter] = MappingProxyType({**movement.CONVERTERS, **resize.CONVERTERS})
"""Operators that only move data: they keep the quantisation, and may stand without a QuantizeLinear behind them."""

CONVERTERS: Mapping[str, Converter] = MappingProxyType(
    {
        **convolution.CONVERTERS,
        **linear.CONVERTERS,
        **elementwise.CONVERTERS,
        **channelwise.CONVERTERS,
        **normalization.CONVERTERS,
        **pooling.CONVERTERS,
        **MOVEMENT,
    }
)
"""Every supported operator but those that are always pointwise."""
