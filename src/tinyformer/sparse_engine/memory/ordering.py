"""The order of operators that needs the least memory at its worst step.

What is live between two steps depends on which calls have run, not on their order. So a search over sets of calls that
have run, from none to all, finds the best order exactly: of two ways to the same set, the one with the smaller peak.
Residual graphs have few branches, and so few such sets. A graph with many is searched with a beam: at each length only
the ``beam`` sets with the smallest peaks go on.

Two things keep the search short. No order can need less than the most that a single step needs by itself; where the
given order needs no more, it is returned at once. And what exceeds the peak of the given order is dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tinyformer.sparse_engine.ir import Graph
from tinyformer.sparse_engine.memory.liveness import Call, reshaped
from tinyformer.sparse_engine.memory.placement import aligned

BEAM = 128

C = TypeVar("C", bound=Call)


@dataclass(frozen=True, slots=True)
class _Step:
    """A call by numbers: values are numbered by the call that writes them.

    ``needs`` are the calls before it, ``reads`` those whose values it reads in the arena, ``may_take`` those of them
    whose memory its output may take. ``output_bytes`` is 0 for the caller's output.
    """

    needs: int
    reads: tuple[int, ...]
    may_take: tuple[int, ...]
    output_bytes: int
    scratch_bytes: int


@dataclass(frozen=True, slots=True)
class _Way:
    """A set of calls that have run: the worst step so far, what is live after the last, and the order."""

    peak_bytes: int
    order: tuple[int, ...]
    live_bytes: int


def schedule(graph: Graph, calls: Sequence[C], beam: int = BEAM) -> tuple[C, ...]:
    """Return the calls in an order that needs the fewest live bytes at its worst step.

    Args:
        graph: shapes and nodes; constants need no data.
        calls: one for each node except Reshape, in an order that can be run.
        beam: the sets that go on at each length.

    Returns:
        The given order where no other found is better; else, of the best, the first by the calls' given positions.
    """
    return tuple(calls[index] for index in schedule_order(graph, calls, beam))


def schedule_order(graph: Graph, calls: Sequence[Call], beam: int = BEAM) -> tuple[int, ...]:
    """Return the order of ``schedule`` as positions in the given calls."""
    steps = _steps(graph, calls)
    readers = _readers(steps)
    as_given = tuple(range(len(steps)))
    given = _run(steps, readers, as_given)
    alone = max((_alone_bytes(step, steps) for step in steps), default=0)
    if given <= alone:
        return as_given
    best = _search(steps, readers, given, beam)
    return as_given if best is None or best.peak_bytes >= given else best.order


def _steps(graph: Graph, calls: Sequence[Call]) -> list[_Step]:
    roots = reshaped(graph)
    border = {roots.get(graph.input, graph.input), roots.get(graph.output, graph.output)}
    writer: dict[str, int] = {}
    for index, call in enumerate(calls):
        writer[roots.get(call.node.output, call.node.output)] = index
    steps = []
    for call in calls:
        output = roots.get(call.node.output, call.node.output)
        inputs = dict.fromkeys(roots.get(name, name) for name in call.node.inputs)
        written = [name for name in inputs if name in writer]
        over = {roots.get(name, name) for name in call.overwrites}
        over -= {roots.get(name, name) for name in call.node.inputs if name not in call.overwrites}
        steps.append(
            _Step(
                needs=sum(1 << writer[name] for name in written),
                reads=tuple(writer[name] for name in written if name not in border),
                may_take=tuple(
                    writer[name]
                    for name in written
                    if name in over
                    and not {name, output} & border
                    and graph.tensors[name].nbytes == graph.tensors[output].nbytes
                ),
                output_bytes=0 if output in border else aligned(graph.tensors[output].nbytes),
                scratch_bytes=aligned(call.scratch_bytes),
            )
        )
    return steps


def _readers(steps: Sequence[_Step]) -> Mapping[int, int]:
    """Map each value to the set of calls that read it, as bits."""
    readers = dict.fromkeys(range(len(steps)), 0)
    for index, step in enumerate(steps):
        for value in step.reads:
            readers[value] |= 1 << index
    return readers


def _alone_bytes(step: _Step, steps: Sequence[_Step]) -> int:
    """Return what a step needs if nothing else is live."""
    output = 0 if step.may_take else step.output_bytes
    return sum(steps[value].output_bytes for value in step.reads) + output + step.scratch_bytes


def _advance(
    steps: Sequence[_Step], readers: Mapping[int, int], done: int, live_bytes: int, index: int
) -> tuple[int, int]:
    """Run a call: return the bytes live at it and after it."""
    step = steps[index]
    now = done | 1 << index
    dies = [value for value in step.reads if not readers[value] & ~now]
    freed = sum(steps[value].output_bytes for value in dies)
    in_place = any(value in dies for value in step.may_take)
    at = live_bytes + step.scratch_bytes + (0 if in_place else step.output_bytes)
    kept = step.output_bytes if readers[index] else 0
    return at, live_bytes - freed + kept


def _run(steps: Sequence[_Step], readers: Mapping[int, int], order: Sequence[int]) -> int:
    done = live_bytes = peak = 0
    for index in order:
        at, live_bytes = _advance(steps, readers, done, live_bytes, index)
        done |= 1 << index
        peak = max(peak, at)
    return peak


def _search(steps: Sequence[_Step], readers: Mapping[int, int], limit_bytes: int, beam: int) -> _Way | None:
    """Return the best way to run everything below ``limit_bytes``, None where the beam finds none."""
    ways = {0: _Way(0, (), 0)}
    for _ in steps:
        further: dict[int, _Way] = {}
        for done, way in ways.items():
            for index, step in enumerate(steps):
                if done >> index & 1 or step.needs & ~done:
                    continue
                at, after = _advance(steps, readers, done, way.live_bytes, index)
                peak = max(way.peak_bytes, at)
                if peak >= limit_bytes:
                    continue
                now = done | 1 << index
                found = _Way(peak, (*way.order, index), after)
                if now not in further or _rank(found) < _rank(further[now]):
                    further[now] = found
        kept = sorted(further.items(), key=lambda item: (_rank(item[1]), item[0]))[:beam]
        ways = dict(kept)
    return next(iter(ways.values()), None)


def _rank(way: _Way) -> tuple[int, int, tuple[int, ...]]:
    return way.peak_bytes, way.live_bytes, way.order
