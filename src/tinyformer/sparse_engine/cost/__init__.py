"""Predicted costs of kernel calls: tables fitted on the emulated cores."""

from tinyformer.sparse_engine.cost.memory_cycles import NodePlaces, Span, reaches_slow_ram
from tinyformer.sparse_engine.cost.model import (
    ImageCost,
    Prediction,
    counts,
    instructions,
    node_cost,
    of_image,
    predictor,
)
from tinyformer.sparse_engine.cost.table import Coefficients, CostTable, NodeCost, Place, StartupCost, load

__all__ = [
    "Coefficients",
    "CostTable",
    "ImageCost",
    "NodeCost",
    "NodePlaces",
    "Place",
    "Prediction",
    "Span",
    "StartupCost",
    "counts",
    "instructions",
    "load",
    "node_cost",
    "of_image",
    "predictor",
    "reaches_slow_ram",
]
