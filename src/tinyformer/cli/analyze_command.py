"""``tinyformer analyze``: what a model takes on a board, predicted, without building it."""

from __future__ import annotations

import typer

from tinyformer.cli.compile_command import BoardName, Model, Optimize, Softmax
from tinyformer.cli.figures import layer_table
from tinyformer.cli.output import JsonFlag, console, kilobytes, print_json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("analyze")(analyze)


def analyze(
    model: Model, board: BoardName, optimize: Optimize = "balanced", softmax: Softmax = "table", json: JsonFlag = False
) -> None:
    """Predict flash, RAM and cost per layer; exit status 1 when the model does not fit."""
    from tinyformer.sparse_engine import compiler

    analysis = compiler.analyze(model, board, objective=optimize, softmax=softmax)
    figures = analysis.figures
    if json:
        print_json(analysis.to_dict())
    else:
        out = console()
        out.print(layer_table("layers, predicted", figures))
        flash = "unknown" if figures.flash_bytes is None else kilobytes(figures.flash_bytes)
        out.print(
            f"flash {flash} of {kilobytes(analysis.flash_limit_bytes)}, RAM {kilobytes(figures.ram_bytes)} of "
            f"{kilobytes(analysis.ram_limit_bytes)}: {'fits' if analysis.fits else 'DOES NOT FIT'}"
        )
    if not analysis.fits:
        raise typer.Exit(1)
