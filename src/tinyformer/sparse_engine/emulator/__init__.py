"""Run an image on an emulated core: unicorn in a worker process, and QEMU as the cross-check."""

from tinyformer.sparse_engine.emulator.emulation import OVERHEAD, Block, Emulation, Profile, TracePoint
from tinyformer.sparse_engine.emulator.session import run

__all__ = ["OVERHEAD", "Block", "Emulation", "Profile", "TracePoint", "run"]
