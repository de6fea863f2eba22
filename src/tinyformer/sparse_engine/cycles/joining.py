"""Join what the emulator cut: it ends a block at its own limits too (a page, a number of instructions).

A core knows nothing of these limits. Where all control that reaches a block has run on from the addresses before it,
each of those blocks is joined with it; without that a loop would seem to take longer where it lies across a page.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import numpy.typing as npt

from tinyformer.sparse_engine.cycles.operation import Decoder

Entries = npt.NDArray[np.void]


def join_cut_blocks(entries: Entries, decoder: Decoder) -> Entries:
    """Return a profile in which the blocks that were cut are whole.

    Args:
        entries: dtype ``emulator.emulation.ENTRY``.
        decoder: of the image that ran.

    Returns:
        Entries of the same dtype. The registers of a joined block are those of its first part; what runs after it is
        said to run after the part that was there most often.

    Raises:
        ToolchainError: the profile does not belong to the image.
    """
    sizes: dict[int, set[int]] = defaultdict(set)
    before: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for entry in entries:
        sizes[int(entry["address"])].add(int(entry["size"]))
        before[int(entry["address"])][int(entry["previous"])] += int(entry["count"])
    whole = {address: min(found) for address, found in sizes.items() if len(found) == 1}

    def runs_on(address: int, follower: int) -> bool:
        size = whole.get(address)
        return size is not None and address + size == follower and not decoder.block(address, size)[-1].is_branch

    mostly_after: dict[int, int] = {}
    for address in sorted(whole, reverse=True):  # what follows a block is whole before it
        if all(runs_on(previous, address) for previous in before[address]):
            for previous in before[address]:
                whole[previous] += whole[address]
            mostly_after[address] = max(before[address], key=before[address].__getitem__)
    first: dict[int, int] = {}
    for address in sorted(mostly_after):
        previous = mostly_after[address]
        first[address] = first.get(previous, previous)
    joined = entries[[int(address) not in first for address in entries["address"]]]
    joined["size"] = [whole.get(int(entry["address"]), int(entry["size"])) for entry in joined]
    joined["previous"] = [first.get(int(previous), int(previous)) for previous in joined["previous"]]
    joined["instructions"] = [len(decoder.block(int(entry["address"]), int(entry["size"]))) for entry in joined]
    return joined
