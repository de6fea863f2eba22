"""Bring float ONNX models into the form that quantises well: one way to write each operator, batch 1, static shapes.

Each rewrite is a function over an ``onnx_ir`` model; ``REWRITES`` lists them in order. All are idempotent.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import onnx
import onnx_ir as ir
from onnx_ir import convenience

from tinyformer.errors import UnsupportedModelError


def canonicalize(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return an equal model in canonical form, with the shapes of all values.

    Raises:
        UnsupportedModelError: an input has symbolic axes besides the batch.
    """
    for rewrite in REWRITES:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
        graph_model = ir.from_proto(inferred)
        rewrite(graph_model.graph)
        model = ir.to_proto(graph_model)
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


def fix_batch(graph: ir.Graph) -> None:
    """Set a symbolic batch to 1 and forget the shapes that depended on it."""
    for value in graph.inputs:
        dims = list(value.shape.dims) if value.shape is not None else []
        if not dims or any(not isinstance(dim, int) for dim in dims[1:]):
            raise UnsupportedModelError(
                f"input '{value.name}' has shape {value.shape}; allowed: static axes behind the batch"
            )
        if not isinstance(dims[0], int):
            value.shape = ir.Shape([1, *dims[1:]])
            for node in graph:
                for output in node.outputs:
                    output.shape = None


def fold_batch_norm(graph: ir.Graph) -> None:
    """Fold a BatchNormalization into the convolution or linear layer before it, where nobody else reads that one."""
    for norm in tuple(graph):
        layer = norm.inputs[0].producer() if norm.op_type == "BatchNormalization" and norm.inputs[0] else None
        if layer is None or layer.op_type not in ("Conv", "Gemm") or len(layer.outputs[0].consumers()) != 1:
            continue
        constants = [_numbers(value) for value in norm.inputs[1:5]]
        weight = _numbers(layer.inputs[1])
        bias = _numbers(layer.inputs[2]) if len(layer.inputs) > 2 and layer.inputs[2] is not None else np.zeros(())
        scaled = any(layer.attributes.get_float(name, 1.0) != 1.0 for name in ("alpha", "beta"))
        if weight is None or bias is None or scaled or any(value is None for value in constants):
            continue
        gamma, beta, mean, variance = (value for value in constants if value is not None)
        factor = gamma / np.sqrt(variance + norm.attributes.get_float("epsilon", 1e-5))
        channel_axis = 1 if layer.op_type == "Gemm" and not layer.attributes.get_int("transB", 0) else 0
        along = [1] * weight.ndim
        along[channel_axis] = -1
        name = layer.name or str(layer.outputs[0].name)
        folded = (weight * factor.reshape(along), beta + (bias - mean) * factor)
        values = [
            _initializer(graph, array.astype(np.float32), f"{name}.{role}")
            for array, role in zip(folded, ("folded_weight", "folded_bias"), strict=True)
        ]
        merged = ir.node(layer.op_type, [layer.inputs[0], *values], attributes=layer.attributes, name=name)
        graph.insert_before(layer, merged)
        _replace(norm, merged.outputs[0])
        graph.remove([norm, layer], safe=True)


def linear_as_gemm(graph: ir.Graph) -> None:
    """Write Add(MatMul(x, weight), bias) as Reshape, Gemm, Reshape.

    A Gemm's bias gets int32 and the scale input x weight; that of a lone Add would become int8 per tensor. A ReLU
    that follows moves to the Gemm's side of the reshape, where quantisation merges it.
    """
    for add in tuple(graph):
        product = _producer(add, "MatMul") if add.op_type == "Add" else None
        if product is None:
            continue
        x, weight = product.inputs
        bias = next((value for value in add.inputs if value is not product.outputs[0]), None)
        if x is None or not (_is_constant(weight, 2) and _is_constant(bias, 1)):
            continue
        name = add.name or product.name or f"{add.outputs[0].name}"
        rows = _reshape(graph, add, x, (-1, _dims(weight)[0]), f"{name}.rows")
        gemm = ir.node("Gemm", [rows, weight, bias], name=f"{name}.gemm")
        graph.insert_before(add, gemm)
        last, result = add, gemm.outputs[0]
        readers = add.outputs[0].consumers()
        if len(readers) == 1 and readers[0].op_type == "Relu":
            last = readers[0]
            relu = ir.node("Relu", [result], name=f"{name}.relu")
            graph.insert_before(add, relu)
            result = relu.outputs[0]
        shape = (*_dims(x)[:-1], _dims(weight)[1])
        _replace(last, _reshape(graph, add, result, shape, name))
        graph.remove([add, product] if last is add else [last, add, product], safe=True)


def plain_gemm(graph: ir.Graph) -> None:
    """Multiply a Gemm's constants by its alpha and beta, and give its bias one number for each output.

    A Gemm whose bias is computed, or differs from row to row, is left as it is.
    """
    for node in tuple(graph):
        if node.op_type != "Gemm" or not _is_constant(node.inputs[1], 2):
            continue
        given = node.inputs[2] if len(node.inputs) > 2 else None
        weight, bias = _numbers(node.inputs[1]), _numbers(given)
        if weight is None:
            continue
        outputs = weight.shape[0 if node.attributes.get_int("transB", 0) else 1]
        if given is not None and (bias is None or (1, outputs) != np.broadcast_shapes(bias.shape, (1, outputs))):
            continue
        alpha, beta = (node.attributes.get_float(name, 1.0) for name in ("alpha", "beta"))
        if alpha != 1:
            scaled = _initializer(graph, (alpha * weight).astype(np.float32), f"{node.outputs[0].name}.alpha_weight")
            node.replace_input_with(1, scaled)
        if bias is not None and (beta != 1 or bias.shape != (outputs,)):
            full = np.broadcast_to(beta * bias.reshape(-1), outputs).astype(np.float32)
            node.replace_input_with(2, _initializer(graph, full, f"{node.outputs[0].name}.full_bias"))
        for name in ("alpha", "beta"):
            node.attributes.pop(name, None)


