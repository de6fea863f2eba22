"""Weight encodings: the dense form and the paper's blockwise run-length code, chosen layer by layer."""

from tinyformer.sparse_engine.coding.block_rle import compression_ratio
from tinyformer.sparse_engine.coding.choice import ENCODINGS, Option, choose, encode, options, prescribe
from tinyformer.sparse_engine.coding.encoding import BlockDensity, EncodedWeights, Encoding, Plane

__all__ = [
    "ENCODINGS",
    "BlockDensity",
    "EncodedWeights",
    "Encoding",
    "Option",
    "Plane",
    "choose",
    "compression_ratio",
    "encode",
    "options",
    "prescribe",
]
