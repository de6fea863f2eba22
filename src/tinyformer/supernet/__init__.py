"""The supernet in PyTorch: choice blocks that hold every candidate, and single-path models extracted from them."""

from tinyformer.supernet.networks import SinglePathModel, Supernet, extract, prunable_layers, recalibrate
from tinyformer.supernet.primitives import Convolution, Linear

__all__ = [
    "Convolution",
    "Linear",
    "SinglePathModel",
    "Supernet",
    "extract",
    "prunable_layers",
    "recalibrate",
]
