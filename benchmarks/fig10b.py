"""The paper's Fig. 10(b): the best model of each search space at the same budget, and what it lost to fit.

    python benchmarks/fig10b.py [--base configs/cifar10-ablations.toml] [--out runs/cifar10-ablations] [--only NAME ...]

Searches the presets small, normal and large one after the other, each as ``tinyformer run`` would, and writes
fig10b.json and fig10b.md beside itself. An interrupted call goes on where it stopped. ``normal`` is also the base of
table2.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import variants
from variants import Variant

BASE = "cifar10-ablations.toml"
VARIANTS = (
    Variant("small", "small", {"preset": "small"}),
    Variant("normal", "normal"),
    # three of these four have no sparse model that fits, and are left out untrained
    Variant("large", "large", {"preset": "large"}, supernas={"supernets": 4}),
)


def to_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table: accuracy of the dense candidate after the search's few epochs, and of the model that ships."""
    lines = [
        "| space | dense, searched | fine-tuned, int8 | zeros | weights not zero | flash, KB | RAM, KB | latency, ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['model']} | {row['accuracy_float']:.2%} | {row['accuracy_int8']:.2%} "
            f"| {row['weight_sparsity']:.0%} | {row['nonzero_weights']:,} "
            f"| {row['flash_bytes'] / 1024:.0f} | {row['ram_bytes'] / 1024:.0f} | {row['latency_ms_estimated']:.0f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    variants.main("fig10b", __doc__, BASE, VARIANTS, to_markdown)
