"""Predicted costs of kernel calls: tables fitted on the emulated cores."""

from tinyformer.sparse_engine.cost.memory_cycles import NodePlaces, Span, reaches_slow_ram
from tinyformer.sparse_engine.cost.model import (
    Prediction,
    counts,
    flash_bytes,
    instructions,
    node_cost,
    predict,
    predictor,
)
from tinyformer.sparse_engine.cost.table import Coefficients, CostTable, NodeCost, Place, StartupCost, load

__all__ = [
    "Coefficients",
    "CostTable",
    "NodeCost",
    "NodePlaces",
    "Place",
    "Prediction",
    "Span",
    "StartupCost",
    "counts",
    "flash_bytes",
    "instructions",
    "load",
    "node_cost",
    "predict",
    "predictor",
    "reaches_slow_ram",
]
