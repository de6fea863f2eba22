"""Broken and hostile ONNX files, seeded, and a worker process that compiles them.

The worker reads paths of files, one a line, and answers one JSON line each; it says which stage it is in first, so that
whoever waits for it knows what hung or died. Run as a program it is that worker.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto

Bytes = bytes
NUMBERS = [0, 1, -1, 2, 3, 5, 127, 2**15, 2**24, 2**31, -(2**31), 2**62]
REALS = [0.0, -0.0, -1.0, float("nan"), float("inf"), -float("inf"), 1e38, 1e-38, 1e-45, 0.5, 3.0, 1e6, 1e-6]
NAMES = [
    '"); system("true"); ("',
    "*/ #error hostile /*",
    "a\nb\r\n#define x y",
    "\\",
    "??/\n",
    "$(touch hostile); `true` | & ;",
    "../../hostile",
    "int",
    "%s%n%d",
    "{{ name }}{% raw %}",
    "\u202e\u0000\u2028",
    "x" * 5000,
    "-o hostile",
    "",
]


# ---- mutations of structure ------------------------------------------------------------------------------------------

Mutation = Callable[[random.Random, onnx.GraphProto], None]


def _tensors(graph: onnx.GraphProto) -> list[str]:
    return [name for node in graph.node for name in (*node.input, *node.output)]


def rewire(rng: random.Random, graph: onnx.GraphProto) -> None:
    node = rng.choice(graph.node)
    ends = rng.choice([end for end in (node.input, node.output) if end])
    ends[rng.randrange(len(ends))] = rng.choice([*_tensors(graph), "", "nowhere"])


def close_a_cycle(rng: random.Random, graph: onnx.GraphProto) -> None:
    """Let an early node read what a later one writes."""
    first, last = sorted(rng.choices(range(len(graph.node)), k=2))
    reader, writer = graph.node[first], graph.node[last]
    if reader.input and writer.output:
        reader.input[rng.randrange(len(reader.input))] = rng.choice(writer.output)


def rename_operator(rng: random.Random, graph: onnx.GraphProto) -> None:
    from tinyformer.sparse_engine import frontend
    from tinyformer.sparse_engine.frontend import qoperator

    kinds = (*frontend.SUPPORTED_OPERATORS, *qoperator.FUSED_OPERATORS, "QuantizeLinear", "DequantizeLinear", "If")
    rng.choice(graph.node).op_type = rng.choice(kinds)


def remove_node(rng: random.Random, graph: onnx.GraphProto) -> None:
    graph.node.remove(rng.choice(graph.node))


def repeat_node(rng: random.Random, graph: onnx.GraphProto) -> None:
    graph.node.insert(rng.randrange(len(graph.node)), rng.choice(graph.node))


def change_inputs(rng: random.Random, graph: onnx.GraphProto) -> None:
    node = rng.choice(graph.node)
    if rng.random() < 0.5 and node.input:
        del node.input[rng.randrange(len(node.input)) :]
    else:
        node.input.extend([rng.choice(_tensors(graph))] * rng.choice([1, 2, 300]))


def change_attribute(rng: random.Random, graph: onnx.GraphProto) -> None:
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    if not attributes:
        return
    attribute = rng.choice(attributes)
    if rng.random() < 0.1:
        attribute.name = rng.choice([*NAMES, "axis", "pads", "strides", "group"])
    elif attribute.type == AttributeProto.INT:
        attribute.i = rng.choice(NUMBERS)
    elif attribute.type == AttributeProto.INTS and attribute.ints:
        attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(NUMBERS)
    elif attribute.type == AttributeProto.FLOAT:
        attribute.f = rng.choice(REALS)
    elif attribute.type == AttributeProto.STRING:
        attribute.s = rng.choice([b"", b"\xff\xfe", b"SAME_UPPER", b"VALID", b"reflect"])
    else:
        attribute.type = rng.choice([AttributeProto.INT, AttributeProto.STRING, AttributeProto.TENSOR])


def change_dims(rng: random.Random, graph: onnx.GraphProto) -> None:
    tensor = rng.choice(graph.initializer)
    if tensor.dims and rng.random() < 0.8:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(NUMBERS)
    else:
        tensor.dims.append(rng.choice(NUMBERS))


def reshape_constant(rng: random.Random, graph: onnx.GraphProto) -> None:
    """Other dims for the same number of elements."""
    tensor = rng.choice(graph.initializer)
    dims = list(tensor.dims)
    rng.shuffle(dims)
    del tensor.dims[:]
    tensor.dims.extend([*dims, 1] if rng.random() < 0.3 else dims)


def change_type(rng: random.Random, graph: onnx.GraphProto) -> None:
    rng.choice(graph.initializer).data_type = rng.randrange(26)


def change_data(rng: random.Random, graph: onnx.GraphProto) -> None:
    tensor = rng.choice(graph.initializer)
    data = bytearray(tensor.raw_data)
    for _ in range(rng.randrange(4) if data else 0):
        data[rng.randrange(len(data))] = rng.randrange(256)
    tensor.raw_data = bytes(data[: rng.choice([len(data), len(data), len(data) // 2])])


def _change_value(rng: random.Random, tensor: onnx.TensorProto, kind: type, choices: Sequence[float]) -> None:
    if len(tensor.raw_data) % np.dtype(kind).itemsize == 0:  # another mutation may have cut it
        values = np.frombuffer(tensor.raw_data, kind).copy()
        values[rng.randrange(values.size)] = rng.choice(choices)
        tensor.raw_data = values.tobytes()


def change_scale(rng: random.Random, graph: onnx.GraphProto) -> None:
    """NaN, infinite, zero, negative and extreme scales and other real constants."""
    floats = [tensor for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT and tensor.raw_data]
    if floats:
        _change_value(rng, rng.choice(floats), np.float32, REALS)


def change_integers(rng: random.Random, graph: onnx.GraphProto) -> None:
    """Axes, shapes, pads, splits and indices."""
    settings = [tensor for tensor in graph.initializer if tensor.data_type == TensorProto.INT64 and tensor.raw_data]
    if settings:
        _change_value(rng, rng.choice(settings), np.int64, NUMBERS)


def change_border(rng: random.Random, graph: onnx.GraphProto) -> None:
    tensor = rng.choice([*graph.input, *graph.output]).type.tensor_type
    if rng.random() < 0.3 or not tensor.shape.dim:
        tensor.elem_type = rng.randrange(26)
    elif rng.random() < 0.2:
        rng.choice(tensor.shape.dim).dim_param = rng.choice(NAMES)
    else:
        rng.choice(tensor.shape.dim).dim_value = rng.choice(NUMBERS)


def rename(rng: random.Random, graph: onnx.GraphProto) -> None:
    """Give a tensor, everywhere, or a node a name that means something to a shell, a compiler or a template."""
    new = rng.choice(NAMES)
    if rng.random() < 0.3:
        rng.choice(graph.node).name = new
        return
    old = rng.choice([name for name in _tensors(graph) if name] or [""])
    for node in graph.node:
        for ends in (node.input, node.output):
            for index, name in enumerate(ends):
                ends[index] = new if name == old else name
    for value in (*graph.initializer, *graph.input, *graph.output):
        value.name = new if value.name == old else value.name


def rename_all(rng: random.Random, graph: onnx.GraphProto) -> None:
    """Rename everything at once, so that the model stays whole."""
    taken: dict[str, str] = {"": ""}
    for name in _tensors(graph):
        taken.setdefault(name, f"{rng.choice(NAMES)}{len(taken)}")
    for node in graph.node:
        node.name = f"{rng.choice(NAMES)}{node.name}"
        for ends in (node.input, node.output):
            for index, name in enumerate(ends):
                ends[index] = taken[name]
    for value in (*graph.initializer, *graph.input, *graph.output):
        value.name = taken.get(value.name, value.name)
    graph.name = rng.choice(NAMES)


MUTATIONS: Sequence[Mutation] = [
    rewire, close_a_cycle, rename_operator, remove_node, repeat_node, change_inputs, change_attribute, change_attribute,
    change_dims, reshape_constant, change_type, change_data, change_scale, change_scale, change_integers,
    change_integers, change_border, rename, rename_all,
]  # fmt: skip


# ---- files -----------------------------------------------------------------------------------------------------------


def mutant(rng: random.Random, models: Sequence[onnx.ModelProto]) -> tuple[str, Bytes]:
    """Return what was done to one of the models, and the file."""
    source = rng.choice(models)
    how = rng.random()
    if how < 0.15:
        return "bytes", flipped(rng, source.SerializeToString())
    if how < 0.25:
        data = source.SerializeToString()
        return "truncation", data[: rng.randrange(len(data))]
    model = onnx.ModelProto()
    model.CopyFrom(source)
    done = []
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        mutation = rng.choice(MUTATIONS)
        if model.graph.node and model.graph.initializer:
            mutation(rng, model.graph)
            done.append(mutation.__name__)
    return ", ".join(done), model.SerializeToString()


def flipped(rng: random.Random, data: Bytes) -> Bytes:
    changed = bytearray(data)
    for _ in range(rng.randrange(1, 6)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


# ---- the worker ------------------------------------------------------------------------------------------------------


def _say(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _work(path: Path) -> str:
    """Return what became of a file: ``refused``, or ``right`` or what is wrong with it."""
    from tinyformer import boards
    from tinyformer.errors import TinyFormerError
    from tinyformer.sparse_engine import compiler, reference

    with tempfile.TemporaryDirectory() as scratch:
        try:
            graph, source = compiler.read(path)
            board = boards.load("mps2-an500")
            compiler.compile_graph(graph, board, Path(scratch, "bundle"), toolchain=None, source=source)
        except TinyFormerError as error:
            return "refused" if "\n" not in str(error) and len(str(error)) < 4000 else f"refused at length: {error}"
    tensor = graph.tensors[graph.input]
    samples = np.random.default_rng(0).integers(-128, 128, (3, *tensor.shape)).astype(np.int8)
    ours = reference.run(graph, samples)
    _say(stage="onnxruntime")
    theirs = _onnxruntime(path, graph, samples)
    if isinstance(theirs, str):
        return theirs
    worst = int(np.abs(theirs.astype(int) - ours).max(initial=0))
    return "right" if worst <= _most_steps(graph) else f"wrong by {worst} steps"


def _most_steps(graph: object) -> int:
    """One step per operator that rounds, as the contract has it."""
    return max(1, sum(hasattr(node.op, "low") or node.op.kind in ("lookup", "softmax") for node in graph.nodes))


def _onnxruntime(path: Path, graph: object, samples: object) -> object:
    """Return what onnxruntime makes of the samples, or why there is nothing to compare with."""
    from qdq_models import run_onnx

    source, output = graph.tensors[graph.input], graph.tensors[graph.output]
    model = onnx.load(path)
    constants = {tensor.name for tensor in model.graph.initializer}
    declared = next(value for value in model.graph.input if value.name not in constants)
    while model.graph.input[0].name != declared.name:
        del model.graph.input[0]
    kind = declared.type.tensor_type.elem_type
    shape = [dim.dim_value or 1 for dim in declared.type.tensor_type.shape.dim]
    order = source.axis_order or tuple(range(len(shape) - 1 if len(shape) > len(source.shape) else len(source.shape)))
    try:
        outputs = []
        for sample in samples:
            natural = np.array(shape)[-len(order) :] if order else ()
            values = sample.reshape([natural[axis] for axis in order]).transpose(np.argsort(order)).reshape(shape)
            if kind == TensorProto.UINT8:
                values = (values.astype(np.int16) + 128).astype(np.uint8)
            elif kind != TensorProto.INT8:
                real = (values.astype(np.float32) - source.quant.zero_point) * np.float32(source.quant.scale)
                values = real.astype(onnx.helper.tensor_dtype_to_np_dtype(kind))
            (result,) = run_onnx(model, values).values()
            if np.issubdtype(result.dtype, np.floating):
                steps = np.rint(result.astype(np.float64) / output.quant.scale)
                result = np.clip(np.where(np.isnan(steps), 0, steps) + output.quant.zero_point, -128, 127)
            elif result.dtype == np.uint8:
                result = result.astype(np.int16) - 128
            outputs.append(output.from_model(result.reshape(1, *_inner(result.shape, output)))[0])
    except Exception as error:  # another project's own opinion of the file
        return f"not comparable: {type(error).__name__}"
    return np.stack(outputs)


def _inner(shape: tuple[int, ...], output: object) -> tuple[int, ...]:
    return shape[1:] if len(shape) > 1 and shape[0] == 1 else shape


def main() -> None:
    for line in sys.stdin:
        path = Path(line.strip())
        _say(stage="compile")
        try:
            result = _work(path)
        except BaseException as error:  # what must not happen: the parent reports it
            result = f"crashed: {type(error).__name__}: {str(error)[:300]}"
        _say(result=result)


if __name__ == "__main__":
    main()
