"""``tinyformer profile``: what one inference takes, layer by layer and kernel by kernel, emulated and on a board."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console

from tinyformer.cli.emulate_command import Bundle
from tinyformer.cli.figures import block_listing, kernel_table, layer_table, remarks, summary
from tinyformer.cli.measured import measured_summary, measured_table
from tinyformer.cli.output import JsonFlag, console, print_json

_HOTTEST = 10
Blocks = Annotated[
    bool, typer.Option("--blocks", help=f"Show the {_HOTTEST} blocks with most cycles, with their disassembly.")
]
Port = Annotated[
    str | None, typer.Option("--port", help="Measure on the board at this serial port, such as /dev/ttyACM0, too.")
]
Baud = Annotated[int, typer.Option("--baud", help="Bits per second of the port.")]
Timeout = Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds for which the board may say nothing.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("profile")(profile)


def profile(
    directory: Bundle,
    blocks: Blocks = False,
    port: Port = None,
    baud: Baud = 115200,
    timeout: Timeout = 30.0,
    json: JsonFlag = False,
) -> None:
    """Count instructions and estimate cycles per layer and kernel; write profile.json into the bundle.

    With --port, measure cycles per layer on a board too: build the bundle's profile image, wait until it is flashed.
    """
    from tinyformer import report
    from tinyformer.sparse_engine import deployment, measurement

    measured = None
    if port is not None:
        measured = measurement.measure(directory, port, baud=baud, timeout_s=timeout, notice=_notice)
    figures, hottest = deployment.profile_blocks(directory, _HOTTEST if blocks else 0)
    printed = figures.to_dict() if measured is None else measured.beside(figures)
    report.write_profile(directory, printed)
    if json:
        listed = {"blocks": [asdict(block) for block in hottest]} if blocks else {}
        print_json({**printed, **listed})
        return
    out = console()
    out.print(layer_table("layers", figures))
    out.print(kernel_table("kernels", figures))
    out.print(summary("one inference", figures))
    known = remarks(figures)
    if known:
        out.print(known)
    if measured is not None:
        out.print(measured_table(f"measured at {port}", figures, measured))
        out.print(measured_summary(figures, measured))
    if blocks:
        typer.echo(block_listing(hottest, figures.cycles_estimated or 0))


def _notice(text: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(text)
