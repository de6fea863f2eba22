"""The paper's Table II: what the transformer blocks, the second DoT and mixed block sizes are worth.

    python benchmarks/table2.py [--base configs/cifar10-ablations.toml] [--out runs/cifar10-ablations] [--only NAME ...]

Runs the base and its four variants one after the other, each as ``tinyformer run`` would, and writes table2.json and
table2.md beside itself. An interrupted call goes on where it stopped. The base is also a row of fig10b.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import variants
from variants import Variant

BASE = "cifar10-ablations.toml"
VARIANTS = (
    Variant("normal", "TinyFormer", paper={"accuracy": 0.9610, "storage_kb": 942}),
    Variant(
        "no-transformer", "TinyFormer (w/o Tr.)", {"transformer": False}, paper={"accuracy": 0.9462, "storage_kb": 963}
    ),
    Variant("single-dot", "TinyFormer (Single DoT)", dots=1, paper={"accuracy": 0.9392, "storage_kb": 655}),
    Variant(
        "block-2", "TinyFormer (Block Size = 2)", {"block_sizes": [2]}, paper={"accuracy": 0.9588, "storage_kb": 950}
    ),
    Variant(
        "block-4", "TinyFormer (Block Size = 4)", {"block_sizes": [4]}, paper={"accuracy": 0.9552, "storage_kb": 962}
    ),
)


def to_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
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


if __name__ == "__main__":
    variants.main("table2", __doc__, BASE, VARIANTS, to_markdown)
