"""How many threads a training step is worth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Below that a step's operators are shorter than the time in which threads find each other; on a machine with other work
# they then wait for one another most of the time (8x8 digits, two threads on two busy cores: six times slower).
_WORTHWHILE_MACS = 400_000_000


@contextmanager
def worthwhile_threads(macs_per_step: int) -> Iterator[None]:
    """Compute in one thread when a step is small, and in as many as before afterwards (an accelerator does not care).

    Args:
        macs_per_step: multiply-accumulates of a batch's forward pass.
    """
    before = torch.get_num_threads()
    if macs_per_step < _WORTHWHILE_MACS:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
