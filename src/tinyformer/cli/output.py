"""What the commands share on the way out: JSON objects, tables, units."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer
from rich.console import Console, Group
from rich.table import Table

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def console() -> Console:
    """Return a console on standard output; plain and wide enough when that is not a terminal."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 140)


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object on standard output."""
    json.dump(value, sys.stdout, indent=2, default=str)
    sys.stdout.write("\n")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, left: int = 1) -> Group:
    """Return a titled table whose first ``left`` columns are text and whose others are right-aligned."""
    result = Table(box=None, pad_edge=False, show_header=any(columns))
    for index, column in enumerate(columns):
        result.add_column(column, justify="left" if index < left else "right", overflow="fold")
    for row in rows:
        result.add_row(*(str(cell) for cell in row))
    return Group(title, result) if title else Group(result)


def kilobytes(nbytes: int | float) -> str:
    """Return bytes in KB of 1,024."""
    return f"{nbytes / 1024:.1f} KB"
