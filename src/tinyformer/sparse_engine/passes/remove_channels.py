"""Remove channels that carry nothing: those of all-zero filters, and those that nothing multiplies.

A filter without weights gives one value everywhere: its bias, requantised. What reads that channel through operators
that keep channels apart, down to the next operator that multiplies them all, can do without it:

1. A Lookup, a maximum, an average or a depthwise convolution turns a constant channel into another constant one. A
   depthwise convolution also makes one out of any channel for which it has no weights.
2. A convolution or linear layer takes a constant channel into its bias: value times the sum of the weights. A
   padded one reads the zero point beyond the border, not the value, so there the two must be equal.
3. A channel for which all of those have no weights may go too, constant or not.

Such channels are removed from the filter that computes them to the weights that read them. Removing some may empty
other filters, so the pass goes over the graph until nothing changes. It runs on integers, and every remaining
integer stays as it was. Graphs without data keep their channels: only weights tell.

The channels that remain keep their order by blocks of four: whole blocks first, so that blocks of zero weights that
pruning made stay blocks; what is left of the others follows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyformer.sparse_engine import fixed_point
from tinyformer.sparse_engine.ir import Graph, IntArray, Node, QuantParams, Tensor
from tinyformer.sparse_engine.ops import AvgPool2D, Conv2D, DepthwiseConv2D, Linear, Lookup, MaxPool2D, Reshape
from tinyformer.sparse_engine.passes.rewriting import Rewriter

_BLOCK = 4
_INT32_MAX = 2**31 - 1

Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class _Channels:
    """What is known of a tensor's channels: which are constant, and the values of those."""

    constant: npt.NDArray[np.bool_]
    values: npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Region:
    """The tensors that a filter's channels run through, and the layers that multiply them in the end.

    Channel c of the producer is channel c, c + C, c + 2 C ... of a tensor in which Reshape joined positions.
    """

    producer: Node
    channels: Mapping[str, _Channels]
    through: tuple[Node, ...]
    absorbers: tuple[Node, ...]


def remove_channels(graph: Graph) -> Graph:
    """Remove the channels of all-zero filters, their constant folded into what reads them, and those nobody needs."""
    before = None
    while before is not graph:
        before = graph
        for name in [node.name for node in graph.nodes]:
            node = next((node for node in graph.nodes if node.name == name), None)
            if node is not None and _mixes(node):
                graph = _without_idle_channels(graph, node)
    return graph


def _mixes(node: Node) -> bool:
    """Whether every output channel reads every input channel."""
    return isinstance(node.op, Linear) or (isinstance(node.op, Conv2D) and node.op.groups == 1)


def _without_idle_channels(graph: Graph, producer: Node) -> Graph:
    region = _region(graph, producer)
    if region is None:
        return graph
    count = graph.tensors[producer.output].shape[-1]
    idle = np.ones(count, bool)
    for node in region.absorbers:
        weight = graph.data[node.inputs[1]]
        unread = ~_read(weight.reshape(-1, weight.shape[-1]))
        known = region.channels[node.inputs[0]]
        idle &= (unread | _everywhere(graph, node, known)).reshape(-1, count).all(axis=0)
    if idle.all():
        idle[0] = False  # a tensor needs a channel
    return _rebuilt(graph, region, np.flatnonzero(idle), _order(idle)) if idle.any() else graph


def _order(idle: npt.NDArray[np.bool_]) -> Indices:
    """Return the channels that stay: those of whole blocks, then the rest."""
    starts = np.arange(len(idle)) // _BLOCK
    touched = np.isin(starts, starts[idle])
    return np.concatenate([np.flatnonzero(~touched), np.flatnonzero(touched & ~idle)])


