"""A model on the engine and on CMSIS-NN, side by side; the library is the user's own."""

from tinyformer.benchmarks.cmsis_nn.comparison import Comparison, LayerComparison, compare
from tinyformer.benchmarks.cmsis_nn.library import Library

__all__ = ["Comparison", "LayerComparison", "Library", "compare"]
