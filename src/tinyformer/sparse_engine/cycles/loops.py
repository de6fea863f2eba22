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
    lines = _lines(code)
    if lines <= capacity:
        return float(lines)
    total = 0.0
    waiting = [{item.name: item for item in code}]
    while waiting:
        region = waiting.pop()
        edges = {name: [previous for previous in item.before if previous in region] for name, item in region.items()}
        for names in components(edges):
            part = {name: region[name] for name in names}
            entries = {name: _entries(item, part) for name, item in part.items()}
            lines = _lines(part.values())
            if lines <= capacity:
                total += lines * max(1, sum(entries.values()))
                continue
            header = part.pop(max(names, key=entries.__getitem__))
            total += header.count * len(header.lines)
            waiting.append(part)
    return total


def _entries(item: Visited, loop: Collection[int]) -> int:
    return sum(count for previous, count in item.before.items() if previous not in loop)


def _lines(code: Iterable[Visited]) -> int:
    return len(frozenset[int]().union(*(item.lines for item in code)))


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
