"""Join what the emulator cut: it ends a block at its own limits too (a page, a number of instructions).

A core knows nothing of these limits. Where all control that reaches a block has run on from the addresses before it,
each of those blocks is joined with it; without that a loop would seem to take longer where it lies across a page.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping

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
        Entries of the same dtype. The registers of a joined block are those of its first part. Where a block that was
        cut off had several first parts, what ran after it is shared out among them, as often as each led there.

    Raises:
        ToolchainError: the profile does not belong to the image.
    """
    sizes: dict[int, set[int]] = defaultdict(set)
    before: dict[int, set[int]] = defaultdict(set)
    for entry in entries:
        sizes[int(entry["address"])].add(int(entry["size"]))
        before[int(entry["address"])].add(int(entry["previous"]))
    whole = {address: min(found) for address, found in sizes.items() if len(found) == 1}

    def runs_on(address: int, follower: int) -> bool:
        size = whole.get(address)
        return size is not None and address + size == follower and not decoder.block(address, size)[-1].is_branch

    cut_off = set()
    for address in sorted(whole, reverse=True):  # what follows a block is whole before it
        if all(runs_on(previous, address) for previous in before[address]):
            cut_off.add(address)
            for previous in before[address]:
                whole[previous] += whole[address]
    if not cut_off:
        return entries
    by_phase = {
        int(phase): _first_parts(entries[entries["phase"] == phase], cut_off) for phase in set(entries["phase"])
    }
    anywhere = _first_parts(entries, cut_off)
    joined = []
    for entry in entries:
        address, previous = int(entry["address"]), int(entry["previous"])
        if address in cut_off:
            continue
        whole_entry = entry.copy()
        whole_entry["size"] = whole.get(address, int(entry["size"]))
        whole_entry["instructions"] = len(decoder.block(address, int(whole_entry["size"])))
        shares = by_phase[int(entry["phase"])].get(previous) or anywhere.get(previous) or {previous: 1.0}
        for first, count in _shared_out(int(entry["count"]), shares).items():
            whole_entry["previous"], whole_entry["count"] = first, count
            joined.append(whole_entry.copy())
            whole_entry["samples"] = 0
    return np.array(joined, dtype=entries.dtype)


def _first_parts(entries: Entries, cut_off: Collection[int]) -> Mapping[int, Mapping[int, float]]:
    """Return, for each block that was cut off, the share that each of the blocks has with which it is joined."""
    counts: dict[int, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for entry in entries:
        if int(entry["address"]) in cut_off:
            counts[int(entry["address"])][int(entry["previous"])] += int(entry["count"])
    shares: dict[int, dict[int, float]] = {}
    for address, led_there in sorted(counts.items()):  # a block is cut off from lower addresses
        own: dict[int, float] = defaultdict(float)
        for previous, count in led_there.items():
            for first, share in shares.get(previous, {previous: 1.0}).items():
                own[first] += share * count / sum(led_there.values())
        shares[address] = own
    return shares


def _shared_out(count: int, shares: Mapping[int, float]) -> Mapping[int, int]:
    """Return whole numbers that add up to a count, near its shares; none is 0."""
    parts = {first: int(count * share) for first, share in shares.items()}
    by_rest = sorted(parts, key=lambda first: parts[first] - count * shares[first])
    for first in by_rest[: count - sum(parts.values())]:
        parts[first] += 1
    return {first: part for first, part in parts.items() if part}
