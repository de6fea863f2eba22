"""The command line: thin faces of the Python API, and the only place that prints."""

from __future__ import annotations

import sys

import typer

from tinyformer.cli import (
    analyze_command,
    bench_command,
    boards_command,
    compile_command,
    data_command,
    emulate_command,
    models_command,
    profile_command,
    quantize_command,
    report_command,
    run_command,
    search_command,
    validate_command,
)
from tinyformer.errors import TinyFormerError

app = typer.Typer(
    name="tinyformer",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Design sparse transformers that fit a microcontroller, compile them to C, prove them on an emulated core.",
    epilog="--debug, anywhere on the line, prints the traceback of an error.",
)

for _module in (
    run_command,
    search_command,
    quantize_command,
    compile_command,
    analyze_command,
    emulate_command,
    validate_command,
    profile_command,
    bench_command,
    report_command,
    boards_command,
    models_command,
    data_command,
):
    _module.register(app)


def main() -> None:
    """Run the command line; an error on purpose becomes one line and an exit status."""
    debug = "--debug" in sys.argv
    if debug:
        sys.argv = [argument for argument in sys.argv if argument != "--debug"]
    try:
        app()
    except TinyFormerError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_status)
    except Exception as error:
        if debug:
            raise
        name = type(error).__name__
        print(f"internal error: {name}: {error}; run again with --debug and report it", file=sys.stderr)
        sys.exit(1)
