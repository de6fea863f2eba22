"""Estimated cycles of an image on a Cortex-M: executed blocks and their disassembly in, cycles per phase out.

A model, not a measurement: ``docs/cycles.md`` explains it, names its sources and shows its error against silicon.
"""

from tinyformer.sparse_engine.cycles.accuracy import Accuracy, accuracy
from tinyformer.sparse_engine.cycles.core import Core, load, names
from tinyformer.sparse_engine.cycles.estimate import BlockCycles, Estimate, PhaseCycles, estimate
from tinyformer.sparse_engine.cycles.memory import MemorySystem
from tinyformer.sparse_engine.cycles.memory import load as load_memory

__all__ = [
    "Accuracy",
    "BlockCycles",
    "Core",
    "Estimate",
    "MemorySystem",
    "PhaseCycles",
    "accuracy",
    "estimate",
    "load",
    "load_memory",
    "names",
]
