"""The walk over a QDQ file: which operators stand between DequantizeLinear and QuantizeLinear, and what they become."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tinyformer.sparse_engine.frontend import borders, quantization, tables
from tinyformer.sparse_engine.frontend.builder import GraphBuilder
from tinyformer.sparse_engine.frontend.constants import constants
from tinyformer.sparse_engine.frontend.converters import CONVERTERS, MOVEMENT
from tinyformer.sparse_engine.frontend.converters.unary import clip_bounds
from tinyformer.sparse_engine.frontend.errors import quoted
from tinyformer.sparse_engine.frontend.model import OnnxModel, OnnxNode
from tinyformer.sparse_engine.frontend.operands import Activation, Constant, Operand, Output
from tinyformer.sparse_engine.frontend.reading import QDQ
from tinyformer.sparse_engine.frontend.site import Site
from tinyformer.sparse_engine.ir import Graph

_ON_INTEGERS = (*MOVEMENT, "MaxPool")
_SEVERAL_OUTPUTS = ("Split",)
_REARRANGING = ("Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")


@dataclass(frozen=True)
class _Tail:
    """What stands between an operator and its QuantizeLinear.

    Args:
        name: the real tensor that is quantised.
        quantizer: the QuantizeLinear.
        tensor: the integer tensor's name, the QuantizeLinear's output unless values are rearranged before it.
        clamps: Relu and Clip nodes, in order.
        bias: what an Add behind a MatMul adds.
        added: that Add.
    """

    name: str
    quantizer: OnnxNode
    tensor: str
    clamps: tuple[OnnxNode, ...] = ()
    bias: Constant | None = None
    added: OnnxNode | None = None


def to_graph(model: OnnxModel) -> Graph:
    """Return the graph of a file.

    Raises:
        UnsupportedModelError: an operator is not quantised, or not as the contract has it.
    """
    return _Walk(model).run()


class _Walk:
    """The walk's state: what every tensor of the file holds, and which nodes are part of another one."""

    def __init__(self, model: OnnxModel) -> None:
        self._model = model
        self._builder = GraphBuilder(model.name)
        self._readers = model.readers()
        self._values: dict[str, Operand] = {**constants(model, MOVEMENT)}
        self._fused: set[str] = set()

    def run(self) -> Graph:
        model = self._model
        self._values[model.input] = source = borders.input_activation(model, self._builder, MOVEMENT)
        for node in model.nodes:
            if node.name in self._fused or all(name in self._values for name in node.outputs):
                continue
            if node.op_type in QDQ:
                self._border(node)
            else:
                self._operator(node)
        output = borders.output_activation(model, self._values)
        return self._builder.finish(source.tensor, output.tensor, borders.quantized_output_name(model))

    def _operand(self, node: OnnxNode, name: str) -> Operand | None:
        if not name:
            return None
        if name not in self._values:
            raise node.error(
                f"it reads {quoted(name)}, which is not quantised",
                "DequantizeLinear before every operator",
                "quantise all operators: tinyformer quantize",
            )
        return self._values[name]

    def _border(self, node: OnnxNode) -> None:
        """Follow an activation through QuantizeLinear or DequantizeLinear."""
        value = self._operand(node, node.inputs[0])
        if not isinstance(value, Activation):
            raise node.error("its input is missing", "an activation or a constant")
        quant = quantization.activation_quant(self._model, node)
        quantizes = node.op_type == "QuantizeLinear"
        if quant != value.quant:
            node.require(
                quantizes,
                f"it reads {quoted(node.inputs[0])} by another scale or zero point than that was written with",
                "the same parameters on both sides",
                "quantise again",
            )
            output = Output(node.outputs[0], value.shape, quant)
            site = Site(self._builder, self._model, node, (value,), output)
            table = tables.table(lambda x: x, value.quant, output)
            value = replace(value, tensor=site.lookup("requantize", value.tensor, table), quant=quant)
        self._values[node.outputs[0]] = replace(value, dequantized=not quantizes)

    def _operator(self, node: OnnxNode) -> None:
        operands = tuple(self._operand(node, name) for name in node.inputs)
        integers = [o for o in operands if isinstance(o, Activation) and not o.dequantized]
        node.require(
            not integers or node.op_type in _ON_INTEGERS,
            "it computes with quantised integers",
            "DequantizeLinear before every operator",
            "quantise again in the QDQ format",
        )
        several = node.op_type in _SEVERAL_OUTPUTS
        unread = [name for name in node.outputs[1:] if name and (self._readers.get(name) or name == self._model.output)]
        node.require(several or not unread, f"its output {quoted(', '.join(unread))} is used", "the first output only")
        for index, name in enumerate(node.outputs):
            if index == 0 or (several and self._readers.get(name)) or name == self._model.output:
                self._output(node, operands, index)

    def _output(self, node: OnnxNode, operands: tuple[Operand | None, ...], index: int) -> None:
        """Convert one output of an operator, up to its QuantizeLinear."""
        model, tail = self._model, self._tail(node, node.outputs[index])
        if tail is None:
            self._unquantized_movement(node, operands, index)
            return
        quant = quantization.activation_quant(model, tail.quantizer)
        output = Output(tail.tensor, model.shape(node, tail.name), quant)
        for clamp in tail.clamps:
            output = self._clamped(clamp, output)
        site = Site(self._builder, model, node, operands, output, index, tail.bias)
        tensor = CONVERTERS[node.op_type](site)
        self._values[tail.name] = Activation(tensor, output.shape, quant)
        self._fused.update(clamp.name for clamp in tail.clamps)
        if tail.added is not None:
            self._fused.add(tail.added.name)

    def _unquantized_movement(self, node: OnnxNode, operands: tuple[Operand | None, ...], index: int) -> None:
        """Convert data movement that no QuantizeLinear follows: the values keep their parameters."""
        moved = {o.quant for o in operands if isinstance(o, Activation)}
        source = next((o for o in operands if isinstance(o, Activation)), None)
        if node.op_type not in MOVEMENT or source is None or len(moved) > 1:
            raise node.error(
                f"no QuantizeLinear follows its output {quoted(node.outputs[index])}",
                "DequantizeLinear -> operator [-> Relu or Clip] -> QuantizeLinear",
                "quantise all operators: tinyformer quantize",
            )
        name = node.outputs[index]
        output = Output(name, self._model.shape(node, name), source.quant)
        tensor = MOVEMENT[node.op_type](Site(self._builder, self._model, node, operands, output, index))
        self._values[name] = replace(source, tensor=tensor, shape=output.shape)

    def _clamped(self, clamp: OnnxNode, output: Output) -> Output:
        operands = (None, *(self._operand(clamp, name) for name in clamp.inputs[1:]))
        site = Site(self._builder, self._model, clamp, operands, output)
        bounds = (0.0, float("inf")) if clamp.op_type == "Relu" else clip_bounds(site)
        least, greatest = (int(step) for step in tables.quantized(bounds, output.quant))
        return replace(output, low=min(max(output.low, least), greatest), high=min(max(output.high, least), greatest))

    def _tail(self, node: OnnxNode, name: str) -> _Tail | None:
        """Follow an operator's output to its QuantizeLinear; None where there is none."""
        clamps: tuple[OnnxNode, ...] = ()
        bias: Constant | None = None
        added: OnnxNode | None = None
        while name != self._model.output:
            readers = self._readers.get(name, [])
            if readers and all(reader.op_type == "QuantizeLinear" for reader in readers):
                quants = {quantization.activation_quant(self._model, reader) for reader in readers}
                node.require(
                    len(quants) == 1, "its output is quantised in two ways", "one QuantizeLinear", "calibrate again"
                )
                return _Tail(name, readers[0], readers[0].outputs[0], clamps, bias, added)
            if len(readers) != 1:
                return None
            reader = readers[0]
            if reader.op_type in ("Relu", "Clip") and reader.inputs[0] == name:
                clamps = (*clamps, reader)
            elif reader.op_type == "Add" and node.op_type == "MatMul" and added is None and not clamps:
                other = self._values.get(reader.inputs[1] if reader.inputs[0] == name else reader.inputs[0])
                if not isinstance(other, Constant):
                    return None
                bias, added = other, reader
            else:
                quantizer = self._quantizer_behind(reader)
                return None if quantizer is None else _Tail(name, quantizer, name, clamps, bias, added)
            name = reader.outputs[0]
        return None

    def _quantizer_behind(self, node: OnnxNode) -> OnnxNode | None:
        """Return the QuantizeLinear after nodes that only rearrange values: it may as well stand before them."""
        while node.op_type in _REARRANGING and node.outputs[0] != self._model.output:
            readers = self._readers.get(node.outputs[0], [])
            if len(readers) != 1:
                return None
            node = readers[0]
        return node if node.op_type == "QuantizeLinear" else None
