"""Operator by operator: each node of a lowered graph on the values that onnxruntime has at its inputs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from qdq_models import run_onnx
from tinyformer.sparse_engine import reference
from tinyformer.sparse_engine.ir import Graph, Node

Array = npt.NDArray[Any]


def operator_differences(model: onnx.ModelProto, graph: Graph, sample: Array) -> dict[str, int]:
    """Return the largest difference in steps at every tensor that graph and file both know.

    Args:
        model: the QDQ model.
        graph: the lowered graph.
        sample: one input in the file's order, without batch, int8.
    """
    theirs = run_onnx(model, sample[np.newaxis], intermediates=True)
    values = {**graph.data, graph.input: graph.tensors[graph.input].from_model(sample[np.newaxis])[0]}
    differences = {}
    for node in graph.nodes:
        values[node.output] = _alone(graph, node, values)
        if node.output not in theirs:
            continue
        expected = theirs[node.output]
        if expected.dtype == np.uint8:
            expected = (expected.astype(np.int16) - 128).astype(np.int8)
        batch = expected if expected.shape[0] == 1 and expected.ndim > 1 else expected[np.newaxis]
        arranged = graph.tensors[node.output].from_model(batch)[0]
        differences[node.output] = int(np.abs(arranged.astype(np.int64) - values[node.output]).max())
        values[node.output] = arranged
    return differences


def _alone(graph: Graph, node: Node, values: dict[str, Array]) -> Array:
    """Run one node: its first input becomes the graph's, the others constants."""
    first = node.inputs[0]
    tensors = {name: replace(graph.tensors[name], constant=name != first) for name in node.inputs}
    tensors[node.output] = graph.tensors[node.output]
    data = {name: values[name] for name in node.inputs if name != first}
    return reference.run(Graph("alone", tensors, (node,), first, node.output, data), values[first][np.newaxis])[0]
