"""``tinyformer report``: a result as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinyformer.cli.output import JsonFlag, print_json

Directory = Annotated[Path, typer.Argument(metavar="DIR", help="A run's folder or a bundle.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("report")(write)


def write(directory: Directory, json: JsonFlag = False) -> None:
    """Write report.html, one self-contained page, into a run's folder or a bundle."""
    from tinyformer import report

    page = report.write(directory)
    if json:
        print_json({"report": str(page)})
    else:
        typer.echo(str(page))
