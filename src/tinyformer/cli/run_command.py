"""``tinyformer run``: the whole way, from a dataset to a proven image."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinyformer.cli import extras
from tinyformer.cli.figures import latency_text
from tinyformer.cli.output import JsonFlag, console, kilobytes, print_json, table
from tinyformer.cli.progress import progress_display

if TYPE_CHECKING:
    from tinyformer.pipeline import Machines

RunFile = Annotated[
    Path | None, typer.Argument(metavar="[RUN.toml]", help="The run file; without one: digits on stm32f746g-disco.")
]
OutDir = Annotated[Path, typer.Option("--out", help="The run's folder.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")]
Force = Annotated[bool, typer.Option("--force", help="Search even a space that the analysis does not accept.")]
Database = Annotated[
    str | None,
    typer.Option("--storage", metavar="URL", help="Keep the trials in a database, such as sqlite:///trials.db."),
]
TensorBoard = Annotated[
    bool, typer.Option("--tensorboard", help="Write every training's epochs for TensorBoard into <out>/tensorboard.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run")(run)


def run(
    out: OutDir,
    run_file: RunFile = None,
    resume: Resume = False,
    force: Force = False,
    storage: Database = None,
    tensorboard: TensorBoard = False,
    json: JsonFlag = False,
) -> None:
    """Search, prune, quantise, compile and prove a model; writes result.json and report.html into the folder."""
    extras.require("run", extras.RUN)
    from tinyformer import config, pipeline

    settings = config.demo() if run_file is None else config.load(run_file)
    machines = pipeline.Machines(storage)
    again = to_resume("run", run_file, out, machines, {"--force": force, "--tensorboard": tensorboard})
    try:
        with progress_display() as progress:
            result = pipeline.run(
                settings,
                out,
                resume=resume,
                force=force,
                machines=machines,
                progress=progress,
                tensorboard=tensorboard,
            )
    except KeyboardInterrupt:
        typer.echo(f"interrupted; go on with: {again}", err=True)
        raise typer.Exit(130) from None
    if json:
        print_json(result)
    else:
        show(result, out)


def to_resume(command: str, run_file: Path | None, out: Path, machines: Machines, options: Mapping[str, object]) -> str:
    """Return the command that resumes a run; the database's URL may have a password and is left out.

    Args:
        command: "run" or "search".
        run_file: as given.
        out: the run's folder.
        machines: what it runs on.
        options: other options as given; those of no value are left out, and True is a flag.
    """
    given = {
        "--storage": "URL" if machines.database else None,
        "--ray": machines.ray,
        "--trial-cpus": machines.trial_cpus if machines.trial_cpus != 1 else None,
        "--trial-gpus": f"{machines.trial_gpus:g}" if machines.trial_gpus else None,
        **options,
    }
    words = ["tinyformer", command, *([] if run_file is None else [run_file]), "--out", out, "--resume"]
    for option, value in given.items():
        if value:
            words += [option] if value is True else [option, value]
    return shlex.join(map(str, words))


def _origin(search: dict[str, Any]) -> tuple[str, str]:
    if "start" in search:
        return "trained on from", search["start"]
    return "candidates trained", f"{search['candidates_accepted']} of {search['candidates_seen']}"


def show(result: dict[str, Any], out: Path) -> None:
    """Print what a run came to."""
    accuracy, limits = result["accuracy"], result["limits"]
    search, teacher = result["search"], result.get("teacher")
    weighted = [layer for layer in result["layers"] if layer["weight_bytes"] and layer["macs"]]
    sparse = [layer for layer in weighted if layer["encoding"] != "dense"]
    rows = [
        ("accuracy, float dense", f"{accuracy['float']:.2%}"),
        ("accuracy, float pruned", f"{accuracy['pruned']:.2%}"),
        ("accuracy, int8 C on the host", f"{accuracy['int8']:.2%}"),
        ("accuracy, int8 on the emulated core", f"{accuracy['device']:.2%} of {accuracy['device_samples']} images"),
        ("reference = host C = emulated core", "bit-exact" if result["bit_exact"] else "NOT EQUAL"),
        ("weights not zero", f"{result['nonzero_weights']:,} ({result['weight_sparsity']:.0%} are zero)"),
        ("layers stored sparse", f"{len(sparse)} of {len(weighted)}"),
        ("flash of the image", f"{kilobytes(result['flash_bytes'])} of {kilobytes(limits['flash_bytes'])}"),
        ("RAM of the image", f"{kilobytes(result['ram_bytes'])} of {kilobytes(limits['ram_bytes'])}"),
        ("instructions per inference", f"{result['instructions']:,}"),
        (
            "latency",
            latency_text(result["latency_ms_estimated"], result["latency_error_percent"], result["memory_counted"]),
        ),
        _origin(search),
        *([] if teacher is None else [("learnt from", teacher["file"])]),
    ]
    console().print(table(f"{result['name']} on {result['board']}", ("", ""), rows))
    console().print(f"report: {out / 'report.html'}")
