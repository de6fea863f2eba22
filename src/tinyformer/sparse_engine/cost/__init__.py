"""Predicted costs of kernel calls: tables fitted on the emulated cores."""

from tinyformer.sparse_engine.cost.model import Prediction, counts, flash_bytes, instructions, predict, predictor
from tinyformer.sparse_engine.cost.table import CostTable, StartupCost, load

__all__ = [
    "CostTable",
    "Prediction",
    "StartupCost",
    "counts",
    "flash_bytes",
    "instructions",
    "load",
    "predict",
    "predictor",
]
