"""Measure the kernels with both toolchains and write benchmarks/kernels.json.

    python benchmarks/kernels.py [--toolchain zig gcc] [--only ID ...]

A toolchain or layer that is left out keeps its recorded figures.
"""

from __future__ import annotations

import argparse
import json
from importlib.metadata import version
from pathlib import Path

from tinyformer.benchmarks import baseline, kernels
from tinyformer.benchmarks.layers import LAYERS
from tinyformer.sparse_engine import toolchain

RECORD = Path(__file__).parent / "kernels.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--toolchain", nargs="*", default=list(toolchain.TOOLCHAINS), choices=list(toolchain.TOOLCHAINS)
    )
    parser.add_argument("--only", nargs="*", default=[], metavar="ID")
    arguments = parser.parse_args()
    recorded = json.loads(RECORD.read_text()) if RECORD.exists() else {"kernels": [], "versions": {}}
    versions = recorded["versions"] | {name: version(name) for name in ("tinyformer", "unicorn")}
    rows = {(row["toolchain"], row["id"]): row for row in recorded["kernels"]}
    for name in arguments.toolchain:
        versions[{"zig": "ziglang"}.get(name, name)] = toolchain.find(name).version()
        for row in kernels.measure(kernels.select(arguments.only), name):
            print(f"{name} {row.id:20} {row.instructions_per_unit:8.2f}  at most {row.layer.at_most:g}")
            rows[name, row.id] = row.to_dict()
    order = [(name, layer) for name in toolchain.TOOLCHAINS for layer in LAYERS]
    record = {
        "command": "python benchmarks/kernels.py",
        "board": kernels.BOARD,
        "versions": dict(sorted(versions.items())),
        "cmsis_nn": dict(baseline.load().provenance),
        "kernels": [rows[key] for key in order if key in rows],
    }
    RECORD.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
