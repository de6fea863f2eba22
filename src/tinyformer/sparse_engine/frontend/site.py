"""One operator being converted: what a converter may ask for and what it emits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tinyformer.sparse_engine import ops
from tinyformer.sparse_engine.frontend import tables
from tinyformer.sparse_engine.frontend.builder import GraphBuilder
from tinyformer.sparse_engine.frontend.errors import first_line, quoted
from tinyformer.sparse_engine.frontend.model import OnnxModel, OnnxNode
from tinyformer.sparse_engine.frontend.operands import (
    Activation,
    Affine,
    Constant,
    Function,
    Operand,
    Output,
    batchless,
)
from tinyformer.sparse_engine.ir import Operator, QuantParams, Shape


@dataclass(frozen=True)
class Site:
    """An operator of the file with its operands and the output it has to produce.

    Args:
        builder: the graph under construction.
        model: the file.
        node: the operator.
        operands: what its inputs hold, in order; None for absent ones.
        output: what to produce.
        index: which of the node's outputs this is.
        affine: what follows a layer with weights and is folded into it.
    """

    builder: GraphBuilder
    model: OnnxModel
    node: OnnxNode
    operands: tuple[Operand | None, ...]
    output: Output
    index: int = 0
    affine: Affine | None = None

    @property
    def shape(self) -> Shape:
        """The output's shape in the graph: the file's without batch."""
        return batchless(self.output.shape)

    def operand(self, index: int) -> Operand | None:
        """Return an operand, or None where it is absent."""
        return self.operands[index] if index < len(self.operands) else None

    def activation(self, index: int = 0) -> Activation:
        """Return an operand that must be an activation."""
        operand = self.operand(index)
        if not isinstance(operand, Activation):
            raise self.node.error(f"input {index} is {'a constant' if operand else 'missing'}", "an activation")
        return operand

    def constant(self, index: int) -> Constant | None:
        """Return an operand that must be a constant, or None where it is absent."""
        operand = self.operand(index)
        if isinstance(operand, Activation | Function):
            raise self.node.error(f"input {index} is computed at run time", "a constant", "change the model")
        return operand

    def quant(self, index: int) -> QuantParams:
        """Return the quantisation, per tensor, of an operand."""
        operand = self.operand(index)
        if isinstance(operand, Activation):
            return operand.quant
        if operand is None or isinstance(operand, Function):
            raise self.node.error(f"input {index} is missing", "an activation or a constant")
        if operand.grid is None or operand.grid.axis is not None or operand.values.dtype != np.int8:
            raise self.node.error(
                f"constant {quoted(operand.name)} is not quantised to int8 per tensor",
                "int8 or uint8 with one scale, through DequantizeLinear",
                "quantise constants like activations",
            )
        return operand.grid.quant()

    def tensor(self, index: int, shape: Shape) -> str:
        """Return an operand, activation or constant, as a tensor of the graph of a given shape."""
        operand, quant = self.operand(index), self.quant(index)
        if isinstance(operand, Constant):
            return self.builder.constant(operand.name, operand.values.reshape(shape), quant)
        return self.reshape(self.activation(index).tensor, shape, quant)

    def scalar(self, index: int) -> float | None:
        """Return a constant operand of one repeated value; None where it is absent."""
        constant = self.constant(index)
        if constant is None:
            return None
        values = constant.real().reshape(-1)
        uniform = values.size > 0 and bool(np.all(values == values[0]))
        self.node.require(uniform, f"input {index} holds different values", "one value", "use one value per tensor")
        return float(values[0])

    def emit(
        self,
        op: Operator,
        inputs: tuple[str, ...],
        quant: QuantParams,
        *,
        name: str | None = None,
        axis_order: tuple[int, ...] = (),
    ) -> str:
        """Append an operator; without a name its output is an intermediate of this site."""
        role = "layout" if isinstance(op, ops.Reshape | ops.Transpose) else op.kind
        output = f"{self.output.name}/{role}" if name is None else name
        node_name = f"{self.node.name}/{role}" if name is None else self.node.name
        try:
            return self.builder.emit(node_name, op, inputs, output, quant, axis_order)
        except ValueError as error:
            raise self.node.error(first_line(error), "shapes that fit") from error

    def result(
        self,
        op: Operator,
        inputs: tuple[str, ...],
        *,
        quant: QuantParams | None = None,
        axis_order: tuple[int, ...] = (),
    ) -> str:
        """Append the operator that computes the output's values: named like them, clamped, requantised if need be.

        Args:
            op: the operator.
            inputs: names of tensors of the graph.
            quant: what the operator itself produces; the output's by default.
            axis_order: see ``ir.Tensor``.
        """
        output = self.output
        quant = output.quant if quant is None else quant
        clamped = (output.low, output.high) != (-128, 127)
        if hasattr(op, "low") and quant == output.quant:
            clamping: Any = op
            op, clamped = replace(clamping, low=output.low, high=output.high), False
        if quant == output.quant and not clamped:
            return self.emit(op, inputs, quant, name=output.name, axis_order=axis_order)
        inner = self.emit(op, inputs, quant)
        table = tables.table(lambda x: x, quant, output)
        return self.lookup("requantize", inner, table, axis_order=axis_order)

    def unchanged(self, operand: Activation) -> str:
        """Return an activation whose values are the output's, through a table if clamp or quantisation differ."""
        if operand.quant == self.output.quant and (self.output.low, self.output.high) == (-128, 127):
            return operand.tensor
        return self.lookup("requantize", operand.tensor, tables.table(lambda x: x, operand.quant, self.output))

    def lookup(self, function: str, tensor: str, table: tables.Table, *, axis_order: tuple[int, ...] = ()) -> str:
        """Append the table that computes the output's values from a tensor."""
        constant = self.builder.constant(f"{self.output.name}/table", table)
        op = ops.Lookup(function)
        return self.emit(op, (tensor, constant), self.output.quant, name=self.output.name, axis_order=axis_order)

    def requantized(self, operand: Activation | Function) -> str:
        """Return an activation in the output's quantisation, through a table if it has another one."""
        if isinstance(operand, Function):
            table = tables.quantized(operand.values, self.output.quant)
            return self.tabulated(operand.label, operand.source.tensor, table, self.output.quant)
        if operand.quant == self.output.quant:
            return operand.tensor
        target = replace(self.output, low=-128, high=127)
        return self.tabulated(
            "requantize", operand.tensor, tables.table(lambda x: x, operand.quant, target), target.quant
        )

    def tabulated(self, function: str, tensor: str, table: tables.Table, quant: QuantParams) -> str:
        """Append a table whose result is an intermediate of this site."""
        constant = self.builder.constant(f"{self.output.name}/table", table)
        return self.emit(ops.Lookup(function), (tensor, constant), quant)

    def reshape(self, tensor: str, shape: Shape, quant: QuantParams) -> str:
        """Return a tensor under another shape."""
        if self.builder.shape(tensor) == shape:
            return tensor
        return self.emit(ops.Reshape(shape), (tensor,), quant)

    def transpose(self, tensor: str, permutation: tuple[int, ...], quant: QuantParams) -> str:
        """Return a tensor with permuted axes."""
        if permutation == tuple(range(len(permutation))):
            return tensor
        return self.emit(ops.Transpose(permutation), (tensor,), quant)
