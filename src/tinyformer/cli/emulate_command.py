"""``tinyformer emulate``: run a bundle's image on the emulated core."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinyformer.cli import arrays
from tinyformer.cli.figures import remarks, summary
from tinyformer.cli.output import JsonFlag, console, print_json

Bundle = Annotated[Path, typer.Argument(metavar="DIR", help="A bundle that `tinyformer compile` wrote.")]
Inputs = Annotated[Path, typer.Option("--inputs", help="X.npy, [N, ...] in the layout of the ONNX file.")]
Outputs = Annotated[Path, typer.Option("--outputs", help="Y.npy, written: int8 [N, ...].")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("emulate")(emulate)


def emulate(directory: Bundle, inputs: Inputs, outputs: Outputs, json: JsonFlag = False) -> None:
    """Run inputs through the image; instruction counts are exact."""
    from tinyformer.sparse_engine import deployment

    result = deployment.emulate(directory, arrays.read(inputs))
    arrays.write(outputs, result.outputs)
    if json:
        print_json(result.figures.to_dict())
    else:
        out = console()
        out.print(summary(f"{len(result.outputs)} inferences, outputs in {outputs}", result.figures))
        out.print(remarks(result.figures))
