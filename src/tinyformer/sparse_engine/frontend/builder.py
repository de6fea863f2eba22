"""The graph under construction: unique names, tensors, constants and nodes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tinyformer.sparse_engine.ir import AnyArray, DType, Graph, Node, Operator, QuantParams, Shape, Tensor


class GraphBuilder:
    """Collects nodes in execution order; every tensor gets its shape from its operator."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tensors: dict[str, Tensor] = {}
        self._data: dict[str, AnyArray] = {}
        self._nodes: list[Node] = []
        self._node_names: set[str] = set()

    def input(self, name: str, shape: Shape, quant: QuantParams) -> str:
        """Declare the graph's input and return its name."""
        return self._tensor(name, shape, DType.INT8, quant)

    def constant(self, name: str, values: AnyArray, quant: QuantParams | None = None) -> str:
        """Add a constant and return its name; the same values under the same name are stored once."""
        stored = self._data.get(name)
        if stored is not None and self._tensors[name].quant == quant and np.array_equal(stored, values):
            return name
        name = self._tensor(name, values.shape, DType(values.dtype.name), quant, constant=True)
        self._data[name] = values
        return name

    def emit(
        self,
        node_name: str,
        op: Operator,
        inputs: tuple[str, ...],
        output: str,
        quant: QuantParams,
        axis_order: tuple[int, ...] = (),
    ) -> str:
        """Append a node and return the name of its output.

        Args:
            node_name: made unique by a suffix.
            op: the operator.
            inputs: names of tensors of this graph.
            output: wanted name of the output, made unique by a suffix.
            quant: of the output.
            axis_order: see ``ir.Tensor``.

        Raises:
            ValueError: the inputs' shapes do not fit the operator.
        """
        shape = op.infer_shape([self._tensors[name].shape for name in inputs])
        output = self._tensor(output, shape, DType.INT8, quant, axis_order=axis_order)
        node_name = _unique(node_name, self._node_names)
        self._node_names.add(node_name)
        self._nodes.append(Node(node_name, op, inputs, output))
        return output

    def shape(self, name: str) -> Shape:
        """Return the shape of a tensor of this graph."""
        return self._tensors[name].shape

    def finish(self, graph_input: str, output: str, name: str) -> Graph:
        """Return the graph, tensors that nobody uses dropped.

        Args:
            graph_input: the input tensor.
            output: the output tensor.
            name: what to call the output.
        """
        if output not in (name, graph_input):
            self._rename(name, f"{name}/result")
            self._rename(output, name)
            output = name
        graph = Graph(self._name, self._tensors, tuple(self._nodes), graph_input, output, self._data)
        return graph.with_()

    def _rename(self, old: str, new: str) -> None:
        if old not in self._tensors:
            return
        new = _unique(new, self._tensors)
        self._tensors = {(new if k == old else k): t for k, t in self._tensors.items()}
        self._tensors[new] = replace(self._tensors[new], name=new)
        self._nodes = [
            replace(
                node,
                inputs=tuple(new if name == old else name for name in node.inputs),
                output=new if node.output == old else node.output,
            )
            for node in self._nodes
        ]

    def _tensor(
        self,
        name: str,
        shape: Shape,
        dtype: DType,
        quant: QuantParams | None,
        *,
        constant: bool = False,
        axis_order: tuple[int, ...] = (),
    ) -> str:
        name = _unique(name, self._tensors)
        self._tensors[name] = Tensor(name, shape, dtype, quant, constant, axis_order)
        return name


def _unique(name: str, taken: set[str] | dict[str, Tensor]) -> str:
    if name not in taken:
        return name
    number = 2
    while f"{name}#{number}" in taken:
        number += 1
    return f"{name}#{number}"
