"""Check a memory plan without trusting who made it.

Liveness is found again here, backwards from the last step, as sets of live values instead of intervals: a value is what
one node computes, under all the names that Reshape gives it. Each step's values are then looked up in the plan, sorted
by offset, and neighbours compared. Two values may lie in one place at one step only: at the one that writes the one
over the other, whose last use that is, by a kernel that allows it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import pairwise

from tinyformer.sparse_engine.ir import Graph
from tinyformer.sparse_engine.memory.liveness import Call
from tinyformer.sparse_engine.memory.placement import ALIGNMENT, MemoryPlan, Placement, PlanError
from tinyformer.sparse_engine.ops import Reshape

_Key = tuple[str, str]  # kind, name


def verify(graph: Graph, calls: Sequence[Call], plan: MemoryPlan) -> None:
    """Check that a plan is right for a graph and its calls.

    Every computed node has one call. Every buffer has one aligned place of its size within the arena, as long as it
    lives. No two buffers that live at the same step overlap, but for an output in the place of an input that its kernel
    may write over and nothing reads later. The lower bound is one.

    Raises:
        PlanError: names the step and the buffers of the first fault found.
    """
    expected = [node.name for node in graph.nodes if not isinstance(node.op, Reshape)]
    if sorted(expected) != sorted(call.node.name for call in calls):
        raise PlanError(f"plan of graph {graph.name}: the calls do not compute the graph's nodes once each")
    storage = _Storage(graph)
    _check_aliases(graph, calls, plan, storage)
    places = _places(plan)
    needed: set[_Key] = set()
    for step, live, later in _live_sets(calls, storage):
        there = _placed(step, calls[step], live, later, plan, storage)
        needed |= there.keys()
        _check_step(step, there, places)
        if sum(there.values()) > plan.lower_bound_bytes:
            raise PlanError(f"step {step} needs {sum(there.values())} bytes, more than the lower bound of the plan")
    for key, place in places.items():
        if key not in needed:
            raise PlanError(f"{_name(place)} has a place that nothing needs")
    if plan.arena_bytes % ALIGNMENT:
        raise PlanError(f"the arena of {plan.arena_bytes} bytes is not a multiple of {ALIGNMENT}")
    if plan.arena_bytes < plan.lower_bound_bytes:
        raise PlanError(f"the arena of {plan.arena_bytes} bytes is less than {plan.lower_bound_bytes}, its lower bound")


class _Storage:
    """Which tensors share memory: the two sides of every Reshape, and so on from one to the next."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._members: dict[str, frozenset[str]] = {}  # of those that share
        self._computed: dict[str, str] = {}
        for node in graph.nodes:
            if isinstance(node.op, Reshape):
                source = node.inputs[0]
                union = self.members(source) | self.members(node.output)
                self._members.update(dict.fromkeys(union, union))
        reshaped = {node.output for node in graph.nodes if isinstance(node.op, Reshape)}
        for name, members in self._members.items():
            self._computed[name] = next(iter(members - reshaped))
        border = self.members(graph.input) | self.members(graph.output)
        self._outside = border | {
            name for name in graph.tensors if graph.tensors[self._computed.get(name, name)].constant
        }

    def members(self, name: str) -> frozenset[str]:
        """Return all tensors that share a tensor's memory."""
        return self._members.get(name) or frozenset([name])

    def in_arena(self, name: str) -> bool:
        """Tell whether a tensor's memory is neither the caller's nor flash."""
        return name not in self._outside

    def nbytes(self, name: str) -> int:
        """Return a tensor's bytes."""
        return self._graph.tensors[name].nbytes

    def key(self, name: str) -> _Key:
        """Return a tensor's buffer, named after the one among those that share it that comes out of no Reshape."""
        return "tensor", self._computed.get(name, name)


