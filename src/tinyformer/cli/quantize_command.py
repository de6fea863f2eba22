"""``tinyformer quantize``: a float ONNX file to the int8 QDQ file that ``compile`` takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tinyformer.cli import arrays
from tinyformer.cli.output import JsonFlag, print_json

Model = Annotated[Path, typer.Argument(metavar="FLOAT.onnx", help="One float input and output, static shapes.")]
Calibration = Annotated[Path, typer.Option("--calibration", help="X.npy, float [N, ...] as the model takes them.")]
Out = Annotated[Path, typer.Option("--out", help="Q.onnx, written.")]
Method = Annotated[Literal["percentile", "min_max"], typer.Option("--method", help="How activation ranges are found.")]
Labels = Annotated[Path | None, typer.Option("--labels", help="Y.npy, classes of X, to tell the accuracy lost.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("quantize")(quantize)


def quantize(
    model: Model,
    calibration: Calibration,
    out: Out,
    method: Method = "percentile",
    labels: Labels = None,
    json: JsonFlag = False,
) -> None:
    """Quantise a float model after training: weights per channel, activations per tensor, all int8."""
    from tinyformer import quantization

    inputs = arrays.read(calibration).astype("float32")
    classes = None if labels is None else arrays.read(labels)
    settings = quantization.QuantizationSettings(quantization.CalibrationSettings(method=method))
    beside = out.with_name(out.name + ".part")
    quantization.quantize(model, inputs, beside, settings)
    beside.replace(out)
    found: dict[str, object] = {"model": str(out)}
    if classes is not None:
        found["accuracy_float"] = quantization.accuracy(model, inputs, classes)
        found["accuracy_int8"] = quantization.accuracy(out, inputs, classes)
    if json:
        print_json(found)
        return
    typer.echo(f"int8 model in {out}")
    if classes is not None:
        typer.echo(f"accuracy on {len(inputs)}: float {found['accuracy_float']:.2%}, int8 {found['accuracy_int8']:.2%}")
