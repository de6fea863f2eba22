"""A path in, a checked ``OnnxModel`` out: parsing, limits, batch 1, shape inference and constant folding.

All contact with the parser of onnx happens here and in ``folding``; whatever it raises on a broken file becomes an
``UnsupportedModelError``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path

import onnx
from onnx import checker, external_data_helper, helper, inliner, numpy_helper, shape_inference

from tinyformer.errors import UnsupportedModelError
from tinyformer.sparse_engine.frontend import folding, qoperator
from tinyformer.sparse_engine.frontend.errors import first_line, quoted, unsupported
from tinyformer.sparse_engine.frontend.model import OnnxModel, OnnxNode
from tinyformer.sparse_engine.ir import AnyArray, Shape

QDQ = ("QuantizeLinear", "DequantizeLinear")

_LARGEST_FILE_BYTES = 2**30
_LARGEST_TENSOR = 2**26
_OLDEST_OPSET = 10
_BORDER_TYPES = (
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.FLOAT16,
    onnx.TensorProto.DOUBLE,
    onnx.TensorProto.INT8,
    onnx.TensorProto.UINT8,
)
_REMEDIES = {
    "If": "export the model without control flow",
    "Loop": "export the model without control flow",
    "Scan": "export the model without control flow",
    "DynamicQuantizeLinear": "quantise statically, with calibration data",
    "MatMulInteger": "quantise statically, with calibration data",
    "ConvInteger": "quantise statically, with calibration data",
}


def read(path: Path, supported: Collection[str]) -> OnnxModel:
    """Read an ONNX file whose operators are all supported.

    Args:
        path: the file.
        supported: ONNX operator types that have a converter.

    Raises:
        UnsupportedModelError: the file is missing, broken, not quantised, or outside what the engine does.
    """
    model = _parse(path)
    _check_names(model)
    _check_splits(model)
    _check_initializers(model)
    output = _only_output(model)
    folding.remove_unused(model)
    opset = _opset(model)
    qoperator.to_qdq(model, opset)
    _check_quantized(model, path)
    _check_operators(model, {*supported, *QDQ, *folding.FOLDABLE})
    declared = _only_input(model)
    _fix_batch(declared)
    del model.graph.input[:]
    model.graph.input.append(declared)
    _check(model)
    model = _with_shapes(model, opset)
    _check_operators(model, {*supported, *QDQ})
    with foreign("the model", "an initializer cannot be read"):
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    return OnnxModel(
        path.stem, opset, _nodes(model), constants, _shapes(model, constants), _types(model), declared.name, output
    )


@contextmanager
def foreign(where: str, problem: str) -> Iterator[None]:
    """Turn whatever the onnx library raises on a broken file into an ``UnsupportedModelError``."""
    try:
        yield
    except UnsupportedModelError:
        raise
    except Exception as error:  # the parser of another project, on a file of unknown origin
        raise unsupported(
            where, f"{problem} ({first_line(error)})", "a valid ONNX model", "export the model again"
        ) from error


def _parse(path: Path) -> onnx.ModelProto:
    where, remedy = "the file", "give the path of an int8 QDQ ONNX file"
    if not path.is_file():
        raise unsupported(where, "there is no such file", "an ONNX file", remedy)
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= _LARGEST_FILE_BYTES else b""
    except OSError as error:
        raise unsupported(where, f"it cannot be read ({first_line(error)})", "an ONNX file", remedy) from error
    if size > _LARGEST_FILE_BYTES:
        raise unsupported(where, f"it has {size} bytes", f"at most {_LARGEST_FILE_BYTES}", "use a smaller model")
    if size == 0:
        raise unsupported(where, "it is empty", "an ONNX file", "export the model again")
    with foreign(where, "it is truncated or not an ONNX file"):
        model = onnx.load_model_from_string(data)
    if not model.ir_version or not model.HasField("graph") or not model.graph.output:
        raise unsupported(where, "it holds no ONNX graph", "a graph with one input and one output", remedy)
    with foreign(where, "its external data cannot be loaded"):
        external_data_helper.load_external_data_for_model(model, str(path.parent))
    if model.functions:
        with foreign(where, "its functions cannot be inlined"):
            model = inliner.inline_local_functions(model)
    return model


def _check_names(model: onnx.ModelProto) -> None:
    """Refuse names that are not text: the parser hands them on as bytes."""
    graph = model.graph
    names = [value.name for value in (*graph.input, *graph.output, *graph.initializer)]
    for node in graph.node:
        names += [node.name, node.op_type, node.domain, *node.input, *node.output]
        names += [attribute.name for attribute in node.attribute]
    for value in graph.input:
        names += [dim.dim_param for dim in value.type.tensor_type.shape.dim]
    if not all(isinstance(name, str) for name in names):
        raise unsupported("the model", "a name in it is not text", "names in UTF-8", "export the model again")


def _check_splits(model: onnx.ModelProto) -> None:
    """Refuse a Split that onnx's shape inference would not survive."""
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Split" and attribute.name == "num_outputs" and attribute.i != len(node.output):
                where = f"node {quoted(node.name)} (Split)"
                problem = f"num_outputs is {attribute.i} and it has {len(node.output)} outputs"
                raise unsupported(where, problem, "equal numbers", "export the model again")


