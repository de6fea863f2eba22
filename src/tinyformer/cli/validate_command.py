"""``tinyformer validate``: reference, host C, emulated core and ONNX side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinyformer.cli import arrays
from tinyformer.cli.emulate_command import Bundle, Inputs
from tinyformer.cli.output import JsonFlag, console, print_json, table

if TYPE_CHECKING:
    from tinyformer.sparse_engine.validation import Validation

Labels = Annotated[Path | None, typer.Option("--labels", help="Y.npy, the classes, for the accuracy.")]
OnnxFile = Annotated[Path | None, typer.Option("--model", help="The ONNX file, run without optimisations.")]
Samples = Annotated[int, typer.Option("--device-samples", min=1, help="Inputs that the emulated core runs.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("validate")(validate)


def validate(
    directory: Bundle,
    inputs: Inputs,
    labels: Labels = None,
    model: OnnxFile = None,
    device_samples: Samples = 16,
    json: JsonFlag = False,
) -> None:
    """Compare all that computes the model, layer by layer; exit status 1 when the integers differ."""
    from tinyformer.sparse_engine import validation

    found = validation.validate(
        directory,
        arrays.read(inputs),
        None if labels is None else arrays.read(labels),
        model,
        device_samples=device_samples,
    )
    if json:
        print_json(found.to_dict())
    else:
        _show(found)
    if not found.bit_exact:
        raise typer.Exit(1)


def _show(found: Validation) -> None:
    rows = [
        (layer.name, layer.op, "yes" if layer.bit_exact else "NO", _or_blank(layer.onnx_max_steps))
        for layer in found.layers
    ]
    out = console()
    out.print(table("", ("layer", "operator", "equal", "steps from ONNX"), rows, left=3))
    core = "reference = host C = emulated core" if found.emulated else "reference = host C (no image)"
    lines = [f"{core}: {'bit-exact' if found.bit_exact else 'NOT EQUAL'} over {found.device_samples} inputs"]
    if found.top1_agreement is not None:
        lines.append(
            f"against ONNX: same class on {found.top1_agreement:.2%}, at most {found.onnx_max_steps} steps apart"
        )
    if found.accuracy is not None:
        theirs = "" if found.onnx_accuracy is None else f", ONNX {found.onnx_accuracy:.2%}"
        lines.append(f"accuracy over {found.samples} inputs: {found.accuracy:.2%}{theirs}")
    lines += [
        f"{wrong.where}: {wrong.layer} differs in {wrong.elements} values of input {wrong.sample}"
        for wrong in found.mismatches[:10]
    ]
    out.print("\n".join(lines))


def _or_blank(value: int | None) -> str:
    return "" if value is None else str(value)
