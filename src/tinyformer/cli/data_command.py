"""``tinyformer data fetch``: download a dataset and check it."""

from __future__ import annotations

from typing import Annotated

import typer

from tinyformer.cli.output import JsonFlag, print_json
from tinyformer.cli.progress import progress_display

Name = Annotated[str, typer.Argument(metavar="NAME", help="digits, fashion_mnist or cifar10.")]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Datasets.")
    group.command("fetch")(fetch)
    group.callback()(_group)
    app.add_typer(group, name="data")


def _group() -> None:
    """Datasets."""


def fetch(name: Name, json: JsonFlag = False) -> None:
    """Download a dataset into the cache, unless it is there, and check its digests."""
    from tinyformer import data

    with progress_display() as progress:
        if name in data.names():  # another is an error, and not a stage before it
            progress.stage(f"fetch {name}")
        directory = data.fetch(name, progress=lambda what, done, total: progress.advance(done, total, what))
    if json:
        print_json({"name": name, "directory": None if directory is None else str(directory)})
    else:
        typer.echo(f"{name}: comes with scikit-learn" if directory is None else f"{name}: in {directory}")
