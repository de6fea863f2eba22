"""Liveness: which buffers a graph needs, and from which step to which.

Step i runs ``calls[i]``. A tensor lives from the step that writes it to the last that reads it; a tensor nobody reads
still takes its place while it is written. Scratch lives at its own step only. Four kinds of tensor need no buffer:

1. Constants: they lie in flash.
2. The graph's input and output: they are the caller's. The output stays readable, so later nodes may read it.
3. The results of Reshape: the same bytes under another shape, so they share their input's memory. Seen together, all
   tensors that share memory are one buffer, written once and live until the last read of any of them.
4. The result of a kernel that may write over an input, where that input is read for the last time, lies in the arena
   and has as many bytes: it takes the input's memory. If there are several such inputs it is the one that has been
   there longest, so that a residual stream stays in one place. Seen together they are again one buffer. An input that
   the kernel reads under another name too, which it may not write over, keeps its memory.

Where 2 and 3 meet: what shares memory with the graph's input is the caller's input buffer; what shares memory with
the graph's output is the caller's output buffer, into which its node writes directly. A graph that only reshapes its
input is both: its output is an alias of its input, and whoever generates code has to copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tinyformer.sparse_engine.ir import Graph, Node
from tinyformer.sparse_engine.memory.placement import Kind, PlanError, aligned
from tinyformer.sparse_engine.ops import Reshape


class Call(Protocol):
    """What planning needs to know of a kernel call."""

    @property
    def node(self) -> Node:
        """The node it computes."""
        ...

    @property
    def scratch_bytes(self) -> int:
        """Bytes it needs besides inputs and output."""
        ...

    @property
    def overwrites(self) -> tuple[str, ...]:
        """The inputs whose bytes the output may take."""
        ...


@dataclass(frozen=True, slots=True)
class Buffer:
    """Memory that a graph needs in the arena: ``nbytes`` bytes from step ``first`` to step ``last``, both included."""

    name: str
    kind: Kind
    nbytes: int
    first: int
    last: int


def aliases(graph: Graph, calls: Sequence[Call]) -> dict[str, str]:
    """Map each tensor without memory of its own to the tensor whose memory it shares.

    That is the graph's input or output where one of them is among those that share, else the tensor that was computed
    first.
    """
    shared = reshaped(graph)
    last_read = {shared.get(name, name): step for step, call in enumerate(calls) for name in call.node.inputs}
    written: dict[str, int] = {}
    taken: dict[str, str] = {}  # from what a kernel writes to the first tensor in that memory
    for step, call in enumerate(calls):
        output = shared.get(call.node.output, call.node.output)
        dying = ((name, shared.get(name, name)) for name in call.overwrites)
        kept = {shared.get(name, name) for name in call.node.inputs if name not in call.overwrites}
        free = {
            root
            for name, root in dying
            if root in written and root not in kept and last_read[root] == step and _fits(graph, name, call.node.output)
        }
        if free and output not in (graph.input, graph.output):
            oldest = min(free, key=lambda name: (written[name], name))
            taken[output] = taken.get(oldest, oldest)
            written[output] = written[oldest]
        elif output != graph.output:
            written[output] = step
    joined = {name: taken.get(root, root) for name, root in shared.items()}
    return {**joined, **taken}


def _fits(graph: Graph, source: str, output: str) -> bool:
    return graph.tensors[source].nbytes == graph.tensors[output].nbytes


def reshaped(graph: Graph) -> dict[str, str]:
    """Map the tensors that share memory by being reshapes of one another to the one that stands for them."""
    roots: dict[str, str] = {}
    for node in graph.nodes:
        if isinstance(node.op, Reshape):
            source = node.inputs[0]
            roots[node.output] = roots.get(source, source)
    computed = roots.get(graph.output, graph.output)
    if computed in (graph.input, graph.output) or graph.tensors[computed].constant:
        return roots
    shared = {name: graph.output if root == computed else root for name, root in roots.items()}
    del shared[graph.output]
    return {**shared, computed: graph.output}


def liveness(graph: Graph, calls: Sequence[Call], shared: Mapping[str, str] | None = None) -> tuple[Buffer, ...]:
    """Return every buffer the arena must hold, ordered by first step, a step's output before its scratch.

    Args:
        graph: shapes and nodes; constants need no data.
        calls: one for each node except Reshape, in execution order.
        shared: their ``aliases``, where the caller has them already.

    Raises:
        PlanError: a call reads what neither the caller nor an earlier call provides.
    """
    _verify_order(graph, calls)
    shared = aliases(graph, calls) if shared is None else shared
    elsewhere = {shared.get(name, name) for name in (graph.input, graph.output)}
    written: dict[str, int] = {}
    read: dict[str, int] = {}
    for step, call in enumerate(calls):
        for name in call.node.inputs:
            root = shared.get(name, name)
            if root in written:
                read[root] = step
        written.setdefault(shared.get(call.node.output, call.node.output), step)
    tensors = {step: name for name, step in written.items() if name not in elsewhere}
    buffers: list[Buffer] = []
    for step, call in enumerate(calls):
        if step in tensors:
            name = tensors[step]
            buffers.append(Buffer(name, "tensor", graph.tensors[name].nbytes, step, read.get(name, step)))
        if call.scratch_bytes:
            buffers.append(Buffer(call.node.name, "scratch", call.scratch_bytes, step, step))
    return tuple(buffers)


def _verify_order(graph: Graph, calls: Sequence[Call]) -> None:
    """Check that nothing is read before it is written; memory shared with another tensor does not count as written."""
    roots = reshaped(graph)
    provided = {roots.get(graph.input, graph.input)}
    for step, call in enumerate(calls):
        for name in call.node.inputs:
            root = roots.get(name, name)
            if root not in provided and not graph.tensors[root].constant:
                raise PlanError(f"step {step} ({call.node.name}) reads '{name}', which no earlier step writes")
        provided.add(roots.get(call.node.output, call.node.output))


def live_bytes(buffers: Sequence[Buffer]) -> Mapping[int, int]:
    """Map each step to the bytes, each buffer aligned, that live at it; steps without buffers are left out."""
    totals: dict[int, int] = {}
    for buffer in buffers:
        nbytes = aligned(buffer.nbytes)
        for step in range(buffer.first, buffer.last + 1):
            totals[step] = totals.get(step, 0) + nbytes
    return totals
