"""The Pareto front against its definition."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tinyformer.study import Trial, TrialState, pareto_front

COSTS = ("flash", "ram")
small = st.integers(0, 4)
points = st.lists(st.tuples(small, small, small), max_size=12)


def trial(index: int, objective: float | None, flash: float = 0, ram: float = 0) -> Trial:
    state = TrialState.SKIPPED if objective is None else TrialState.FINISHED
    return Trial(index, state, {}, objective, None, {"flash": flash, "ram": ram}, {})


def dominates(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return a != b and a[0] >= b[0] and a[1] <= b[1] and a[2] <= b[2]


@given(points)
def test_the_front_is_what_nothing_dominates(found: list[tuple[int, int, int]]) -> None:
    front = pareto_front([trial(i, *point) for i, point in enumerate(found)], COSTS)
    kept = [found[member.index] for member in front]
    assert set(kept) == {p for p in found if not any(dominates(other, p) for other in found)}
    assert len(set(kept)) == len(kept)
    assert [point[0] for point in kept] == sorted((point[0] for point in kept), reverse=True)


def test_of_equal_trials_the_first_stays() -> None:
    front = pareto_front([trial(3, 1.0, 5, 5), trial(1, 1.0, 5, 5)], COSTS)
    assert [member.index for member in front] == [1]


def test_trials_without_a_result_are_not_on_it() -> None:
    assert pareto_front([trial(0, None)], COSTS) == ()


def test_a_cost_that_nobody_knows_does_not_count() -> None:
    front = pareto_front([trial(0, 0.5, 1), trial(1, 0.9, 1)], ("flash", "latency"))
    assert [member.index for member in front] == [1]
