"""Datasets: uint8 images with channels last, and a split that searches may look at."""

from tinyformer.data.cache import Progress
from tinyformer.data.catalogue import fetch, kind, load, names
from tinyformer.data.dataset import Dataset

__all__ = ["Dataset", "Progress", "fetch", "kind", "load", "names"]
