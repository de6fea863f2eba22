"""A single-path model as a float ONNX file whose nodes and values carry the layers' names."""

from __future__ import annotations

import ast
import contextlib
import io
import logging
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import onnx
import onnx_ir as ir
import torch

from tinyformer.quantization.canonical import canonicalize
from tinyformer.quantization.folding import prepare
from tinyformer.search_space import LayerKind, LayerSpec
from tinyformer.supernet import SinglePathModel

INPUT_NAME = "input"
OUTPUT_NAME = "logits"

_SCOPES = "pkg.torch.onnx.name_scopes"
_OPERATOR: Mapping[LayerKind, str] = {
    "conv2d": "Conv",
    "depthwise_conv2d": "Conv",
    "linear": "Gemm",
    "matmul": "MatMul",
    "add": "Add",
    "softmax": "Softmax",
    "layer_norm": "LayerNormalization",
    "max_pool2d": "MaxPool",
    "avg_pool2d": "AveragePool",
    "reshape": "Reshape",
    "transpose": "Transpose",
}


def export_float(model: SinglePathModel, path: Path) -> None:
    """Write a model as float ONNX: batch 1, NCHW input ``input``, output ``logits``, batch norm folded."""
    onnx.save_model(to_onnx(model), path)


def to_onnx(model: SinglePathModel) -> onnx.ModelProto:
    """Return a model as float ONNX.

    The node that does a layer's work has the layer's name; what else belongs to a layer has it as a prefix
    (``dot0.downsample.conv.relu``). A node's output has the node's name.
    """
    height, width, channels = model.config.input_shape
    with _quiet():
        program = torch.onnx.export(
            prepare(model),
            (torch.zeros(1, channels, height, width),),
            dynamo=True,
            external_data=False,
            input_names=[INPUT_NAME],
            output_names=[OUTPUT_NAME],
            verbose=False,
        )
    if program is None:
        raise AssertionError("the dynamo exporter returns a program")
    exported = ir.from_proto(program.model_proto)
    _split_transposes(exported.graph, {spec.name: spec for spec in model.specs})
    _name_nodes(exported.graph, {spec.name: spec for spec in model.specs})
    for node in exported.graph:
        node.metadata_props.clear()
    exported.graph.name = "tinyformer"
    return canonicalize(ir.to_proto(exported))


def _layer_of(node: ir.Node, specs: Mapping[str, LayerSpec]) -> str:
    scopes: list[str] = ast.literal_eval(node.metadata_props[_SCOPES])
    return next(scope for scope in reversed(scopes) if scope in specs)


def _split_transposes(graph: ir.Graph, specs: Mapping[str, LayerSpec]) -> None:
    """Undo the exporter's merge of a key's two transposes: to heads, and of the last two axes for the product."""
    for node in tuple(graph):
        if node.op_type != "Transpose" or tuple(node.attributes["perm"].as_ints()) != (0, 2, 3, 1):
            continue
        layer = specs[_layer_of(node, specs)]
        if layer.kind != "matmul":
            continue
        heads = ir.node("Transpose", node.inputs, {"perm": [0, 2, 1, 3]}, name=layer.inputs[1])
        heads.metadata_props[_SCOPES] = str([layer.inputs[1]])
        graph.insert_before(node, heads)
        node.replace_input_with(0, heads.outputs[0])
        node.attributes["perm"] = ir.AttrInt64s("perm", (0, 1, 3, 2))


def _name_nodes(graph: ir.Graph, specs: Mapping[str, LayerSpec]) -> None:
    used: Counter[str] = Counter()
    for node in graph:
        layer = _layer_of(node, specs)
        work = node.op_type == _OPERATOR[specs[layer].kind] and not used[layer]
        name = layer if work else f"{layer}.{node.op_type.lower()}"
        used[name] += 1
        node.name = name if used[name] == 1 else f"{name}{used[name]}"
        if not node.outputs[0].is_graph_output():
            node.outputs[0].name = node.name


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter, which reports its progress and missing packages nobody needs."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
