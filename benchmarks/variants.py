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
BASE = HERE.parent / "configs" / "cifar10.toml"


@dataclass(frozen=True, slots=True)
class Variant:
    """A row of a table.

    Its name, what it changes in ``[space]``, how many DoTs are left, what it changes in ``[finetune]``, and the paper's
    figures.
    """

    name: str
    title: str
    space: Mapping[str, Any] = field(default_factory=dict)
    dots: int | None = None
    finetune: Mapping[str, Any] = field(default_factory=dict)
    paper: Mapping[str, Any] = field(default_factory=dict)


def run_file(base: Mapping[str, Any], variant: Variant) -> config.RunConfig:
    """Return the base with what a variant changes."""
    space = {**base["space"], **variant.space}
    if variant.dots is not None:
        whole = config.parse(base, "the base").space.space(*SHAPE_AND_CLASSES)
        space["dots"] = [asdict(dot) for dot in whole.dots[: variant.dots]]
    finetune = {**base["finetune"], **variant.finetune}
    return config.parse({**base, "space": space, "finetune": finetune}, f"{variant.name} of the base")


def run(base: Mapping[str, Any], variant: Variant, out: Path) -> dict[str, Any]:
    """Run a variant, or go on with it, and return its row. The space is not judged: it need not suit the limits."""
    directory = out / variant.name
    result = pipeline.run(run_file(base, variant), directory, resume=directory.exists(), force=True)
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


def main(
    name: str,
    doc: str | None,
    variants: Sequence[Variant],
    to_markdown: Callable[[Sequence[Mapping[str, Any]]], str],
) -> None:
    """Run the variants that the command line asks for; write <name>.json and <name>.md after each."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, default=BASE, help="the run file that the variants change")
    parser.add_argument("--out", type=Path, default=Path("runs/variants"), help="the folder of the runs")
    parser.add_argument("--into", type=Path, default=HERE, help="the folder of the table")
    parser.add_argument("--only", nargs="+", choices=[v.name for v in variants], help="these variants alone")
    arguments = parser.parse_args()
    settings = tomllib.loads(arguments.base.read_text(encoding="utf-8"))
    rows: list[dict[str, Any]] = []
    for variant in (v for v in variants if arguments.only is None or v.name in arguments.only):
        rows.append(run(settings, variant, arguments.out))
        versions = {package: version(package) for package in ("tinyformer", "torch")}
        table = {"command": f"python benchmarks/{name}.py", "base": settings, "rows": rows, "versions": versions}
        (arguments.into / f"{name}.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
        (arguments.into / f"{name}.md").write_text(to_markdown(rows), encoding="utf-8")
        print(to_markdown(rows[-1:]).splitlines()[-1])
