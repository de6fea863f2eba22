"""``tinyformer quantize``: a float ONNX file to the int8 QDQ file that ``compile`` takes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tinyformer.cli import arrays
from tinyformer.cli.output import JsonFlag, print_json
from tinyformer.errors import DataError

if TYPE_CHECKING:
    from tinyformer.sparse_engine.ir import Graph

Model = Annotated[Path, typer.Argument(metavar="FLOAT.onnx", help="One float input and output, static shapes.")]
Calibration = Annotated[Path, typer.Option("--calibration", help="X.npy, float [N, ...] as the model takes them.")]
Out = Annotated[Path, typer.Option("--out", help="Q.onnx, written.")]
Method = Annotated[
    Literal["percentile", "min_max", "mse"], typer.Option("--method", help="How activation ranges are found.")
]
Labels = Annotated[Path | None, typer.Option("--labels", help="Y.npy, classes of X, to tell the accuracy lost.")]
Sparsity = Annotated[float, typer.Option("--sparsity", help="Prune this share of each layer first, by magnitude.")]
Block = Annotated[int, typer.Option("--block", help="Weights in a pruned block: 2 or 4.")]


_LAYERS = ("conv2d", "depthwise_conv2d", "linear")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("quantize")(quantize)


def quantize(
    model: Model,
    calibration: Calibration,
    out: Out,
    method: Method = "percentile",
    labels: Labels = None,
    sparsity: Sparsity = 0.0,
    block: Block = 4,
    json: JsonFlag = False,
) -> None:
    """Quantise a float model after training: weights per channel, activations per tensor, all int8."""
    from tinyformer import quantization
    from tinyformer.sparse_engine import compiler

    inputs = arrays.read(calibration).astype("float32")
    classes = None if labels is None else arrays.read(labels)
    if classes is not None and classes.shape != (len(inputs),):
        raise DataError(f"labels have shape {classes.shape}; allowed: ({len(inputs)},), one class for each input")
    method_settings = quantization.CalibrationSettings(method=method)
    settings = quantization.QuantizationSettings(method_settings, sparsity=sparsity, block=block)
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = out.with_name(out.name + ".part")
    try:
        quantization.quantize(model, inputs, beside, settings)
        graph, _ = compiler.read(beside)
        found: dict[str, object] = {
            "model": str(out),
            "layers": len(graph.nodes),
            "method": method,
            "sparsity": _sparsity(graph),
        }
        if classes is not None:
            accuracy_float = quantization.accuracy(model, inputs, classes)
            accuracy_int8 = quantization.accuracy(beside, inputs, classes)
            found["accuracy_float"], found["accuracy_int8"] = accuracy_float, accuracy_int8
            found["accuracy_lost"] = accuracy_float - accuracy_int8
        beside.replace(out)
    finally:
        beside.unlink(missing_ok=True)
    if json:
        print_json(found)
        return
    typer.echo(f"int8 model in {out}: the engine runs it in {found['layers']} steps")
    if sparsity:
        typer.echo(f"{found['sparsity']:.0%} of its weights are zero, in blocks of {block}")
    if classes is not None:
        typer.echo(
            f"accuracy on {len(inputs)}: float {found['accuracy_float']:.2%}, int8 {found['accuracy_int8']:.2%}, "
            f"lost {found['accuracy_lost']:.2%}"
        )


def _sparsity(graph: Graph) -> float:
    """Return the share of zeros among the weights of a lowered graph's layers."""
    weights = [graph.data[node.inputs[1]] for node in graph.nodes if node.op.kind in _LAYERS]
    return sum(int((weight == 0).sum()) for weight in weights) / max(1, sum(weight.size for weight in weights))
