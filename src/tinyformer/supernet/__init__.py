"""The supernet in PyTorch: choice blocks that hold every candidate, and single-path models extracted from them."""

from tinyformer.supernet.networks import SinglePathModel, Supernet, extract, prunable_layers
from tinyformer.supernet.primitives import Convolution, Linear
from tinyformer.supernet.recalibration import RECALIBRATION_BATCH, recalibrate, recalibration_images

__all__ = [
    "RECALIBRATION_BATCH",
    "Convolution",
    "Linear",
    "SinglePathModel",
    "Supernet",
    "extract",
    "prunable_layers",
    "recalibrate",
    "recalibration_images",
]
