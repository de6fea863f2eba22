"""Kernels that unpack distances into scratch before they walk the blocks: how much scratch that takes.

With little scratch some filters are unpacked at a time, again for every strip of outputs; with enough of it all of them
once. A kernel takes what there is (``unpacked_bytes`` in ``runtime/se_kernels.h``).
"""

from __future__ import annotations

from collections.abc import Callable

from tinyformer.sparse_engine.coding import Option
from tinyformer.sparse_engine.ir import Graph, Node
from tinyformer.sparse_engine.kernels.calls import CCall

Build = Callable[[Graph, Node, str], tuple[CCall, ...]]

UNPACKED_BYTES = "unpacked_bytes"
_USUAL_BYTES = 1024  # at a time, where filters are shorter: by then what a part takes is little beside its products
_WORD = 8  # distances that are unpacked together
_STEP = 512  # weights of one density take the same scratch, whichever of them are zero


def least(build: Build, block: int) -> Build:
    """Return what builds calls that have the scratch to unpack some filters at a time."""

    def with_scratch(graph: Graph, node: Node, symbol: str) -> tuple[CCall, ...]:
        return tuple(_with_least(call, block) for call in build(graph, node, symbol))

    return with_scratch


def _with_least(call: CCall, block: int) -> CCall:
    blocks = _filter_blocks(call, block)
    some = max(blocks, min(_USUAL_BYTES, blocks * _filters(call)))
    return _with(call, _rounded(some, _WORD) + _WORD)


def at_once(call: CCall, option: Option) -> CCall:
    """Return a call that has the scratch to unpack all filters at once; the same call if it has it or unpacks none."""
    known = dict(call.params)
    present = known.get(UNPACKED_BYTES)
    if not isinstance(present, int):
        return call
    enough = _rounded(option.stored_blocks + _filter_blocks(call, option.block), _STEP)
    return _with(call, enough) if enough > present else call


def _filter_blocks(call: CCall, block: int) -> int:
    """Return the blocks of a filter, zero or not."""
    if call.params_type == "se_linear_params":
        return -(-call.param("input_features") // block)
    positions = call.param("kernel_height") * call.param("kernel_width")
    return positions * -(-call.param("input_channels") // block)


def _filters(call: CCall) -> int:
    return call.param("output_features" if call.params_type == "se_linear_params" else "output_channels")


def _with(call: CCall, unpacked_bytes: int) -> CCall:
    if UNPACKED_BYTES in dict(call.params):
        return call.with_param(UNPACKED_BYTES, unpacked_bytes)
    return CCall(
        call.symbol, call.arguments, call.params_type, (*call.params, (UNPACKED_BYTES, unpacked_bytes)), call.loops
    )


def _rounded(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple
