"""A graph being rebuilt node by node: what every pass that changes more than one node at a time works with."""

from __future__ import annotations

from dataclasses import replace

from tinyformer.sparse_engine.ir import DType, Graph, IntArray, Node, Operator, QuantParams, Shape, Tensor
from tinyformer.sparse_engine.ops import Reshape, Transpose


class Rewriter:
    """Takes nodes in execution order and gives a graph without those that nothing reads.

    Names given to its methods are the old graph's until ``read`` turns them into current ones.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._tensors = dict(graph.tensors)
        self._data = dict(graph.data)
        self._nodes: list[Node] = []
        self._current: dict[str, str] = {}
        self._node_names = {node.name for node in graph.nodes}
        self._readers = graph.consumers()

    def read(self, name: str) -> str:
        """Return the tensor that now holds an old tensor's values."""
        return self._current.get(name, name)

    def tensor(self, name: str) -> Tensor:
        """Return a current tensor."""
        return self._tensors[name]

    def shape(self, name: str) -> Shape:
        """Return a current tensor's shape."""
        return self._tensors[name].shape

    def data(self, name: str) -> IntArray | None:
        """Return a constant's values, or None where the graph has none."""
        return self._data.get(name)

    def keep(self, node: Node) -> None:
        """Append a node of the old graph, reading current tensors."""
        self._nodes.append(replace(node, inputs=tuple(self.read(name) for name in node.inputs)))

    def put(self, node: Node, op: Operator, inputs: tuple[str, ...], output: Tensor | None = None) -> None:
        """Append what takes an old node's place under its name, by default writing the same tensor.

        Args:
            node: the old node.
            op: the new operator.
            inputs: current tensors.
            output: a tensor to declare and write instead.
        """
        name = node.output
        if output is not None:
            name = output.name
            self._tensors[name] = output
        self._nodes.append(Node(node.name, op, inputs, name))

    def add(self, base: Node, op: Reshape | Transpose, inputs: tuple[str, ...], quant: QuantParams | None) -> str:
        """Append movement next to an old node and return its output, named after the old node's."""
        shape = op.infer_shape([self.shape(name) for name in inputs])
        output = self.declare(Tensor(f"{base.output}/layout", shape, DType.INT8, quant))
        name = _unique(f"{base.name}/layout", self._node_names)
        self._node_names.add(name)
        self._nodes.append(Node(name, op, inputs, output))
        return output

    def declare(self, tensor: Tensor) -> str:
        """Add a tensor under a name made unique by a suffix, and return that."""
        name = _unique(tensor.name, self._tensors)
        self._tensors[name] = replace(tensor, name=name)
        return name

    def replace(self, old: str, current: str) -> None:
        """Let readers of an old tensor read a current one that holds the same values under the same shape."""
        self._current[old] = current

    def may_replace(self, old: str, current: str) -> bool:
        """Whether ``replace`` leaves the graph an output of its own."""
        return old != self._graph.output or not (current == self._graph.input or self._tensors[current].constant)

    def constant(self, name: str, tensor: Tensor, values: IntArray | None) -> str:
        """Return a constant that takes the place of an old one for a single reader.

        Args:
            name: the old constant.
            tensor: shape and quantisation of the new one.
            values: None where the old one has no data.
        """
        if len(self._readers[name]) > 1:
            name = self.declare(replace(tensor, name=name))
        else:
            self._tensors[name] = replace(tensor, name=name)
        if values is not None:
            self._data[name] = values
        return name

    def new_constant(self, name: str, values: IntArray) -> str:
        """Add a constant and return its name, made unique by a suffix."""
        name = self.declare(Tensor(name, values.shape, DType(values.dtype.name), None, constant=True))
        self._data[name] = values
        return name

    def finish(self) -> Graph:
        """Return the new graph; its output keeps name and axis order."""
        output, wanted = self.read(self._graph.output), self._graph.output
        if output != wanted:
            self._tensors[wanted] = replace(
                self._tensors[output], name=wanted, axis_order=self._graph.tensors[wanted].axis_order
            )
            self._nodes = [_renamed(node, output, wanted) for node in self._nodes]
        needed, kept = {wanted}, []
        for node in reversed(self._nodes):
            if node.output in needed:
                needed.update(node.inputs)
                kept.append(node)
        return self._graph.with_(nodes=kept[::-1], tensors=self._tensors, data=self._data)


def _renamed(node: Node, old: str, new: str) -> Node:
    inputs = tuple(new if name == old else name for name in node.inputs)
    return replace(node, inputs=inputs, output=new if node.output == old else node.output)


def _unique(name: str, taken: set[str] | dict[str, Tensor]) -> str:
    if name not in taken:
        return name
    number = 2
    while f"{name}#{number}" in taken:
        number += 1
    return f"{name}#{number}"
