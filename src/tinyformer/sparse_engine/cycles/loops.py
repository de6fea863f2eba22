"""Loops of an executed program, and how often each fetches its code: what an instruction cache saves and what not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Visited:
    """Code that was executed: ``lines`` are the cache lines it lies in, ``before`` counts what ran before it."""

    name: int
    count: int
    lines: frozenset[int]
    before: Mapping[int, int]


def fetched_lines(code: Sequence[Visited], capacity: int) -> float:
    """Return the lines that code fetches through a cache of ``capacity`` lines, empty at first.

    A loop that fits fetches its lines once each time it is entered; of one that does not, the loops inside it do, and
    the rest of it fetches its lines at every execution.
    """
    return _fetched({item.name: item for item in code}, 1, capacity)


def _fetched(code: Mapping[int, Visited], entries: int, capacity: int) -> float:
    lines = len(frozenset().union(*(item.lines for item in code.values())))
    if lines <= capacity:
        return float(lines * entries)
    edges = {name: [previous for previous in item.before if previous in code] for name, item in code.items()}
    total = 0.0
    for names in components(edges):
        loop = {name: code[name] for name in names}
        if len(loop) == 1 and (only := next(iter(loop.values()))).name not in only.before:
            total += only.count * len(only.lines)
            continue
        outside = {name: _entries(item, loop) for name, item in loop.items()}
        header = max(sorted(outside), key=lambda name: outside[name])
        if len(loop) == len(code) or len(_all_lines(loop)) > capacity:
            total += _without_header(loop, header, capacity)
        else:
            total += len(_all_lines(loop)) * max(1, sum(outside.values()))
    return total


def _without_header(loop: Mapping[int, Visited], header: int, capacity: int) -> float:
    """Return what a loop too large for the cache fetches: its header at every execution, what remains by its loops."""
    rest = {name: item for name, item in loop.items() if name != header}
    own = float(loop[header].count * len(loop[header].lines))
    if not rest:
        return own
    edges = {name: [previous for previous in item.before if previous in rest] for name, item in rest.items()}
    for names in components(edges):
        part = {name: rest[name] for name in names}
        entered = sum(_entries(item, part) for item in part.values())
        if len(_all_lines(part)) <= capacity:
            own += len(_all_lines(part)) * max(1, entered)
        else:
            inner = max(sorted(part), key=lambda name: _entries(part[name], part))
            own += _without_header(part, inner, capacity)
    return own


def _entries(item: Visited, loop: Collection[int]) -> int:
    return sum(count for previous, count in item.before.items() if previous not in loop)


def _all_lines(code: Mapping[int, Visited]) -> frozenset[int]:
    return frozenset().union(*(item.lines for item in code.values()))


def components(edges: Mapping[int, Iterable[int]]) -> list[list[int]]:
    """Return the strongly connected components of a graph, nodes ascending within each.

    Reference: R. Tarjan, Depth-first search and linear graph algorithms, SIAM J. Comput. 1 (1972).
    """
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    found: list[list[int]] = []

    def close(node: int) -> None:
        if low[node] == index[node]:
            cut = stack.index(node)
            part = stack[cut:]
            del stack[cut:]
            on_stack.difference_update(part)
            found.append(sorted(part))

    for root in sorted(edges):
        if root not in index:
            _search(root, edges, (index, low, stack, on_stack), close)
    return found


def _search(
    root: int,
    edges: Mapping[int, Iterable[int]],
    state: tuple[dict[int, int], dict[int, int], list[int], set[int]],
    close: Callable[[int], None],
) -> None:
    """Visit everything reachable from a node, without recursion."""
    index, low, stack, on_stack = state

    def open_node(node: int) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        on_stack.add(node)

    open_node(root)
    path = [(root, iter(edges[root]))]
    while path:
        node, successors = path[-1]
        for successor in successors:
            if successor not in index:
                open_node(successor)
                path.append((successor, iter(edges[successor])))
                break
            if successor in on_stack:
                low[node] = min(low[node], index[successor])
        else:
            path.pop()
            if path:
                parent = path[-1][0]
                low[parent] = min(low[parent], low[node])
            close(node)
