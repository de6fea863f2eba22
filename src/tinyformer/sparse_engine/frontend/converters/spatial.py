"""What convolutions and pools share: windows, and the way from (C, H, W) or (C, L) to channels last and back."""

from __future__ import annotations

from dataclasses import dataclass

from tinyformer.sparse_engine.frontend.operands import Activation, batchless
from tinyformer.sparse_engine.frontend.site import Site
from tinyformer.sparse_engine.ir import QuantParams
from tinyformer.sparse_engine.ops import Pads, Pair

_AXIS_ORDERS = {1: (1, 0), 2: (1, 2, 0)}


@dataclass(frozen=True)
class Window:
    """A sliding window in two dimensions; one-dimensional ones have height 1."""

    kernel: Pair
    stride: Pair
    padding: Pads
    dilation: Pair


def spatial_rank(site: Site, x: Activation) -> int:
    """Return 1 or 2: how many axes follow batch and channels."""
    rank = len(x.shape) - 2
    site.node.require(
        rank in _AXIS_ORDERS and x.shape[0] == 1,
        f"its input has shape {x.shape}",
        "(1, C, L) or (1, C, H, W)",
        "use one or two spatial axes",
    )
    return rank


def axis_order(rank: int) -> tuple[int, ...]:
    """Return the axis order of channels-last tensors of a spatial rank."""
    return _AXIS_ORDERS[rank]


def channels_last(site: Site, x: Activation) -> str:
    """Return an input as (H, W, C)."""
    rank = spatial_rank(site, x)
    tensor = site.transpose(x.tensor, _AXIS_ORDERS[rank], x.quant)
    return tensor if rank == 2 else site.reshape(tensor, (1, *site.builder.shape(tensor)), x.quant)


def channels_first(site: Site, tensor: str, rank: int, quant: QuantParams) -> str:
    """Return a result (H, W, C) in the file's axis order."""
    if rank == 1:
        tensor = site.reshape(tensor, site.builder.shape(tensor)[1:], quant)
    back = (rank, *range(rank))
    tensor = site.transpose(tensor, back, quant)
    found = site.builder.shape(tensor)
    site.node.require(found == site.shape, f"its output is {found}", f"{batchless(site.output.shape)}")
    return tensor


def window(site: Site, x: Activation, kernel: tuple[int, ...]) -> Window:
    """Return the window that the node's attributes describe over an input.

    The padding at the end grows where ``ceil_mode`` lets the last window leave the input.
    """
    node, rank = site.node, len(kernel)
    stride = node.sizes("strides", rank, 1, 1)
    dilation = node.sizes("dilations", rank, 1, 1)
    sizes = x.shape[2:]
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    before, after = _padding(site, sizes, spans, stride)
    outputs = site.output.shape[2:]
    node.require(len(outputs) == rank, f"its output has shape {site.output.shape}", f"{rank} spatial axes")
    for axis in range(rank):
        overhang = (outputs[axis] - 1) * stride[axis] + spans[axis] - sizes[axis] - before[axis]
        after[axis] = max(after[axis], overhang)
    if rank == 1:
        return Window((1, kernel[0]), (1, stride[0]), (0, before[0], 0, after[0]), (1, dilation[0]))
    return Window(
        (kernel[0], kernel[1]),
        (stride[0], stride[1]),
        (before[0], before[1], after[0], after[1]),
        (dilation[0], dilation[1]),
    )


def _padding(
    site: Site, sizes: tuple[int, ...], spans: list[int], stride: tuple[int, ...]
) -> tuple[list[int], list[int]]:
    rank = len(sizes)
    mode = site.node.text("auto_pad", "NOTSET")
    allowed = "NOTSET, VALID, SAME_UPPER, SAME_LOWER"
    site.node.require(mode in allowed.split(", "), f"auto_pad is {mode[:20]!r}", allowed)
    if mode == "NOTSET":
        pads = site.node.sizes("pads", 2 * rank, 0, 0)
        return list(pads[:rank]), list(pads[rank:])
    if mode == "VALID":
        return [0] * rank, [0] * rank
    totals = [
        (-(-size // step) - 1) * step + span - size if span > 1 else 0
        for size, step, span in zip(sizes, stride, spans, strict=True)
    ]
    # runtimes crop the input there, each in its own way
    site.node.require(min(totals) >= 0, f"auto_pad is {mode} and its stride skips pixels", "explicit pads")
    smaller, larger = [total // 2 for total in totals], [total - total // 2 for total in totals]
    return (smaller, larger) if mode == "SAME_UPPER" else (larger, smaller)
