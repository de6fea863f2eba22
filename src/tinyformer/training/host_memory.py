"""Keeping freed memory in the process while a model trains on the CPU.

A step frees its activations and the next one asks for the same again. By default glibc gives large blocks back to the
system at once, which then has to clear fresh pages: a third of the processor time of a 32 million MAC model's steps.
The price is a peak that is higher by a third.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3

_KEEP_BYTES = 1 << 30
# What glibc's own adaptive thresholds grow to.
_USUAL_MMAP_BYTES = 32 << 20
_USUAL_TRIM_BYTES = 64 << 20


@contextmanager
def kept_memory(device: torch.device) -> Iterator[None]:
    """Have glibc reuse freed blocks inside the context, and give them back after it.

    Does nothing for other devices and other C libraries.
    """
    libc = ctypes.CDLL(None) if device.type == "cpu" and platform.libc_ver()[0] == "glibc" else None
    if libc is None:
        yield
        return
    libc.mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES)
    libc.mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)
    try:
        yield
    finally:
        libc.mallopt(_M_MMAP_THRESHOLD, _USUAL_MMAP_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _USUAL_TRIM_BYTES)
        libc.malloc_trim(0)