def _region(graph: Graph, producer: Node) -> _Region | None:
    """Return the region of a producer's output; None where a channel runs into something that cannot lose it."""
    if any(name not in graph.data for name in producer.inputs[1:]) or _op(producer).left_shift is None:
        return None
    consumers = graph.consumers()
    channels = {producer.output: _emptied(graph, producer)}
    through: list[Node] = []
    absorbers: list[Node] = []
    pending = [producer.output]
    while pending:
        name = pending.pop()
        if name == graph.output:
            return None
        for node in consumers[name]:
            reads_once = node.inputs.count(name) == 1 and node.inputs[0] == name
            if not reads_once or any(constant not in graph.data for constant in node.inputs[1:]):
                return None
            rule = _THROUGH.get(type(node.op))
            if _mixes(node):
                absorbers.append(node)
            elif rule is not None and (found := rule(graph, node, channels[name])) is not None:
                channels[node.output] = found
                through.append(node)
                pending.append(node.output)
            else:
                return None
    return _Region(producer, channels, tuple(through), tuple(absorbers))


def _op(node: Node) -> Any:
    return node.op


def _read(columns: IntArray) -> npt.NDArray[np.bool_]:
    """Return which columns of a matrix are not all zero."""
    return np.asarray(columns.any(axis=0), np.bool_)


def _everywhere(graph: Graph, node: Node, x: _Channels) -> npt.NDArray[np.bool_]:
    """Return which channels of a layer's input are constant beyond the border too."""
    padded = not isinstance(node.op, Linear) and any(_op(node).padding)
    return x.constant & (x.values == graph.zero_point(node.inputs[0])) if padded else x.constant


def _requantized(
    graph: Graph, node: Node, accumulators: npt.NDArray[np.integer], multipliers: npt.NDArray[np.integer]
) -> npt.NDArray[np.int64]:
    op = _op(node)
    wide = accumulators.astype(np.int64)
    zero_point = graph.zero_point(node.output)
    return fixed_point.requantize(wide, multipliers.astype(np.int64), op.left_shift, zero_point, op.low, op.high)


def _emptied(graph: Graph, node: Node) -> _Channels:
    weight, bias, multipliers = (graph.data[name] for name in node.inputs[1:])
    constant = ~_read(weight.reshape(len(weight), -1).T)
    return _Channels(constant, _requantized(graph, node, bias, multipliers))


def _depthwise(graph: Graph, node: Node, x: _Channels) -> _Channels:
    weight, bias, multipliers = (graph.data[name] for name in node.inputs[1:])
    sums = weight.reshape(len(weight), -1).sum(axis=1, dtype=np.int64)
    everywhere = _everywhere(graph, node, x)
    constant = everywhere | ~_read(weight.reshape(len(weight), -1).T)
    return _Channels(constant, _requantized(graph, node, bias + np.where(everywhere, x.values, 0) * sums, multipliers))


def _lookup(graph: Graph, node: Node, x: _Channels) -> _Channels:
    return _Channels(x.constant, graph.data[node.inputs[1]].astype(np.int64)[x.values + 128])


def _max_pool(graph: Graph, node: Node, x: _Channels) -> _Channels:  # noqa: ARG001 - one signature for all
    return x


def _avg_pool(graph: Graph, node: Node, x: _Channels) -> _Channels:
    """Give a constant where a window's mean does not depend on how much of it lies inside the image."""
    op: AvgPool2D = _op(node)
    centred = x.values - graph.zero_point(node.inputs[0])
    counts = tuple(range(1, op.kernel[0] * op.kernel[1] + 1)) if any(op.padding) else op.counts
    multipliers = np.broadcast_to(graph.data[node.inputs[1]], (len(counts),))
    means = [_requantized(graph, node, centred * n, m) for n, m in zip(counts, multipliers, strict=True)]
    alike = np.array([np.ptp(values) == 0 for values in np.transpose(means)], bool)
    return _Channels(x.constant & alike, means[0])


def _reshape(graph: Graph, node: Node, x: _Channels) -> _Channels | None:
    """Follow channels that stay the last axis or are joined with whole axes before them."""
    old, new = graph.tensors[node.inputs[0]].shape, graph.tensors[node.output].shape
    if not new or all(prod(old[axis:]) != new[-1] for axis in range(len(old))):
        return None
    times = new[-1] // old[-1]
    return _Channels(np.tile(x.constant, times), np.tile(x.values, times))


