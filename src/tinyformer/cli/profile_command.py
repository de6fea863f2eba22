"""``tinyformer profile``: what one inference takes, layer by layer and kernel by kernel."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from tinyformer.cli.emulate_command import Bundle
from tinyformer.cli.figures import block_listing, kernel_table, layer_table, summary, unvalidated_text
from tinyformer.cli.output import JsonFlag, console, print_json

_HOTTEST = 10
Blocks = Annotated[
    bool, typer.Option("--blocks", help=f"Show the {_HOTTEST} blocks with most cycles, with their disassembly.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("profile")(profile)


def profile(directory: Bundle, blocks: Blocks = False, json: JsonFlag = False) -> None:
    """Count instructions and estimate cycles per layer and kernel; write profile.json into the bundle."""
    from tinyformer import report
    from tinyformer.sparse_engine import deployment

    figures, hottest = deployment.profile_blocks(directory, _HOTTEST if blocks else 0)
    report.write_profile(directory, figures.to_dict())
    if json:
        listed = {"blocks": [asdict(block) for block in hottest]} if blocks else {}
        print_json({**figures.to_dict(), **listed})
        return
    out = console()
    out.print(layer_table("layers", figures))
    out.print(kernel_table("kernels", figures))
    out.print(summary("one inference", figures))
    remark = unvalidated_text(figures)
    if remark:
        out.print(remark)
    if blocks:
        typer.echo(block_listing(hottest, figures.cycles_estimated or 0))
