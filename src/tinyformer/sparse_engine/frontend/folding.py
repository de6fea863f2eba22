"""Constant folding on the ONNX graph: what exporters compute although it is known once the batch is 1.

Only shape arithmetic and the movement of small constants fold; everything that reads an activation's values stays.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from tinyformer.sparse_engine.ir import AnyArray

ONLY_FOLDED = ("Cast", "Constant", "Shape")
"""Operators that are accepted where they fold, and have no converter."""
_MOVEMENT = (
    "Concat",
    "Expand",
    "Flatten",
    "Gather",
    "Identity",
    "Reshape",
    "Slice",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
)
FOLDABLE = frozenset({*ONLY_FOLDED, *_MOVEMENT, "Add", "Div", "Mul", "Sub"})


def remove_unused(model: onnx.ModelProto) -> None:
    """Remove nodes that the graph's outputs do not depend on."""
    needed = {value.name for value in model.graph.output}
    kept = []
    for node in reversed(model.graph.node):
        if any(name in needed for name in node.output if name):
            needed.update(node.input)
            kept.append(node)
    kept.reverse()
    del model.graph.node[:]
    model.graph.node.extend(kept)


def fold(model: onnx.ModelProto, opset: int) -> bool:
    """Replace nodes of known value by initializers, in place.

    Args:
        model: a model with inferred shapes.
        opset: version of the default operator set.

    Returns:
        Whether a node was replaced.
    """
    graph = model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    shapes = {value.name: _static_shape(value) for value in (*graph.input, *graph.value_info)}
    kept = []
    for node in graph.node:
        value = _value(node, opset, constants, shapes)
        if value is None:
            kept.append(node)
        else:
            constants[node.output[0]] = value
            graph.initializer.append(numpy_helper.from_array(value, node.output[0]))
    folded = len(kept) < len(graph.node)
    del graph.node[:]
    graph.node.extend(kept)
    return folded


def evaluate(node: onnx.NodeProto, inputs: list[AnyArray | None], opset: int) -> AnyArray:
    """Return the first output of one node by onnx's reference evaluator."""
    feeds = {name: value for name, value in zip(node.input, inputs, strict=True) if value is not None}
    evaluator = ReferenceEvaluator(node, opsets={"": opset})
    (output,) = evaluator.run([node.output[0]], feeds)
    return np.asarray(output)


def _value(
    node: onnx.NodeProto,
    opset: int,
    constants: dict[str, AnyArray],
    shapes: dict[str, tuple[int, ...] | None],
) -> AnyArray | None:
    if node.op_type not in FOLDABLE or len(node.output) != 1 or shapes.get(node.output[0]) is None:
        return None  # an unknown size could be any size
    if node.op_type == "Shape":
        shape = constants[node.input[0]].shape if node.input[0] in constants else shapes.get(node.input[0])
        bounds: dict[str, int] = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        return None if shape is None else np.array(shape[bounds.get("start", 0) : bounds.get("end")], np.int64)
    if not all(name in constants or not name for name in node.input):
        return None
    return evaluate(node, [constants.get(name) for name in node.input], opset)


def _static_shape(value: onnx.ValueInfoProto) -> tuple[int, ...] | None:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape") or not all(dim.HasField("dim_value") for dim in tensor.shape.dim):
        return None
    return tuple(int(dim.dim_value) for dim in tensor.shape.dim)