def _check_initializers(model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        _check_size(f"initializer {quoted(tensor.name)}", tuple(tensor.dims), least=0)
    if model.graph.sparse_initializer:
        name = model.graph.sparse_initializer[0].values.name
        raise unsupported(
            f"initializer {quoted(name)}", "it is stored sparse", "dense initializers", "export the model again"
        )


def _check_size(where: str, shape: Shape, least: int = 1) -> None:
    if any(size < least for size in shape) or prod(shape) > _LARGEST_TENSOR:
        text = "x".join(map(str, shape))[:60]
        allowed = f"positive sizes, at most {_LARGEST_TENSOR} elements"
        raise unsupported(where, f"its shape is {text}", allowed, "use a smaller model")


def _only_input(model: onnx.ModelProto) -> onnx.ValueInfoProto:
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    if len(inputs) != 1:
        names = ", ".join(quoted(value.name) for value in inputs[:4])
        raise unsupported("the model", f"it has {len(inputs)} inputs ({names})", "one input", "export one input")
    declared = onnx.ValueInfoProto()
    declared.CopyFrom(inputs[0])
    if declared.type.tensor_type.elem_type not in _BORDER_TYPES:
        raise unsupported(
            f"input {quoted(declared.name)}", "its element type is not supported", "float, int8, uint8", "export again"
        )
    return declared


def _only_output(model: onnx.ModelProto) -> str:
    outputs = [str(value.name) for value in model.graph.output]
    if len(outputs) != 1:
        names = ", ".join(quoted(name) for name in outputs[:4])
        raise unsupported("the model", f"it has {len(outputs)} outputs ({names})", "one output", "export one output")
    return outputs[0]


def _check_quantized(model: onnx.ModelProto, path: Path) -> None:
    kinds = {node.op_type for node in model.graph.node}
    if kinds & set(QDQ):
        return
    where = "the model"
    raise unsupported(where, "it is a float model", "int8 QDQ models", f"run: tinyformer quantize {path.name}")


def _check_operators(model: onnx.ModelProto, allowed: Collection[str]) -> None:
    for node in model.graph.node:
        where = f"node {quoted(node.name)} ({quoted(node.op_type)[1:-1]})"
        remedy = _REMEDIES.get(node.op_type, "replace it in the model")
        if node.domain not in ("", "ai.onnx"):
            problem = f"operators of domain {quoted(node.domain)} are not supported"
            raise unsupported(where, problem, "the default ONNX domain", remedy)
        if node.op_type not in allowed:
            names = ", ".join(sorted({*allowed} - {*folding.ONLY_FOLDED}))
            raise unsupported(where, "this operator is not supported", names, remedy)


def _fix_batch(declared: onnx.ValueInfoProto) -> None:
    where = f"input {quoted(declared.name)}"
    tensor = declared.type.tensor_type
    if not tensor.HasField("shape") or not tensor.shape.dim:
        raise unsupported(where, "it has no shape", "a batch axis and fixed sizes", "export with a fixed input size")
    for axis, dim in enumerate(tensor.shape.dim):
        if not dim.HasField("dim_value"):
            if axis > 0:
                name = quoted(dim.dim_param or "?")
                problem = f"axis {axis} is dynamic ({name})"
                raise unsupported(where, problem, "a dynamic batch only", "export with a fixed input size")
            dim.dim_value = 1
    shape = tuple(int(dim.dim_value) for dim in tensor.shape.dim)
    if len(shape) > 1 and shape[0] != 1:
        raise unsupported(where, f"its batch is {shape[0]}", "a batch of 1 or a dynamic one", "export with batch 1")
    _check_size(where, shape)


def _check(model: onnx.ModelProto) -> None:
    """Let onnx check nodes and constants; what the file says of shapes behind the input may be of another batch."""
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.shape.SetInParent()
    with foreign("the model", "onnx refuses it"):
        checker.check_model(model)


def _opset(model: onnx.ModelProto) -> int:
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    newest = onnx.defs.onnx_opset_version()
    if not versions or not _OLDEST_OPSET <= versions[0] <= newest:
        problem = f"its operator set is {versions[0] if versions else 'missing'}"
        raise unsupported("the model", problem, f"{_OLDEST_OPSET} .. {newest}", "export with another operator set")
    return int(versions[0])


def _with_shapes(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Infer all shapes for batch 1, folding shape arithmetic until nothing new is learnt."""
    while True:
        del model.graph.value_info[:]
        for value in model.graph.output:
            value.type.tensor_type.ClearField("shape")
        with foreign("the model", "shape inference fails"):
            model = shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
        for value in model.graph.value_info:
            _check_size(f"tensor {quoted(value.name)}", _known_dims(value))
        with foreign("the model", "its constants cannot be folded"):
            if not folding.fold(model, opset):
                return model


def _known_dims(value: onnx.ValueInfoProto) -> Shape:
    return tuple(int(dim.dim_value) for dim in value.type.tensor_type.shape.dim if dim.HasField("dim_value"))


def _shapes(model: onnx.ModelProto, constants: dict[str, AnyArray]) -> dict[str, Shape]:
    shapes: dict[str, Shape] = {name: array.shape for name, array in constants.items()}
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        tensor = value.type.tensor_type
        if not tensor.HasField("shape"):
            continue
        dims = _known_dims(value)
        if len(dims) != len(tensor.shape.dim):
            raise unsupported(
                f"tensor {quoted(value.name)}",
                "its shape depends on the input",
                "shapes that are fixed once the batch is 1",
                "export with fixed sizes",
            )
        _check_size(f"tensor {quoted(value.name)}", dims)
        shapes[value.name] = dims
    return shapes


def _types(model: onnx.ModelProto) -> dict[str, int]:
    types = {tensor.name: int(tensor.data_type) for tensor in model.graph.initializer}
    for value in (*model.graph.input, *model.graph.value_info, *model.graph.output):
        types[value.name] = int(value.type.tensor_type.elem_type)
    return types


def _nodes(model: onnx.ModelProto) -> tuple[OnnxNode, ...]:
    nodes = []
    taken: set[str] = set()
    for index, proto in enumerate(model.graph.node):
        name = proto.name if proto.name and proto.name not in taken else f"{proto.op_type}_{index}"
        while name in taken:
            name += "'"
        taken.add(name)
        with foreign(f"node {quoted(name)} ({quoted(proto.op_type)[1:-1]})", "its attributes cannot be read"):
            attributes = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
        nodes.append(OnnxNode(proto, name, attributes))
    return tuple(nodes)
