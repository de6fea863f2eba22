"""The paper's Fig. 10(b): the best model of each search space at the same budget, before and after it was compressed.

    python benchmarks/fig10b.py [--base configs/cifar10-ablations.toml] [--out runs/cifar10-ablations] [--only NAME ...]

Searches the presets small, normal and large one after the other, each as ``tinyformer search`` would, and writes
fig10b.json and fig10b.md beside itself. An interrupted call goes on where it stopped. Accuracies are on the validation
split, as stage two and the test split are not part of it. ``normal`` is also the search of table2.py's base.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import variants
from variants import Variant

from tinyformer import pipeline
from tinyformer.study import load_arrays

BASE = "cifar10-ablations.toml"
VARIANTS = (
    Variant("small", "small", {"preset": "small"}),
    Variant("normal", "normal"),
    # three of these four have no sparse model that fits, and are left out untrained
    Variant("large", "large", {"preset": "large"}, supernas={"supernets": 4}),
)


def searched(base: Mapping[str, Any], variant: Variant, out: Path) -> dict[str, Any]:
    """Search a variant's space, or go on with it, and return the row of the best model found."""
    directory = out / variant.name
    run_file = variants.run_file(base, variant)
    found = pipeline.search(run_file, directory, resume=directory.exists(), force=True)
    best = next(member for member in found["front"] if member["index"] == found["best_candidate"])
    zeros, weights = weight_counts(directory / "sparsenas" / f"candidate-{best['index']:04d}-pruned.safetensors")
    return {
        "model": variant.title,
        "acceptance": found["acceptance"],
        "accuracy_float": found["best_accuracies"]["float"],
        "accuracy_pruned": found["best_accuracies"]["pruned"],
        "accuracy_int8": found["best_accuracies"]["int8"],
        "weight_sparsity": zeros / weights,
        "nonzero_weights": weights - zeros,
        "flash_bytes": best["flash_bytes"],
        "ram_bytes": best["ram_bytes"],
        "latency_ms_estimated": best["latency_ms"],
    }


def weight_counts(file: Path) -> tuple[int, int]:
    """Return how many weights of convolutions and linear layers are zero, and how many there are."""
    arrays, _ = load_arrays(file)
    weights = [array for name, array in arrays.items() if name.endswith(".weight") and array.ndim > 1]
    return sum(int(np.count_nonzero(array == 0)) for array in weights), sum(array.size for array in weights)


def to_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table: the dense model's accuracy, that of the compressed one, and what it takes."""
    lines = [
        "| space | dense | pruned | int8 | zeros | weights not zero | flash, KB | RAM, KB | latency, ms |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row['model']} | {row['accuracy_float']:.1%} | {row['accuracy_pruned']:.1%} "
            f"| {row['accuracy_int8']:.1%} | {row['weight_sparsity']:.0%} | {row['nonzero_weights']:,} "
            f"| {row['flash_bytes'] / 1024:.0f} | {row['ram_bytes'] / 1024:.0f} | {row['latency_ms_estimated']:.0f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    variants.main("fig10b", __doc__, BASE, VARIANTS, to_markdown, searched)
