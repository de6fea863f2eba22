"""The bundle: the output directory, its manifest and its golden vectors."""

from tinyformer.sparse_engine.bundle.files import GRAPH_FILE
from tinyformer.sparse_engine.bundle.manifest import (
    FORMAT_VERSION,
    ArenaRecord,
    Border,
    ImageRecord,
    LayerRecord,
    Manifest,
    PlacementRecord,
    Predicted,
)
from tinyformer.sparse_engine.bundle.staging import staged

__all__ = [
    "FORMAT_VERSION",
    "GRAPH_FILE",
    "ArenaRecord",
    "Border",
    "ImageRecord",
    "LayerRecord",
    "Manifest",
    "PlacementRecord",
    "Predicted",
    "staged",
]
