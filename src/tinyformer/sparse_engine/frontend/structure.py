"""The walk over a QDQ file: which operators stand between DequantizeLinear and QuantizeLinear, and what they become."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tinyformer.sparse_engine.frontend import borders, folding_layers, pointwise, quantization, tables
from tinyformer.sparse_engine.frontend.builder import GraphBuilder
from tinyformer.sparse_engine.frontend.constants import constants
from tinyformer.sparse_engine.frontend.converters import CONVERTERS, MOVEMENT
from tinyformer.sparse_engine.frontend.converters.unary import clip_bounds
from tinyformer.sparse_engine.frontend.errors import quoted
from tinyformer.sparse_engine.frontend.model import OnnxModel, OnnxNode
from tinyformer.sparse_engine.frontend.operands import Activation, Affine, Constant, Function, Operand, Output
from tinyformer.sparse_engine.frontend.reading import QDQ
from tinyformer.sparse_engine.frontend.site import Site
from tinyformer.sparse_engine.ir import Graph, QuantParams

_ON_INTEGERS = (*MOVEMENT, "MaxPool")
_SEVERAL_OUTPUTS = ("Split",)
_CHOOSING = ("Gather", "Slice", "Split")
_CHOOSING_GREATEST = ("GlobalMaxPool", "MaxPool")
_KEEPING_RANGE = ("AveragePool", "GlobalAveragePool", "ReduceMean")
_SOFTMAX_QUANT = QuantParams((1 / 256,), -128)
_REARRANGING = ("Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")


@dataclass(frozen=True)
class _Tail:
    """What stands between an operator and its QuantizeLinear.

    Args:
        name: the real tensor that is quantised.
        quantizer: the QuantizeLinear.
        tensor: the integer tensor's name, the QuantizeLinear's output unless values are rearranged before it.
        clamps: Relu and Clip nodes, in order.
        affine: what a layer with weights takes in.
        folded: the nodes that say so, in order.
    """

    name: str
    quantizer: OnnxNode
    tensor: str
    clamps: tuple[OnnxNode, ...] = ()
    affine: Affine | None = None
    folded: tuple[OnnxNode, ...] = ()


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
        last = self._values.get(model.output)
        if isinstance(last, Function):
            self._values[model.output] = self._quantized(last, model.output, pointwise.natural_quant(last.values))
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
        if not isinstance(value, Activation | Function):
            raise node.error("its input is missing", "an activation or a constant")
        quant = quantization.activation_quant(self._model, node)
        if isinstance(value, Function):
            node.require(node.op_type == "QuantizeLinear", "it reads real numbers", "quantised integers")
            self._values[node.outputs[0]] = replace(self._quantized(value, node.outputs[0], quant), dequantized=False)
            return
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

    def _quantized(self, value: Function, name: str, quant: QuantParams) -> Activation:
        """Emit the table of real values that depend on one activation."""
        node = next(node for node in self._model.nodes if node.name == value.name)
        output = Output(name, value.shape, quant)
        site = Site(self._builder, self._model, node, (), output)
        tensor = site.lookup(value.label, value.source.tensor, tables.quantized(value.values, quant))
        return Activation(tensor, value.shape, quant)

    def _operator(self, node: OnnxNode) -> None:
        operands = tuple(self._operand(node, name) for name in node.inputs)
        integers = [o for o in operands if isinstance(o, Activation) and not o.dequantized]
        node.require(
            not integers or node.op_type in _ON_INTEGERS,
            "it computes with quantised integers",
            "DequantizeLinear before every operator",
            "quantise again in the QDQ format",
        )
        if self._pointwise(node, operands):
            return
        operands = tuple(
            self._materialized(node, name, operand) for name, operand in zip(node.inputs, operands, strict=True)
        )
        several = node.op_type in _SEVERAL_OUTPUTS
        unread = [name for name in node.outputs[1:] if name and (self._readers.get(name) or name == self._model.output)]
        node.require(several or not unread, f"its output {quoted(', '.join(unread))} is used", "the first output only")
        for index, name in enumerate(node.outputs):
            if index == 0 or (several and self._readers.get(name)) or name == self._model.output:
                self._output(node, operands, index)

    def _pointwise(self, node: OnnxNode, operands: tuple[Operand | None, ...]) -> bool:
        """Follow real values that depend on one activation element by element, if the operator gives such."""
        if node.op_type not in pointwise.OPERATORS or len(node.outputs) != 1:
            return False
        first = next((o for o in operands if isinstance(o, Activation | Function)), None)
        if first is None:
            return False
        name = node.outputs[0]
        quant = first.quant if isinstance(first, Activation) else first.source.quant
        output = Output(name, self._model.shape(node, name), quant)
        found = pointwise.function(Site(self._builder, self._model, node, operands, output))
        if found is not None:
            self._values[name] = found
        return found is not None

    def _materialized(self, node: OnnxNode, name: str, operand: Operand | None) -> Operand | None:
        """Return real values as operands of what is not pointwise: movement keeps them, others get them quantised."""
        moves = node.op_type in (*_REARRANGING, *_CHOOSING, "Concat")
        if not isinstance(operand, Function) or moves:
            return operand
        self._values[name] = found = self._quantized(operand, name, pointwise.natural_quant(operand.values))
        return found

    def _output(self, node: OnnxNode, operands: tuple[Operand | None, ...], index: int) -> None:
        """Convert one output of an operator, up to its QuantizeLinear."""
        model, tail = self._model, self._tail(node, operands, node.outputs[index])
        functions = [operand for operand in operands if isinstance(operand, Function)]
        if functions and node.op_type != "Concat":
            self._moved_function(node, operands, functions[0], index)
            return
        if tail is None:
            self._unquantized(node, operands, index)
            return
        quant = quantization.activation_quant(model, tail.quantizer)
        output = Output(tail.tensor, model.shape(node, tail.name), quant)
        for clamp in tail.clamps:
            output = self._clamped(clamp, output)
        site = Site(self._builder, model, node, operands, output, index, tail.affine)
        self._values[tail.name] = Activation(self._converted(site), output.shape, quant)
        self._fused.update(fused.name for fused in (*tail.clamps, *tail.folded))

    def _converted(self, site: Site) -> str:
        kind = site.node.op_type
        site.node.require(
            kind in CONVERTERS, "it has two tensors", "a constant number as one input", "replace it in the model"
        )
        return CONVERTERS[kind](site)

    def _unquantized(self, node: OnnxNode, operands: tuple[Operand | None, ...], index: int) -> None:
        """Convert what no QuantizeLinear follows: movement, maxima, and at the output what has an obvious range."""
        name, first = node.outputs[index], operands[0] if operands else None
        quant: QuantParams | None = None
        if isinstance(first, Activation) and node.op_type in _CHOOSING_GREATEST:
            quant = first.quant
        elif name == self._model.output and isinstance(first, Activation) and first.dequantized:
            quant = first.quant if node.op_type in _KEEPING_RANGE else None
            quant = _SOFTMAX_QUANT if node.op_type == "Softmax" else quant
        if quant is None or not isinstance(first, Activation):
            self._unquantized_movement(node, operands, index)
            return
        output = Output(name, self._model.shape(node, name), quant)
        tensor = self._converted(Site(self._builder, self._model, node, operands, output, index))
        self._values[name] = replace(first, tensor=tensor, shape=output.shape, quant=quant)

    def _moved_function(
        self, node: OnnxNode, operands: tuple[Operand | None, ...], value: Function, index: int
    ) -> None:
        """Move what real values depend on."""
        name = node.outputs[index]
        output = Output(name, self._model.shape(node, name), value.source.quant)
        moved = tuple(operand.source if isinstance(operand, Function) else operand for operand in operands)
        tensor = MOVEMENT[node.op_type](Site(self._builder, self._model, node, moved, output, index))
        source = replace(value.source, tensor=tensor, shape=output.shape)
        self._values[name] = replace(value, source=source)

    def _unquantized_movement(self, node: OnnxNode, operands: tuple[Operand | None, ...], index: int) -> None:
        """Convert data movement that no QuantizeLinear follows: the values keep their parameters."""
        moved = {o.quant for o in operands if isinstance(o, Activation)}
        source = next((o for o in operands if isinstance(o, Activation)), None)
        mixed = any(isinstance(o, Function) for o in operands)
        if node.op_type not in MOVEMENT or source is None or len(moved) > 1 or mixed:
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

    def _tail(self, node: OnnxNode, operands: tuple[Operand | None, ...], name: str) -> _Tail | None:
        """Follow an operator's output to its QuantizeLinear; None where there is none."""
        clamps: tuple[OnnxNode, ...] = ()
        affine: Affine | None = None
        taken: tuple[OnnxNode, ...] = ()
        while name != self._model.output:
            readers = self._readers.get(name, [])
            if readers and all(reader.op_type == "QuantizeLinear" for reader in readers):
                quants = {quantization.activation_quant(self._model, reader) for reader in readers}
                node.require(
                    len(quants) == 1, "its output is quantised in two ways", "one QuantizeLinear", "calibrate again"
                )
                return _Tail(name, readers[0], readers[0].outputs[0], clamps, affine, taken)
            if len(readers) != 1:
                return None
            reader = readers[0]
            terms = None if clamps else self._terms(node, operands, reader, name)
            if reader.op_type in ("Relu", "Clip") and reader.inputs[0] == name:
                clamps = (*clamps, reader)
            elif terms is not None:
                affine = terms if affine is None else affine.then(terms.factor, terms.offset)
                taken = (*taken, reader)
            else:
                quantizer = self._quantizer_behind(reader)
                return None if quantizer is None else _Tail(name, quantizer, name, clamps, affine, taken)
            name = reader.outputs[0]
        return None

    def _terms(
        self, layer: OnnxNode, operands: tuple[Operand | None, ...], reader: OnnxNode, name: str
    ) -> Affine | None:
        """Return the factor and offset per channel that a reader of a layer with constant weights applies, if any."""
        if layer.op_type not in folding_layers.CHANNEL_AXES or not isinstance(operands[1], Constant):
            return None
        known = tuple(self._values.get(other) if other else None for other in reader.inputs)
        output = Output(reader.outputs[0], self._model.shape(reader, reader.outputs[0]), _SOFTMAX_QUANT)
        site = Site(self._builder, self._model, reader, known, output)
        return folding_layers.terms(site, layer, name)

    def _quantizer_behind(self, node: OnnxNode) -> OnnxNode | None:
        """Return the QuantizeLinear after nodes that only rearrange values: it may as well stand before them."""
        while node.op_type in _REARRANGING and node.outputs[0] != self._model.output:
            readers = self._readers.get(node.outputs[0], [])
            if len(readers) != 1:
                return None
            node = readers[0]
        return node if node.op_type == "QuantizeLinear" else None
