"""Predicted costs of kernel calls: tables fitted on the emulated cores."""

from tinyformer.sparse_engine.cost.model import Prediction, counts, instructions, predict, predictor
from tinyformer.sparse_engine.cost.table import CostTable, StartupCost, load

__all__ = ["CostTable", "Prediction", "StartupCost", "counts", "instructions", "load", "predict", "predictor"]
