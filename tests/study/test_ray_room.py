"""What an evaluation takes on Ray: a cluster of its own for each test, since a process joins one at a time."""

from __future__ import annotations

import pytest

from tinyformer.errors import TinyFormerError
from tinyformer.study import RayExecutor


@pytest.mark.full
@pytest.mark.parametrize(
    ("takes", "word"), [({"gpus_per_evaluation": 64}, "64 GPU"), ({"cpus_per_evaluation": 10_000}, "10000 CPU")]
)
def test_on_ray_an_evaluation_that_no_machine_holds_is_an_error(takes: dict[str, int], word: str) -> None:
    """Ray itself would wait for a machine that may never come."""
    pytest.importorskip("ray")
    with pytest.raises(TinyFormerError, match=f"an evaluation takes {word}, the largest machine has"):
        RayExecutor("local", **takes)