def explicit_pooling_pads(graph: ir.Graph) -> None:
    """Write ceil_mode of pooling as padding at the end, unless an average counts padding."""
    for node in graph:
        rounds_up = node.op_type in ("MaxPool", "AveragePool") and node.attributes.get_int("ceil_mode")
        if not rounds_up or node.attributes.get_int("count_include_pad"):
            continue
        size, out = _dims(node.inputs[0]), _dims(node.outputs[0])
        kernel = node.attributes["kernel_shape"].as_ints()
        rank = len(kernel)
        strides = node.attributes.get_ints("strides") or (1,) * rank
        dilations = node.attributes.get_ints("dilations") or (1,) * rank
        pads = list(node.attributes.get_ints("pads") or (0,) * 2 * rank)
        for axis in range(rank):
            reach = (out[axis + 2] - 1) * strides[axis] + (kernel[axis] - 1) * dilations[axis] + 1
            pads[rank + axis] = max(pads[rank + axis], reach - size[axis + 2] - pads[axis])
        node.attributes["pads"] = ir.AttrInt64s("pads", pads)
        node.attributes["ceil_mode"] = ir.AttrInt64("ceil_mode", 0)


def own_parameters(graph: ir.Graph) -> None:
    """Give every node its own copy of shared weights and biases, which may need scales of their own."""
    taken: set[str] = set()
    for node in graph:
        for index, value in enumerate(node.inputs):
            if value is None or value.const_value is None or value.dtype != ir.DataType.FLOAT:
                continue
            if value.name in taken:
                copy = _initializer(graph, value.const_value.numpy(), f"{value.name}.{node.name}")
                node.replace_input_with(index, copy)
            else:
                taken.add(str(value.name))


def lift_constants(graph: ir.Graph) -> None:
    """Turn Constant nodes into initializers."""
    for node in tuple(graph):
        constant = node.attributes.get("value") if node.op_type == "Constant" else None
        if constant is not None:
            lifted = _initializer(graph, constant.as_tensor().numpy(), f"{node.outputs[0].name}.constant")
            convenience.replace_all_uses_with(node.outputs[0], lifted)
            graph.remove(node, safe=True)


def name_nodes(graph: ir.Graph) -> None:
    """Give unnamed nodes, and those whose name is taken, the name of their output."""
    taken: set[str] = set()
    for node in graph:
        if not node.name or node.name in taken:
            node.name = str(node.outputs[0].name)
        taken.add(node.name)


REWRITES: tuple[Callable[[ir.Graph], None], ...] = (
    fix_batch,  # first: the others ask for shapes
    lift_constants,
    fold_batch_norm,
    linear_as_gemm,
    plain_gemm,  # after those of linear layers
    explicit_pooling_pads,
    name_nodes,  # after the rewrites that add nodes
    own_parameters,  # names copies after nodes
)


def _producer(node: ir.Node, op_type: str) -> ir.Node | None:
    """Return the node of a type that computes one of the inputs for this node alone."""
    for value in node.inputs:
        producer = value.producer() if value is not None else None
        if producer is not None and producer.op_type == op_type and len(producer.outputs[0].consumers()) == 1:
            return producer
    return None


def _numbers(value: ir.Value | None) -> npt.NDArray[np.float64] | None:
    constant = None if value is None else value.const_value
    return None if constant is None else constant.numpy().astype(np.float64)


def _is_constant(value: ir.Value | None, rank: int) -> bool:
    return value is not None and value.const_value is not None and len(_dims(value)) == rank


def _dims(value: ir.Value | None) -> tuple[int, ...]:
    dims = value.shape.dims if value is not None and value.shape is not None else (None,)
    known = tuple(dim for dim in dims if isinstance(dim, int))
    if value is None or len(known) != len(dims):
        raise UnsupportedModelError(
            f"value '{value.name if value is not None else ''}' has no static shape; allowed: static shapes; "
            f"export the model with fixed sizes"
        )
    return known


def _initializer(graph: ir.Graph, array: npt.NDArray[np.generic], name: str) -> ir.Value:
    value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
    value.shape, value.dtype = ir.Shape(array.shape), ir.DataType.from_numpy(array.dtype)
    graph.register_initializer(value)
    return value


def _reshape(graph: ir.Graph, before: ir.Node, x: ir.Value, shape: tuple[object, ...], name: str) -> ir.Value:
    target = _initializer(graph, np.asarray(shape, np.int64), f"{name}.shape")
    node = ir.node("Reshape", [x, target], name=name)
    graph.insert_before(before, node)
    return node.outputs[0]


def _replace(old: ir.Node, new: ir.Value) -> None:
    value = old.outputs[0]
    new.name, new.shape, new.type = value.name, value.shape, value.type
    convenience.replace_all_uses_with(value, new, replace_graph_outputs=True)
