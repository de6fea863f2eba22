"""Executors: order of completion, lazy work, and workers that die."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tinyformer.errors import DataError, MissingExtraError, TinyFormerError
from tinyformer.study import InProcessExecutor, RayExecutor
from tinyformer.study.executors import completed


class ThreadExecutor:
    """Two slots, to see that results come as they are ready."""

    slots = 2

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool

    def submit(self, function: Callable[[Any], Any], argument: Any) -> Future[Any]:
        return self._pool.submit(function, argument)


def test_in_process_each_argument_is_taken_after_the_result_before_it() -> None:
    events: list[str] = []

    def work() -> Iterator[tuple[str, int]]:
        for i in range(3):
            events.append(f"take {i}")
            yield f"k{i}", i

    def square(x: int) -> int:
        events.append(f"run {x}")
        return x * x

    results = []
    for result in completed(InProcessExecutor(), square, work()):
        events.append("use")
        results.append(result)
    assert results == [("k0", 0, 0), ("k1", 1, 1), ("k2", 2, 4)]
    assert events == ["take 0", "run 0", "use", "take 1", "run 1", "use", "take 2", "run 2", "use"]


def test_results_come_in_order_of_completion_and_work_is_taken_as_slots_become_free() -> None:
    taken: list[float] = []

    def work() -> Iterator[tuple[int, float]]:
        for i, seconds in enumerate((0.2, 0.01, 0.01)):
            taken.append(seconds)
            yield i, seconds

    with ThreadPoolExecutor(2) as pool:
        order = []
        for key, _, _ in completed(ThreadExecutor(pool), time.sleep, work()):
            order.append((key, len(taken)))
    assert order == [(1, 2), (2, 3), (0, 3)]


def test_what_an_evaluation_raises_is_raised() -> None:
    def fail(x: int) -> int:
        raise DataError(f"no image {x}")

    with pytest.raises(DataError, match="no image 4"):
        list(completed(InProcessExecutor(), fail, [("k", 4)]))


def test_ray_that_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tinyformer\[ray\]'"):
        RayExecutor()


@pytest.fixture(scope="module")
def ray_executor() -> Iterator[RayExecutor]:
    pytest.importorskip("ray")
    with RayExecutor("local", retries=1) as executor:
        yield executor


@pytest.mark.full
def test_on_ray_a_killed_workers_evaluation_is_retried(ray_executor: RayExecutor, tmp_path: Path) -> None:
    def evaluate(x: int) -> int:
        mark = tmp_path / str(x)
        if x == 2 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return x * x

    results = completed(ray_executor, evaluate, ((f"k{i}", i) for i in range(5)))
    assert sorted(results) == [(f"k{i}", i, i * i) for i in range(5)]
    assert (tmp_path / "2").exists()
    assert ray_executor.slots >= 1


@pytest.mark.full
def test_on_ray_what_an_evaluation_raises_comes_back_as_it_was(ray_executor: RayExecutor) -> None:
    def fail(x: int) -> int:
        raise DataError(f"no image {x}")

    with pytest.raises(DataError, match=r"^no image 4$"):
        list(completed(ray_executor, fail, [("k", 4)]))


@pytest.mark.full
def test_on_ray_an_evaluation_that_always_kills_its_worker_is_an_error(ray_executor: RayExecutor) -> None:
    def die(x: int) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return x

    with pytest.raises(TinyFormerError, match="worker died 2 times"):
        list(completed(ray_executor, die, [("k", 4)]))


@pytest.mark.full
def test_on_ray_a_worker_that_lacks_the_code_is_named(ray_executor: RayExecutor, tmp_path: Path) -> None:
    (tmp_path / "only_here.py").write_text("def evaluate(x):\n    return x\n")
    sys.path.insert(0, str(tmp_path))
    try:
        evaluate = importlib.import_module("only_here").evaluate
        with pytest.raises(TinyFormerError, match=r"No module named 'only_here'.*same version"):
            list(completed(ray_executor, evaluate, [("k", 4)]))
    finally:
        sys.path.remove(str(tmp_path))
