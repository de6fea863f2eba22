"""``tinyformer boards``: the boards there are."""

from __future__ import annotations

import typer

from tinyformer import boards
from tinyformer.cli.output import JsonFlag, console, kilobytes, print_json, table


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("boards")(list_boards)


def list_boards(json: JsonFlag = False) -> None:
    """List the boards; --board also takes the path of a TOML file of your own."""
    known = [boards.load(name) for name in boards.names()]
    if json:
        print_json(
            {
                "boards": [
                    {
                        "name": board.name,
                        "title": board.title,
                        "core": board.isa.core,
                        "dsp": board.isa.dsp,
                        "fpu": board.isa.fpu,
                        "clock_hz": board.clock_hz,
                        "flash_bytes": board.flash.size_bytes,
                        "ram_bytes": board.ram.size_bytes,
                        "stack_bytes": board.stack_bytes,
                    }
                    for board in known
                ]
            }
        )
        return
    rows = [
        (
            board.name,
            board.title,
            board.isa.core,
            "yes" if board.isa.dsp else "no",
            board.isa.fpu,
            f"{board.clock_hz / 1e6:.0f} MHz",
            kilobytes(board.flash.size_bytes),
            kilobytes(board.ram.size_bytes),
        )
        for board in known
    ]
    console().print(table("", ("name", "board", "core", "DSP", "FPU", "clock", "flash", "RAM"), rows, left=5))