_THROUGH: Mapping[type, Callable[[Graph, Node, _Channels], _Channels | None]] = {
    DepthwiseConv2D: _depthwise,
    Lookup: _lookup,
    MaxPool2D: _max_pool,
    AvgPool2D: _avg_pool,
    Reshape: _reshape,
}


def _rebuilt(graph: Graph, region: _Region, idle: Indices, kept: Indices) -> Graph:
    """Return the graph without a region's idle channels, the others in the order ``kept``."""
    count = len(idle) + len(kept)
    biases = {node.name: _folded_bias(graph, node, region, idle, count) for node in region.absorbers}
    if any(np.abs(bias).max() > _INT32_MAX for bias in biases.values()):
        return graph
    rewriter = Rewriter(graph)
    through = {node.name for node in region.through}
    for node in graph.nodes:
        inputs = node.inputs
        if node.name == region.producer.name:
            inputs = (inputs[0], *_taken(graph, rewriter, node, kept))
            rewriter.put(node, node.op, inputs, _narrowed(graph, node, kept, count))
        elif node.name in through:
            op = node.op
            if isinstance(op, Reshape):
                op = Reshape((*op.shape[:-1], op.shape[-1] // count * len(kept)))
            elif isinstance(op, DepthwiseConv2D):
                channels = _spread(kept, count, graph.tensors[node.output].shape[-1])
                inputs = (inputs[0], *_taken(graph, rewriter, node, channels))
            rewriter.put(node, op, inputs, _narrowed(graph, node, kept, count))
        elif node.name in biases:
            weight, bias = (graph.tensors[name] for name in node.inputs[1:3])
            values = graph.data[weight.name][..., _spread(kept, count, weight.shape[-1])]
            narrow = rewriter.constant(weight.name, replace(weight, shape=values.shape), values)
            folded = rewriter.constant(bias.name, bias, biases[node.name].astype(np.int32))
            rewriter.put(node, node.op, (inputs[0], narrow, folded, *inputs[3:]))
        else:
            rewriter.keep(node)
    return rewriter.finish()


def _spread(channels: Indices, count: int, length: int) -> Indices:
    """Return the indices of channels of ``count`` along an axis of ``length`` in which they repeat."""
    return (np.arange(0, length, count)[:, np.newaxis] + channels).ravel()


def _folded_bias(graph: Graph, node: Node, region: _Region, idle: Indices, count: int) -> npt.NDArray[np.int64]:
    """Return a layer's bias with the constants of the idle channels in it; those not constant have no weights."""
    weight, bias = (graph.data[name].astype(np.int64) for name in node.inputs[1:3])
    columns = _spread(idle, count, weight.shape[-1])
    known = region.channels[node.inputs[0]]
    sums = weight.reshape(len(weight), -1, weight.shape[-1]).sum(axis=1)[:, columns]
    folded: npt.NDArray[np.int64] = bias + sums @ known.values[columns]
    return folded


def _taken(graph: Graph, rewriter: Rewriter, node: Node, channels: Indices) -> tuple[str, ...]:
    """Return a layer's weight, bias and multipliers for some of its filters."""
    return tuple(_sliced(rewriter, graph.tensors[name], graph.data[name], channels) for name in node.inputs[1:])


def _sliced(rewriter: Rewriter, tensor: Tensor, values: IntArray, channels: Indices) -> str:
    quant = tensor.quant
    if quant is not None and len(quant.scales) > 1:
        quant = QuantParams(tuple(quant.scales[channel] for channel in channels), quant.zero_point)
    taken = values[channels]
    return rewriter.constant(tensor.name, replace(tensor, shape=taken.shape, quant=quant), taken)


def _narrowed(graph: Graph, node: Node, kept: Indices, count: int) -> Tensor:
    """Return a node's output with fewer channels, which still knows the file's."""
    tensor = graph.tensors[node.output]
    present = _spread(kept, count, tensor.shape[-1])
    known = np.array(tensor.channels or range(tensor.shape[-1]))
    channels = np.concatenate([known[present], np.delete(known, present)])
    shape = (*tensor.shape[:-1], len(present))
    return replace(tensor, shape=shape, channels=tuple(int(channel) for channel in channels))
