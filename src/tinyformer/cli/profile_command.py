"""``tinyformer profile``: what one inference takes, layer by layer."""

from __future__ import annotations

import typer

from tinyformer.cli.emulate_command import Bundle
from tinyformer.cli.figures import layer_table, summary
from tinyformer.cli.output import JsonFlag, console, print_json


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("profile")(profile)


def profile(directory: Bundle, json: JsonFlag = False) -> None:
    """Count instructions per layer on the emulated core, and write profile.json into the bundle for the report."""
    from tinyformer import report
    from tinyformer.sparse_engine import deployment

    figures = deployment.profile(directory)
    report.write_profile(directory, figures.to_dict())
    if json:
        print_json(figures.to_dict())
        return
    out = console()
    out.print(layer_table("layers", figures))
    out.print(summary("one inference", figures))
