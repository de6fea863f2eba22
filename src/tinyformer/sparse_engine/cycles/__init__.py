"""Estimated cycles of an image on a Cortex-M: executed blocks and their disassembly in, cycles per phase out.

A model, not a measurement: ``docs/cycles.md`` explains it, names its sources and shows its error against silicon.
"""

from tinyformer.sparse_engine.cycles.accuracy import Accuracy, accuracy
from tinyformer.sparse_engine.cycles.core import Core, load, names
from tinyformer.sparse_engine.cycles.demand import Demand, demands
from tinyformer.sparse_engine.cycles.estimate import BlockCycles, Estimate, PhaseCycles, estimate, estimate_blocks
from tinyformer.sparse_engine.cycles.flow import read_blocks
from tinyformer.sparse_engine.cycles.memory import MemorySystem, Traffic, data_lines
from tinyformer.sparse_engine.cycles.memory import load as load_memory
from tinyformer.sparse_engine.cycles.operation import Decoder

__all__ = [
    "Accuracy",
    "BlockCycles",
    "Core",
    "Decoder",
    "Demand",
    "Estimate",
    "MemorySystem",
    "PhaseCycles",
    "Traffic",
    "accuracy",
    "data_lines",
    "demands",
    "estimate",
    "estimate_blocks",
    "load",
    "load_memory",
    "names",
    "read_blocks",
]
