"""A lowered graph as a file: what the reference interpreter needs to run a bundle's model again.

The file is a NumPy ``.npz``: the entry ``graph`` holds the structure as UTF-8 JSON, the entries ``c0``, ``c1`` ... the
constants in the order in which the JSON lists them. Nothing in it is executable.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import fields
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
            {"name": n.name, "kind": n.op.kind, "attributes": _attributes(n.op), "inputs": n.inputs, "output": n.output}
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


def _attributes(op: Operator) -> dict[str, Any]:
    """Return an operator's fields; what is a structure itself becomes a record that tells which."""
    return {field.name: _attribute(getattr(op, field.name)) for field in fields(op)}  # type: ignore[arg-type]


def _attribute(value: Any) -> Any:
    if isinstance(value, QuantParams):
        return _quant_record(value)
    if isinstance(value, Tensor):
        return _tensor_record(value)
    if isinstance(value, tuple):
        return [_attribute(item) for item in value]
    return {"kind": value.kind, "attributes": _attributes(value)} if isinstance(value, Operator) else value


def _quant_record(quant: QuantParams) -> dict[str, Any]:
    return {"scales": quant.scales, "zero_point": quant.zero_point}


def _tensor_record(tensor: Tensor) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "shape": tensor.shape,
        "dtype": tensor.dtype.value,
        "quant": None if tensor.quant is None else _quant_record(tensor.quant),
        "constant": tensor.constant,
        "axis_order": tensor.axis_order,
        "channels": tensor.channels,
    }


def _tensor(record: dict[str, Any]) -> Tensor:
    return Tensor(
        record["name"],
        tuple(record["shape"]),
        DType(record["dtype"]),
        None if record["quant"] is None else _quant(record["quant"]),
        record["constant"],
        tuple(record["axis_order"]),
        tuple(record["channels"]),
    )


def _quant(record: dict[str, Any]) -> QuantParams:
    return QuantParams(tuple(record["scales"]), record["zero_point"])


def _node(record: dict[str, Any]) -> Node:
    return Node(record["name"], _operator(record), tuple(record["inputs"]), record["output"])


def _operator(record: dict[str, Any]) -> Operator:
    attributes = {name: _value(value) for name, value in record["attributes"].items()}
    op: Operator = _OPERATORS[record["kind"]](**attributes)
    return op


def _value(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_value(item) for item in value)
    if not isinstance(value, dict):
        return value
    for key, read in _RECORDS.items():
        if key in value:
            return read(value)
    raise ValueError(f"unknown structure with {', '.join(value)}")


_RECORDS: Mapping[str, Callable[[dict[str, Any]], Any]] = {"kind": _operator, "dtype": _tensor, "scales": _quant}
