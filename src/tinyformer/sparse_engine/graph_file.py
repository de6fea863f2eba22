"""A lowered graph as a file: what the reference interpreter needs to run a bundle's model again.

The file is a NumPy ``.npz``: the entry ``graph`` holds the structure as UTF-8 JSON, the entries ``c0``, ``c1`` ... the
constants in the order in which the JSON lists them. Nothing in it is executable.
"""

from __future__ import annotations

import inspect
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from tinyformer.errors import DataError
from tinyformer.sparse_engine import ops
from tinyformer.sparse_engine.ir import DType, Graph, Node, Operator, QuantParams, Tensor

_OPERATORS: dict[str, type[Any]] = {
    value.kind: value for _, value in inspect.getmembers(ops, inspect.isclass) if hasattr(value, "kind")
}


def save(graph: Graph, path: Path) -> None:
    """Write a graph with its constants' data; equal graphs give equal files."""
    names = list(graph.data)
    header = {
        "name": graph.name,
        "input": graph.input,
        "output": graph.output,
        "tensors": [_tensor_record(tensor) for tensor in graph.tensors.values()],
        "nodes": [
            {"name": n.name, "kind": n.op.kind, "attributes": asdict(n.op), "inputs": n.inputs, "output": n.output}  # type: ignore[call-overload]
            for n in graph.nodes
        ],
        "constants": names,
    }
    text = np.frombuffer(json.dumps(header, default=int).encode(), np.uint8)
    arrays = {f"c{i}": graph.data[name] for i, name in enumerate(names)}
    np.savez_compressed(path, allow_pickle=False, graph=text, **arrays)


def load(path: Path) -> Graph:
    """Read a graph back.

    Raises:
        DataError: the file is missing or not such a graph.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            header = json.loads(archive["graph"].tobytes())
            data = {name: archive[f"c{i}"] for i, name in enumerate(header["constants"])}
        graph = Graph(
            header["name"],
            {record["name"]: _tensor(record) for record in header["tensors"]},
            tuple(_node(record) for record in header["nodes"]),
            header["input"],
            header["output"],
            data,
        )
        graph.verify()
    except (OSError, EOFError, BadZipFile, KeyError, ValueError, TypeError) as error:
        raise DataError(f"{path}: not a graph file ({error}): compile the model again") from error
    return graph


def _tensor_record(tensor: Tensor) -> dict[str, Any]:
    quant = None if tensor.quant is None else {"scales": tensor.quant.scales, "zero_point": tensor.quant.zero_point}
    return {
        "name": tensor.name,
        "shape": tensor.shape,
        "dtype": tensor.dtype.value,
        "quant": quant,
        "constant": tensor.constant,
        "axis_order": tensor.axis_order,
    }


def _tensor(record: dict[str, Any]) -> Tensor:
    quant = record["quant"]
    params = None if quant is None else QuantParams(tuple(quant["scales"]), quant["zero_point"])
    return Tensor(
        record["name"],
        tuple(record["shape"]),
        DType(record["dtype"]),
        params,
        record["constant"],
        tuple(record["axis_order"]),
    )


def _node(record: dict[str, Any]) -> Node:
    attributes = {k: tuple(v) if isinstance(v, list) else v for k, v in record["attributes"].items()}
    op: Operator = _OPERATORS[record["kind"]](**attributes)
    return Node(record["name"], op, tuple(record["inputs"]), record["output"])
