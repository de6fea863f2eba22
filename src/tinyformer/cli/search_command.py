"""``tinyformer search``: SuperNAS and SparseNAS alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from tinyformer.cli import extras
from tinyformer.cli.output import JsonFlag, console, kilobytes, print_json, table
from tinyformer.cli.progress import progress_display
from tinyformer.cli.run_command import Database, Force, OutDir, Resume, TensorBoard, to_resume

RunFile = Annotated[Path, typer.Argument(metavar="RUN.toml", help="The run file.")]
AnalyzeOnly = Annotated[bool, typer.Option("--analyze-only", help="Stop after the space analysis (Algorithm 1).")]
Preset = Annotated[str | None, typer.Option("--preset", help="Another search space preset than the run file's.")]
Ray = Annotated[str | None, typer.Option("--ray", help="Evaluate on Ray: 'auto', or the address of a cluster.")]
TrialCpus = Annotated[int, typer.Option("--trial-cpus", help="Processors that a trial takes on Ray.")]
TrialGpus = Annotated[float, typer.Option("--trial-gpus", help="GPUs that a trial takes on Ray; 0.5: two share one.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("search")(search)


def search(
    run_file: RunFile,
    out: OutDir = Path("runs/search"),
    resume: Resume = False,
    force: Force = False,
    analyze_only: AnalyzeOnly = False,
    preset: Preset = None,
    storage: Database = None,
    ray: Ray = None,
    trial_cpus: TrialCpus = 1,
    trial_gpus: TrialGpus = 0.0,
    tensorboard: TensorBoard = False,
    json: JsonFlag = False,
) -> None:
    """Search the supernet (Algorithms 1 and 2) and the sparse single-path model (Algorithm 3)."""
    if not analyze_only:
        extras.require("search", extras.SEARCH)
    from tinyformer import config, pipeline

    settings = config.load(run_file)
    if preset is not None:
        settings = settings.with_preset(preset)
    if analyze_only:
        analysis = pipeline.analyze_space(settings)
        print_json(analysis) if json else typer.echo(analysis["verdict"])
        return
    machines = pipeline.Machines(storage, ray, trial_cpus, trial_gpus)
    try:
        with progress_display() as progress:
            found = pipeline.search(
                settings,
                out,
                resume=resume,
                force=force,
                machines=machines,
                progress=progress,
                tensorboard=tensorboard,
            )
    except KeyboardInterrupt:
        given = {"--preset": preset, "--force": force, "--tensorboard": tensorboard}
        again = to_resume("search", run_file, out, machines, given)
        typer.echo(f"interrupted; go on with: {again}", err=True)
        raise typer.Exit(130) from None
    if json:
        print_json(found)
        return
    show(found)


def show(found: Mapping[str, Any]) -> None:
    """Print the summary of a search: what each algorithm saw, and the front."""
    screening = found["screening"]
    rows = [
        ("search space", f"{found['space']}, {found['acceptance']:.1%} of its models suit the limits"),
        ("supernets accepted", f"{found['supernets_accepted']} of {found['supernets_seen']}"),
        ("accuracy of the best one's paths", f"{found['supernet_accuracy']:.1%}"),
        *([("candidates screened that fit", _share(screening))] if screening else []),
        ("candidates trained", f"{found['candidates_accepted']} of {found['candidates_seen']}"),
        ("best candidate", found["best_candidate"]),
    ]
    console().print(table("search", ("", ""), rows))
    console().print(table("front", ("model", "int8 accuracy", "flash", "RAM", "latency"), map(_member, found["front"])))


def _share(tally: Mapping[str, Any]) -> str:
    return f"{tally['accepted']} of {tally['seen']}"


def _member(member: Mapping[str, Any]) -> tuple[str, ...]:
    latency = member.get("latency_ms")
    return (
        member["model"],
        f"{member['accuracy']:.2%}",
        kilobytes(member["flash_bytes"]),
        kilobytes(member["ram_bytes"]),
        "unknown" if latency is None else f"{latency:.1f} ms",
    )
