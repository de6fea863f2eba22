"""``tinyformer bench``: the engine's kernels against recorded figures."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from tinyformer.cli.output import JsonFlag, console, print_json, table

_COLUMNS = ("id", "layer", "instructions", "per unit", "at most", "verdict", "at 0 %", "CMSIS-NN", "ratio")
Compiler = Annotated[Literal["zig", "gcc"], typer.Option("--toolchain", help="The compiler to measure with.")]
Only = Annotated[list[str] | None, typer.Option("--only", metavar="ID", help="Only this layer; may be repeated.")]


def register(app: typer.Typer) -> None:
    """Add the command and its subcommands."""
    bench = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Kernels and models on the emulated core.")
    bench.command("kernels")(kernels)
    bench.callback()(_bench)
    app.add_typer(bench, name="bench")


def _bench() -> None:
    """Kernels and models on the emulated core."""


def kernels(toolchain: Compiler = "zig", only: Only = None, json: JsonFlag = False) -> None:
    """Count the instructions of every layer of the speed table on an emulated Cortex-M7."""
    from tinyformer.benchmarks import baseline
    from tinyformer.benchmarks import kernels as benchmark

    figures = list(benchmark.measure(benchmark.select(only or ()), toolchain))
    if json:
        print_json({"kernels": [row.to_dict() for row in figures]})
        return
    fp32 = baseline.load().fp32
    rows = []
    for row in figures:
        layer, at_zero = row.layer, row.instructions_per_unit_at_0_sparsity
        other = f"{row.cmsis_nn_instructions:,}" if row.cmsis_nn_instructions else ""
        if layer.fp32:
            other = f"fp32 {fp32[layer.fp32]:,}"
        rows.append(
            (
                row.id,
                layer.title,
                f"{row.instructions:,}",
                f"{row.instructions_per_unit:.2f} per {layer.unit}",
                f"{layer.at_most:g}",
                "holds" if row.holds else "MISSES",
                "" if at_zero is None else f"{at_zero:.2f}",
                other,
                "" if row.ratio is None else f"{row.ratio:.2f}",
            )
        )
    out = console()
    out.print(table(f"kernels on the emulated Cortex-M7, {toolchain}", _COLUMNS, rows, left=2))
    missed = sum(not row.holds for row in figures)
    out.print(
        f"{len(figures) - missed} of {len(figures)} hold; CMSIS-NN is always dense, a MAC is one by a non-zero weight"
    )
