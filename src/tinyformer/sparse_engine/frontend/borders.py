"""The graph's input and output: int8, whatever the file declares there."""

from __future__ import annotations

from collections.abc import Collection

from tinyformer.sparse_engine.frontend import quantization
from tinyformer.sparse_engine.frontend.builder import GraphBuilder
from tinyformer.sparse_engine.frontend.errors import quoted, unsupported
from tinyformer.sparse_engine.frontend.model import OnnxModel, OnnxNode
from tinyformer.sparse_engine.frontend.operands import Activation, Operand, batchless
from tinyformer.sparse_engine.frontend.reading import QDQ
from tinyformer.sparse_engine.ir import QuantParams


def input_activation(model: OnnxModel, builder: GraphBuilder, movement: Collection[str]) -> Activation:
    """Declare the graph's input.

    A float input takes the parameters of the QuantizeLinear that reads it, an integer one those of the
    DequantizeLinear; only data movement may stand in between. It is named like the quantised tensor.

    Args:
        model: the file.
        builder: the graph under construction.
        movement: operator types that only move data.
    """
    real = model.types[model.input] not in quantization.ACTIVATION_TYPES
    readers = model.readers()
    found = _quantizers(model, readers, movement)
    where = f"input {quoted(model.input)}"
    if not found:
        raise unsupported(where, "nothing quantises it", "QuantizeLinear behind the input", "run: tinyformer quantize")
    quants: dict[QuantParams, OnnxNode] = {quantization.activation_quant(model, node): node for node in found}
    if len(quants) > 1:
        names = ", ".join(node.where for node in list(quants.values())[:2])
        raise unsupported(
            where, f"it is quantised in two ways ({names})", "one scale and zero point", "calibrate again"
        )
    quant = next(iter(quants))
    direct = [node for node in readers.get(model.input, []) if node.op_type == "QuantizeLinear"]
    name = direct[0].outputs[0] if direct else model.input
    shape = model.shapes[model.input]
    return Activation(builder.input(name, batchless(shape), quant), shape, quant, dequantized=real)


def _quantizers(model: OnnxModel, readers: dict[str, list[OnnxNode]], movement: Collection[str]) -> list[OnnxNode]:
    found: list[OnnxNode] = []
    pending, seen = [model.input], {model.input}
    while pending:
        name = pending.pop(0)
        for node in readers.get(name, []):
            if node.op_type in QDQ:
                found.append(node)
            elif node.op_type in movement:
                pending += [output for output in node.outputs if output not in seen]
                seen.update(node.outputs)
            else:
                raise node.error(
                    f"it reads {quoted(name)}, which is not quantised",
                    "QuantizeLinear and DequantizeLinear before every operator",
                    "quantise inputs too: tinyformer quantize",
                )
    return found


def output_activation(model: OnnxModel, values: dict[str, Operand]) -> Activation:
    """Return what the file's output holds.

    Raises:
        UnsupportedModelError: the output is a constant, or is not computed from the input.
    """
    value, source = values.get(model.output), values[model.input]
    if not isinstance(value, Activation) or (isinstance(source, Activation) and value.tensor == source.tensor):
        where = f"output {quoted(model.output)}"
        raise unsupported(
            where, "nothing computes it from the input", "at least one operator", "export the model again"
        )
    return value


def quantized_output_name(model: OnnxModel) -> str:
    """Return the file's name of the quantised value that its output is."""
    producer = {name: node for node in model.nodes for name in node.outputs}.get(model.output)
    return producer.inputs[0] if producer is not None and producer.op_type == "DequantizeLinear" else model.output
