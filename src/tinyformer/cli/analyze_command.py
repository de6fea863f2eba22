"""``tinyformer analyze``: what a model takes on a board, predicted, without building it."""

from __future__ import annotations

import typer

from tinyformer.cli.compile_command import BoardName, MaxLatency, Model, Optimize, Softmax
from tinyformer.cli.figures import latency_text, layer_table, remarks
from tinyformer.cli.output import JsonFlag, console, kilobytes, print_json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("analyze")(analyze)


def analyze(
    model: Model,
    board: BoardName,
    optimize: Optimize = "balanced",
    softmax: Softmax = "table",
    max_latency: MaxLatency = None,
    json: JsonFlag = False,
) -> None:
    """Predict flash, RAM, latency and cost per layer; exit status 1 when the model does not fit."""
    from tinyformer.sparse_engine import compiler

    analysis = compiler.analyze(model, board, objective=optimize, softmax=softmax, latency_limit_ms=max_latency)
    figures = analysis.figures
    if json:
        print_json(analysis.to_dict())
    else:
        out = console()
        out.print(layer_table("layers, predicted", figures))
        flash = "unknown" if figures.flash_bytes is None else kilobytes(figures.flash_bytes)
        latency = latency_text(figures.latency_ms_estimated, figures.latency_error_percent, figures.memory_counted)
        limit = "" if max_latency is None else f" of {max_latency:g} ms"
        out.print(
            f"flash {flash} of {kilobytes(analysis.flash_limit_bytes)}, RAM {kilobytes(figures.ram_bytes)} of "
            f"{kilobytes(analysis.ram_limit_bytes)}, latency {latency}{limit}: "
            f"{'fits' if analysis.fits else 'DOES NOT FIT'}"
        )
        known = remarks(figures)
        if known:
            out.print(known)
    if not analysis.fits:
        raise typer.Exit(1)
