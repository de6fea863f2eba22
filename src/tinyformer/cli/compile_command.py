"""``tinyformer compile``: an int8 QDQ ONNX file to a bundle of C, and an image when a compiler is there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tinyformer.cli.output import JsonFlag, console, kilobytes, print_json, table

Model = Annotated[
    Path, typer.Argument(metavar="MODEL.onnx", help="An int8 QDQ ONNX file, or a name from `tinyformer models`.")
]
BoardName = Annotated[str, typer.Option("--board", help="A name from `tinyformer boards`, or a TOML file.")]
Out = Annotated[Path, typer.Option("--out", help="The bundle's directory; replaced when it is a bundle.")]
Optimize = Annotated[Literal["size", "speed", "balanced"], typer.Option("--optimize", help="What encodings aim at.")]
Compiler = Annotated[Literal["zig", "gcc"] | None, typer.Option("--toolchain", help="By default zig, when installed.")]
Name = Annotated[str, typer.Option("--name", help="Prefix of the generated files and identifiers.")]
MaxLatency = Annotated[
    float | None, typer.Option("--max-latency", help="Refuse a model that takes more milliseconds, by prediction.")
]
Softmax = Annotated[Literal["table", "lazy"], typer.Option("--softmax", help="lazy is the paper's bitmap table.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compile")(compile_model)


def compile_model(
    model: Model,
    board: BoardName,
    out: Out,
    optimize: Optimize = "balanced",
    toolchain: Compiler = None,
    name: Name = "model",
    softmax: Softmax = "table",
    max_latency: MaxLatency = None,
    json: JsonFlag = False,
) -> None:
    """Compile a model for a board."""
    from tinyformer.sparse_engine import compiler
    from tinyformer.sparse_engine.toolchain import flashing

    compiled = compiler.compile(
        model,
        board,
        out,
        name=name,
        objective=optimize,
        toolchain=toolchain or compiler.AUTOMATIC,
        softmax=softmax,
        latency_limit_ms=max_latency,
    )
    manifest = compiled.manifest
    built = manifest.image
    flashing_line = None if built is None else flashing.line(manifest.board, str(out / "image" / manifest.name))
    if json:
        print_json(
            {
                "directory": str(out),
                "image": None if compiled.image is None else str(compiled.image),
                "flashing": flashing_line,
                "flash_bytes": compiled.flash_bytes,
                "ram_bytes": compiled.ram_bytes,
                "arena_bytes": manifest.arena.arena_bytes,
                "predicted": built is None,
                "sparse_layers": sum(layer.encoding not in ("", "dense") for layer in manifest.layers),
            }
        )
        return
    how = f"{built.toolchain} {built.toolchain_version}" if built else "predicted; nothing was built"
    flash = "unknown" if compiled.flash_bytes is None else kilobytes(compiled.flash_bytes)
    rows = [
        ("flash", f"{flash} of {kilobytes(manifest.board.flash.size_bytes)}"),
        ("RAM", f"{kilobytes(compiled.ram_bytes)} of {kilobytes(manifest.board.ram.size_bytes)}"),
        ("arena", f"{kilobytes(manifest.arena.arena_bytes)} by {manifest.arena.planner}"),
        ("layers", str(len(manifest.layers))),
        ("figures", how),
        ("bundle", str(out)),
    ]
    console().print(table(f"{model.name} for {manifest.board.name}", ("", ""), rows))
    if flashing_line is not None:
        print(f"to flash it: {flashing_line}")
