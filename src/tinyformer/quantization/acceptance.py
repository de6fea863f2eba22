"""Which float models can be quantised, said before anything is computed."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from tinyformer.errors import UnsupportedModelError
from tinyformer.quantization.contract import QDQ


def require_quantizable(model: onnx.ModelProto) -> None:
    """Check a float model's borders and numbers.

    Raises:
        UnsupportedModelError: the model is quantised already, has not one float input and one output, a batch that is
            neither symbolic nor 1, or constants that are not finite.
    """
    graph = model.graph
    if not graph.node:
        raise UnsupportedModelError("the file holds no operators; give the path of a float ONNX file")
    if any(node.op_type in QDQ for node in graph.node):
        raise UnsupportedModelError(
            "the model is quantised already; compile it, or quantise the float model it is from"
        )
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1 or len(graph.output) != 1:
        names = [", ".join(f"'{value.name}'" for value in values) or "none" for values in (inputs, graph.output)]
        raise UnsupportedModelError(
            f"the model has the inputs {names[0]} and the outputs {names[1]}; allowed: one of each; export the part "
            "between an input and an output"
        )
    _require_float_input(inputs[0])
    for tensor in graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT and not np.isfinite(numpy_helper.to_array(tensor)).all():
            raise UnsupportedModelError(
                f"constant '{tensor.name}' holds values that are not finite; allowed: numbers; train the model anew"
            )


def _require_float_input(value: onnx.ValueInfoProto) -> None:
    kind = value.type.tensor_type.elem_type
    if kind != onnx.TensorProto.FLOAT:
        name = onnx.TensorProto.DataType.Name(kind).lower()
        raise UnsupportedModelError(
            f"input '{value.name}' is {name}; allowed: float of 32 bits; export the model with such an input"
        )
    dims = value.type.tensor_type.shape.dim
    if dims and dims[0].HasField("dim_value") and dims[0].dim_value != 1:
        raise UnsupportedModelError(
            f"input '{value.name}' has a batch of {dims[0].dim_value}; allowed: 1 or a symbolic one; export the model "
            "with batch 1"
        )
