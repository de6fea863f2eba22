"""The front end: an int8 QDQ ONNX file in, an ``ir.Graph`` out.

Every operator stands between DequantizeLinear and QuantizeLinear; ``converters`` has one function for each. The graph
says what the file says, operator by operator: what the file keeps channels first becomes a Transpose, a channels-last
operator and a Transpose back, and ``passes`` cancels them. Tensors have the file's names of the quantised values.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from tinyformer.errors import UnsupportedModelError
from tinyformer.sparse_engine.frontend import decomposed_norm, pointwise
from tinyformer.sparse_engine.frontend.converters import CONVERTERS
from tinyformer.sparse_engine.frontend.errors import first_line, printable, unsupported
from tinyformer.sparse_engine.frontend.reading import read
from tinyformer.sparse_engine.frontend.structure import to_graph
from tinyformer.sparse_engine.ir import Graph, GraphError

__all__ = ["SUPPORTED_OPERATORS", "load"]

SUPPORTED_OPERATORS = tuple(sorted({*CONVERTERS, *pointwise.OPERATORS}))
"""ONNX operator types that have a converter, beside QuantizeLinear and DequantizeLinear."""


def load(path: str | PathLike[str]) -> Graph:
    """Read an int8 QDQ ONNX file with one input and one output.

    LayerNorm's gamma is int16 at one scale and beta int32 at that scale times 2**-7; convolutions and linear layers
    have int32 biases at scale input x weight into which no zero point is folded yet; integer attributes are None.

    Args:
        path: the file.

    Returns:
        A verified graph, not lowered; int8 borders in the file's axis order without the batch.

    Raises:
        UnsupportedModelError: the file is broken, not quantised, or asks for something the engine does not do.
    """
    file = Path(path)
    try:
        graph = to_graph(decomposed_norm.join(read(file, SUPPORTED_OPERATORS)))
        graph.verify()
    except UnsupportedModelError as error:
        raise UnsupportedModelError(f"{printable(str(file))}: {error}") from error.__cause__
    except GraphError as error:
        where = f"{printable(str(file))}: the model"
        raise unsupported(where, first_line(error), "a consistent graph", "export the model again") from error
    return graph
