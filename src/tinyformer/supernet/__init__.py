"""The supernet in PyTorch: choice blocks that hold every candidate, and single-path models extracted from them."""

from tinyformer.supernet.networks import SinglePathModel, Supernet, extract, prunable_layers
from tinyformer.supernet.primitives import Convolution, Linear
from tinyformer.supernet.recalibration import recalibrate, recalibration_batch, recalibration_images

__all__ = [
    "Convolution",
    "Linear",
    "SinglePathModel",
    "Supernet",
    "extract",
    "prunable_layers",
    "recalibrate",
    "recalibration_batch",
    "recalibration_images",
]
