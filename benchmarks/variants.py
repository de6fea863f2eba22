"""Variants of one run file, which differ in their search space or in stage two, run one after the other and resumed."""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tinyformer import config, pipeline

HERE = Path(__file__).parent
SHAPE_AND_CLASSES = ((32, 32, 3), 10)  # any would do: a space's DoTs do not depend on them
CONFIGS = HERE.parent / "configs"


@dataclass(frozen=True, slots=True)
class Variant:
    """A row of a table.

    Its name, what it changes in ``[space]``, ``[supernas]`` and ``[finetune]``, how many DoTs are left, and the paper's
    figures.
    """

    name: str
    title: str
    space: Mapping[str, Any] = field(default_factory=dict)
    dots: int | None = None
    supernas: Mapping[str, Any] = field(default_factory=dict)
    finetune: Mapping[str, Any] = field(default_factory=dict)
    paper: Mapping[str, Any] = field(default_factory=dict)


def run_file(base: Mapping[str, Any], variant: Variant) -> config.RunConfig:
    """Return the base with what a variant changes."""
    space = {**base["space"], **variant.space}
    if variant.dots is not None:
        whole = config.parse(base, "the base").space.space(*SHAPE_AND_CLASSES)
        space["dots"] = [asdict(dot) for dot in whole.dots[: variant.dots]]
    sections = {
        "space": space,
        "supernas": {**base["supernas"], **variant.supernas},
        "finetune": {**base["finetune"], **variant.finetune},
    }
    return config.parse({**base, **sections}, f"{variant.name} of the base")


def run(base: Mapping[str, Any], variant: Variant, out: Path) -> dict[str, Any]:
    """Run a variant, or go on with it, and return its row; a finished one is taken as it is.

    The space is not judged: it need not suit the limits.
    """
    directory, wanted = out / variant.name, run_file(base, variant)
    result = finished(wanted, directory) or pipeline.run(wanted, directory, resume=directory.exists(), force=True)
    return {
        "model": variant.title,
        "accuracy_float": result["accuracy"]["float"],
        "accuracy_pruned": result["accuracy"]["pruned"],
        "accuracy_int8": result["accuracy"]["int8"],
        "weight_sparsity": result["weight_sparsity"],
        "nonzero_weights": result["nonzero_weights"],
        "flash_bytes": result["flash_bytes"],
        "ram_bytes": result["ram_bytes"],
        "latency_ms_estimated": result["latency_ms_estimated"],
        "paper": dict(variant.paper),
    }


def finished(wanted: config.RunConfig, directory: Path) -> dict[str, Any] | None:
    """Return what a run came to if its folder holds it whole."""
    result = directory / "result.json"
    if not result.exists() or config.load(directory / "run.toml") != wanted:
        return None
    found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return found


def main(
    name: str,
    doc: str | None,
    base: str,
    variants: Sequence[Variant],
    to_markdown: Callable[[Sequence[Mapping[str, Any]]], str],
    row_of: Callable[[Mapping[str, Any], Variant, Path], dict[str, Any]] | None = None,
) -> None:
    """Run the variants that the command line asks for; write <name>.json and <name>.md after each.

    With ``--only`` the rows of the others stay as they are recorded, if that was with the same base.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, default=CONFIGS / base, help="the run file that the variants change")
    parser.add_argument("--out", type=Path, help="the folder of the runs; runs/<name of the base> when left out")
    parser.add_argument("--into", type=Path, default=HERE, help="the folder of the table")
    parser.add_argument("--only", nargs="+", choices=[v.name for v in variants], help="these variants alone")
    arguments = parser.parse_args()
    settings = tomllib.loads(arguments.base.read_text(encoding="utf-8"))
    out = arguments.out or Path("runs") / arguments.base.stem
    rows = recorded(arguments.into / f"{name}.json", settings) if arguments.only else {}
    for variant in (v for v in variants if arguments.only is None or v.name in arguments.only):
        rows[variant.title] = (row_of or run)(settings, variant, out)
        known = [rows[v.title] for v in variants if v.title in rows]
        versions = {package: version(package) for package in ("tinyformer", "torch")}
        table = {"command": f"python benchmarks/{name}.py", "base": settings, "rows": known, "versions": versions}
        (arguments.into / f"{name}.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
        (arguments.into / f"{name}.md").write_text(to_markdown(known), encoding="utf-8")
        print(to_markdown([rows[variant.title]]).splitlines()[-1])


def recorded(path: Path, base: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the rows that are recorded of a base, by title."""
    record = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"base": None}
    return {row["model"]: row for row in record["rows"]} if record["base"] == base else {}