def _check_aliases(graph: Graph, calls: Sequence[Call], plan: MemoryPlan, storage: _Storage) -> None:
    overwritten = {storage.key(call.node.output): call.overwrites for call in calls}
    for name in graph.tensors:
        members = storage.members(name)
        if len(members) == 1 and name not in plan.aliases:
            continue  # has memory of its own
        target = plan.aliases.get(name, name)
        sources = overwritten.get(storage.key(name), ())
        shares = target in members or any(
            plan.aliases.get(source, source) == target and storage.nbytes(source) == storage.nbytes(name)
            for source in sources
            if storage.in_arena(source)
        )
        if not shares or target in plan.aliases:
            raise PlanError(f"tensor '{name}' is an alias of '{target}', whose memory it does not share")
        if len({plan.aliases.get(member, member) for member in members}) > 1:
            raise PlanError(f"tensors {sorted(members)} share memory, but their aliases differ")
        border = graph.input if graph.input in members else graph.output
        if border in members and target != border:
            raise PlanError(f"tensor '{name}' lies in the caller's buffer '{border}', but its alias is '{target}'")


def _places(plan: MemoryPlan) -> Mapping[_Key, Placement]:
    places: dict[_Key, Placement] = {}
    for place in plan.placements:
        if (place.kind, place.name) in places:
            raise PlanError(f"{_name(place)} has two places")
        if place.offset % ALIGNMENT:
            raise PlanError(f"{_name(place)} is at offset {place.offset}, which is not a multiple of {ALIGNMENT}")
        if place.offset < 0 or place.end > plan.arena_bytes:
            raise PlanError(
                f"{_name(place)} takes bytes {place.offset} to {place.end}, the arena has {plan.arena_bytes}"
            )
        places[place.kind, place.name] = place
    return places


def _live_sets(calls: Sequence[Call], storage: _Storage) -> Iterator[tuple[int, dict[_Key, int], Set[_Key]]]:
    """Yield each step, last first, with the bytes of the values that live at it, and those that later steps read."""
    later: dict[_Key, int] = {}
    for step, call in reversed(list(enumerate(calls))):
        node = call.node
        now = {storage.key(name): storage.nbytes(name) for name in node.inputs if storage.in_arena(name)}
        before = {**later, **now}
        live = dict(before)
        output = storage.key(node.output) if storage.in_arena(node.output) else None
        if output is not None:
            live[output] = storage.nbytes(node.output)
            before.pop(output, None)
        if call.scratch_bytes:
            live["scratch", node.name] = call.scratch_bytes
        yield step, live, later.keys()
        later = before
    if later:
        raise PlanError(f"tensor '{next(iter(later))[1]}' is read before any step writes it")


def _placed(
    step: int, call: Call, live: Mapping[_Key, int], later: Set[_Key], plan: MemoryPlan, storage: _Storage
) -> dict[_Key, int]:
    """Return the bytes of the places that the values of a step lie in; one shared by two values must be by right."""
    output = storage.key(call.node.output)
    given_up = {key for key in map(storage.key, call.overwrites) if key not in later and key != output}
    given_up -= {storage.key(name) for name in call.node.inputs if name not in call.overwrites}
    found: dict[_Key, int] = {}
    holders: dict[_Key, list[_Key]] = {}
    for value, nbytes in live.items():
        kind, name = value
        place = value if kind == "scratch" else (kind, plan.aliases.get(name, name))
        if found.setdefault(place, nbytes) != nbytes:
            raise PlanError(f"{kind} '{name}' needs {nbytes} bytes and lies in a place of {found[place]}")
        holders.setdefault(place, []).append(value)
    for values in holders.values():
        inputs = [value for value in values if value != output]
        if len(values) > 1 and (len(inputs) > 1 or not given_up.issuperset(inputs)):
            both = " and ".join(f"tensor '{name}'" for _, name in values)
            raise PlanError(f"{both} overlap at step {step}: they lie in one place")
    return found


def _check_step(step: int, live: Mapping[_Key, int], places: Mapping[_Key, Placement]) -> None:
    here: list[Placement] = []
    for (kind, name), nbytes in live.items():
        place = places.get((kind, name))
        if place is None:
            raise PlanError(f"{kind} '{name}' lives at step {step} and has no place")
        if place.nbytes != nbytes:
            raise PlanError(f"{kind} '{name}' has a place of {place.nbytes} bytes and needs {nbytes}")
        if not place.first <= step <= place.last:
            raise PlanError(f"{kind} '{name}' lives at step {step}, its place from {place.first} to {place.last}")
        here.append(place)
    for place, above in pairwise(sorted(here, key=lambda p: p.offset)):
        if place.end > above.offset:
            raise PlanError(f"{_name(place)} and {_name(above)} overlap at step {step}")


def _name(place: Placement) -> str:
    return f"{place.kind} '{place.name}'"
