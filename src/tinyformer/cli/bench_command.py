"""``tinyformer bench``: the engine's kernels against recorded figures, a model against CMSIS-NN."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Group

from tinyformer.cli.emulate_command import Bundle
from tinyformer.cli.output import JsonFlag, console, kilobytes, print_json, table

if TYPE_CHECKING:
    from tinyformer.benchmarks.cmsis_nn import Comparison

_COLUMNS = (
    "id",
    "layer",
    "instructions",
    "per unit",
    "at most",
    "cycles est.",
    "at most",
    "verdict",
    "at 0 %",
    "CMSIS-NN",
    "ratio",
)
Compiler = Annotated[Literal["zig", "gcc"], typer.Option("--toolchain", help="The compiler to measure with.")]
Only = Annotated[list[str] | None, typer.Option("--only", metavar="ID", help="Only this layer; may be repeated.")]
Include = Annotated[Path | None, typer.Option("--cmsis-nn-include", metavar="D", help="CMSIS-NN's Include directory.")]
Archive = Annotated[
    Path | None, typer.Option("--cmsis-nn-lib", metavar="F", help="Your own build of it, libcmsis-nn.a.")
]
_MODEL_COLUMNS = (
    "layer",
    "operator",
    "encoding",
    "CMSIS-NN's function",
    "engine",
    "CMSIS-NN",
    "ratio",
    "bytes",
    "CMSIS-NN",
)


def register(app: typer.Typer) -> None:
    """Add the command and its subcommands."""
    bench = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Kernels and models on the emulated core.")
    bench.command("kernels")(kernels)
    bench.command("model")(model)
    bench.callback()(_bench)
    app.add_typer(bench, name="bench")


def _bench() -> None:
    """Kernels and models on the emulated core."""


def kernels(toolchain: Compiler = "zig", only: Only = None, json: JsonFlag = False) -> None:
    """Count instructions and estimate cycles of every layer of the speed table on an emulated Cortex-M7."""
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
                f"{row.cycles_per_unit:.2f}",
                "" if layer.at_most_cycles is None else f"{layer.at_most_cycles:g}",
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


def model(directory: Bundle, include: Include = None, archive: Archive = None, json: JsonFlag = False) -> None:
    """Run a bundle and the same model on CMSIS-NN, dense, on the emulated core, and compare layer by layer."""
    from tinyformer.benchmarks.cmsis_nn import Library, compare

    comparison = compare(directory, Library.of(include, archive))
    if json:
        print_json(comparison.to_dict())
        return
    out = console()
    out.print(_layers(comparison))
    out.print(_totals(comparison))


def _layers(comparison: Comparison) -> Group:
    rows = [
        (
            layer.name,
            layer.op,
            layer.encoding,
            layer.cmsis_nn_function or "none: the engine's",
            f"{layer.engine_instructions:,}",
            f"{layer.cmsis_nn_instructions:,}",
            f"{layer.ratio:.2f}",
            f"{layer.engine_weight_bytes:,}" if layer.engine_weight_bytes else "",
            f"{layer.cmsis_nn_weight_bytes:,}" if layer.cmsis_nn_weight_bytes else "",
        )
        for layer in comparison.layers
    ]
    title = f"layers on {comparison.board}, {comparison.toolchain}: instructions and bytes of weights"
    return table(title, _MODEL_COLUMNS, rows, left=4)


def _totals(comparison: Comparison) -> Group:
    engine, other = comparison.engine, comparison.cmsis_nn
    sizes = ("flash", "RAM", "arena")
    pairs = [
        (engine.flash_bytes, other.flash_bytes),
        (engine.ram_bytes, other.ram_bytes),
        (engine.arena_bytes, other.arena_bytes),
    ]
    rows = [
        ("instructions", f"{engine.instructions:,}", f"{other.instructions:,}", f"{comparison.ratio:.2f}"),
        *(
            (name, kilobytes(ours), kilobytes(theirs), f"{theirs / ours:.2f}" if ours else "")
            for name, (ours, theirs) in zip(sizes, pairs, strict=True)
        ),
        ("fits the board", *("yes" if side.fits else "NO" for side in (engine, other)), ""),
        ("largest difference of outputs", "", f"{comparison.largest_difference_steps} steps", ""),
    ]
    return table("one inference", ("", "engine", "CMSIS-NN, dense", "ratio"), rows)
