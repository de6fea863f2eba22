"""Instruction fetches: a loop that fits the cache fetches its code once for each time it is entered."""

from tinyformer.sparse_engine.cycles.loops import Visited, components, fetched_lines


def block(name: int, before: dict[int, int], lines: int = 2) -> Visited:
    return Visited(name, sum(before.values()), frozenset(range(100 * name, 100 * name + lines)), before)


ENTRY = -1


def test_components() -> None:
    assert components({1: [2], 2: [1], 3: [2]}) == [[1, 2], [3]]
    assert sorted(components({1: [], 2: [1], 3: [3]})) == [[1], [2], [3]]
    chain = {n: [n - 1] for n in range(1, 5000)} | {0: []}
    assert len(components(chain)) == 5000  # no recursion limit


def test_all_that_fits_is_fetched_once() -> None:
    code = [block(1, {ENTRY: 1}), block(2, {1: 1, 2: 99})]
    assert fetched_lines(code, 4) == 4


def test_two_loops_one_after_the_other() -> None:
    """Together they do not fit, each alone does: each is fetched when it is entered."""
    code = [block(1, {ENTRY: 1}, 3), block(2, {1: 1, 2: 99}, 3), block(3, {2: 1}, 1), block(4, {3: 1, 4: 99}, 3)]
    assert fetched_lines(code, 4) == 3 + 3 + 1 + 3


def test_inner_loop_that_fits() -> None:
    """The outer loop of 10 does not fit: its own lines are fetched 10 times, the inner loop's at each entry."""
    code = [block(1, {ENTRY: 1, 3: 9}, 3), block(2, {1: 10, 2: 990}, 3), block(3, {2: 10}, 3)]
    assert fetched_lines(code, 4) == 10 * 3 + 10 * 3 + 10 * 3


def test_loop_larger_than_the_cache() -> None:
    code = [block(1, {ENTRY: 1, 1: 99}, 6)]
    assert fetched_lines(code, 4) == 600
