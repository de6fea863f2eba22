"""The paper's Table II: what the transformer blocks, the second DoT and mixed block sizes are worth.

    python benchmarks/table2.py [--base configs/table2.toml] [--out runs/table2] [--only NAME ...]

Runs the base and its four variants one after the other, each as ``tinyformer run`` would, and writes table2.json and
table2.md beside itself. An interrupted call goes on where it stopped. With the base as it is: about eight hours of two
CPU cores.
"""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tinyformer import config, pipeline

HERE = Path(__file__).parent
BASE = HERE.parent / "configs" / "table2.toml"


@dataclass(frozen=True, slots=True)
class Variant:
    """A row of the table: its name, what it changes in ``[space]``, and the paper's figures."""

    name: str
    title: str
    space: Mapping[str, Any]
    paper_accuracy: float
    paper_storage_kb: int
    dots: int | None = None


VARIANTS = (
    Variant("base", "TinyFormer", {}, 0.9610, 942),
    Variant("no-transformer", "TinyFormer (w/o Tr.)", {"transformer": False}, 0.9462, 963),
    Variant("single-dot", "TinyFormer (Single DoT)", {}, 0.9392, 655, dots=1),
    Variant("block-2", "TinyFormer (Block Size = 2)", {"block_sizes": [2]}, 0.9588, 950),
    Variant("block-4", "TinyFormer (Block Size = 4)", {"block_sizes": [4]}, 0.9552, 962),
)


def run_file(base: Mapping[str, Any], variant: Variant) -> config.RunConfig:
    """Return the base with what a variant changes."""
    space = {**base["space"], **variant.space}
    if variant.dots is not None:
        space["dots"] = space["dots"][: variant.dots]
    return config.parse({**base, "space": space}, f"{variant.name} of the base")


def run(base: Mapping[str, Any], variant: Variant, out: Path) -> dict[str, Any]:
    """Run a variant, or go on with it, and return its row. The space is not judged: an ablation need not suit."""
    directory = out / variant.name
    result = pipeline.run(run_file(base, variant), directory, resume=directory.exists(), force=True)
    return {
        "model": variant.title,
        "accuracy_int8": result["accuracy"]["int8"],
        "accuracy_pruned": result["accuracy"]["pruned"],
        "nonzero_weights": result["nonzero_weights"],
        "flash_bytes": result["flash_bytes"],
        "ram_bytes": result["ram_bytes"],
        "paper": {"accuracy": variant.paper_accuracy, "storage_kb": variant.paper_storage_kb},
    }


def to_markdown(rows: list[dict[str, Any]]) -> str:
    """Return the table, the paper's figures beside."""
    lines = [
        "| model | accuracy, int8 | paper | weights not zero | flash, KB | paper | RAM, KB |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        paper = row["paper"]
        lines.append(
            f"| {row['model']} | {row['accuracy_int8']:.2%} | {paper['accuracy']:.2%} | {row['nonzero_weights']:,} "
            f"| {row['flash_bytes'] / 1024:.0f} | {paper['storage_kb']} | {row['ram_bytes'] / 1024:.0f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, default=BASE, help="the run file that the variants change")
    parser.add_argument("--out", type=Path, default=Path("runs/table2"), help="the folder of the runs")
    parser.add_argument("--into", type=Path, default=HERE, help="the folder of table2.json and table2.md")
    parser.add_argument("--only", nargs="+", choices=[v.name for v in VARIANTS], help="these variants alone")
    arguments = parser.parse_args()
    base = tomllib.loads(arguments.base.read_text(encoding="utf-8"))
    chosen = [v for v in VARIANTS if arguments.only is None or v.name in arguments.only]
    rows: list[dict[str, Any]] = []
    for variant in chosen:
        rows.append(run(base, variant, arguments.out))
        table = {"base": base, "rows": rows, "versions": {name: version(name) for name in ("tinyformer", "torch")}}
        (arguments.into / "table2.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
        (arguments.into / "table2.md").write_text(to_markdown(rows), encoding="utf-8")
        print(to_markdown(rows[-1:]).splitlines()[-1])


if __name__ == "__main__":
    main()
