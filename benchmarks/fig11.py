"""The paper's Fig. 11: the engine against CMSIS-NN at growing sparsity, on one TinyFormer model that fits densely.

    python benchmarks/fig11.py [--toolchain zig|gcc]
        [--cmsis-nn-include D --cmsis-nn-lib F --cmsis-nn-origin "commit, compiler, options"]

Writes fig11.json and fig11.svg. CMSIS-NN computes the dense model whatever the sparsity; without a library its results
are those recorded. The second ratio gives CMSIS-NN the engine's softmax, so that nobody takes the softmax's gain for
sparsity's. The paper's figure is about latency: the model is compiled for speed, and beside instructions stand the
cycles that the model of the core estimates for both sides. Storage and latency are those of one image.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import charts
import recording
import searched_model
from sides import by_op, cmsis_nn, measure, recorded_for

from tinyformer.sparse_engine.figures import Figures
from tinyformer.sparse_engine.kernels import Objective

SPARSITIES = (0.0, 0.3, 0.5, 0.7, 0.9)
NAME = "fig11"
MODEL = searched_model.MIXED
OBJECTIVE: Objective = "speed"
BLOCK = 4
SEED = 0
COUNTS = {"instructions": ("by_op", ""), "cycles_estimated": ("cycles_by_op", "cycles_")}
"""What is counted: its sums by operator, and the prefix of its ratios."""


def main() -> None:
    arguments = recording.parser(__doc__).parse_args()
    engine, theirs = both_sides(arguments)
    theirs["by_op"] = by_op((layer["op"], layer["instructions"]) for layer in theirs["layers"])
    theirs["cycles_by_op"] = by_op((layer["op"], layer["cycles_estimated"]) for layer in theirs["layers"])
    with_our_softmax = {
        count: theirs[count] - theirs[ops]["softmax"] + engine[0][ops]["softmax"] for count, (ops, _) in COUNTS.items()
    }
    dense_bytes = sum(layer["weight_bytes"] for layer in theirs["layers"])
    for row in engine:
        for count, (_, prefix) in COUNTS.items():
            row[f"{prefix}ratio"] = round(theirs[count] / row[count], 3)
            row[f"{prefix}ratio_with_our_softmax"] = round(with_our_softmax[count] / row[count], 3)
        row["flash_saved"] = round(1 - row["flash_bytes"] / theirs["flash_bytes"], 4)
        row["weights_saved"] = round(1 - row["weight_bytes"] / dense_bytes, 4)
        print(
            f"{row['sparsity']:4.0%} ratio {row['ratio']:6.2f} (cycles {row['cycles_ratio']:.2f}), with our softmax"
            f" {row['ratio_with_our_softmax']:5.2f} (cycles {row['cycles_ratio_with_our_softmax']:.2f}),"
            f" flash saved {row['flash_saved']:.0%}, weights saved {row['weights_saved']:.0%}"
        )
    record = {
        "command": "python benchmarks/fig11.py",
        "toolchain": arguments.toolchain,
        "model": f"{MODEL}, seed {SEED}, blocks of {BLOCK}",
        "objective": OBJECTIVE,
        "paper": "ratio 5.3 to 12.2, storage saved 9 % to 78 % (Fig. 11)",
        "engine": engine,
        "cmsis_nn_with_our_softmax": with_our_softmax,
        "cmsis_nn": theirs,
    }
    recording.write(NAME, record, arguments.toolchain)
    draw(engine)


def both_sides(arguments: argparse.Namespace) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the engine's row of each sparsity, and what CMSIS-NN takes."""
    library = recording.library(arguments)
    theirs: dict[str, Any] = recording.recorded(NAME).get("cmsis_nn", {})
    engine = []
    with TemporaryDirectory() as scratch:
        for sparsity in SPARSITIES:
            directory = Path(scratch) / f"at{round(100 * sparsity)}"
            graph = searched_model.pruned(MODEL, SEED, sparsity, BLOCK)
            engine.append(row_of(sparsity, measure(graph, arguments.toolchain, directory, OBJECTIVE)))
            if sparsity == 0 and library is not None:
                theirs = cmsis_nn(directory, library, arguments.cmsis_nn_origin)
    return engine, recorded_for(searched_model.pruned(MODEL, SEED, 0.0), theirs)


def row_of(sparsity: float, figures: Figures) -> dict[str, Any]:
    """Return what one image takes."""
    macs = sum(layer.macs for layer in figures.layers)
    return {
        "sparsity": sparsity,
        "instructions": figures.instructions,
        "cycles_estimated": figures.cycles_estimated,
        "flash_bytes": figures.flash_bytes,
        "ram_bytes": figures.ram_bytes,
        "weight_bytes": sum(layer.weight_bytes for layer in figures.layers),
        "weights_zero": round(1 - sum(layer.effective_macs for layer in figures.layers) / macs, 4),
        "by_op": by_op((layer.op, layer.instructions or 0) for layer in figures.layers),
        "cycles_by_op": by_op((layer.op, layer.cycles_estimated or 0) for layer in figures.layers),
        "encodings": sorted({layer.encoding for layer in figures.layers if layer.encoding}),
    }


def draw(engine: list[dict[str, Any]]) -> None:
    """Draw the four ratios over sparsity."""
    series = {
        title: [(100 * row["sparsity"], row[key]) for row in engine]
        for title, key in (
            ("CMSIS-NN, cycles", "cycles_ratio"),
            ("CMSIS-NN, instructions", "ratio"),
            ("with our softmax, cycles", "cycles_ratio_with_our_softmax"),
            ("with our softmax, instructions", "ratio_with_our_softmax"),
        )
    }
    path = recording.HERE / f"{NAME}.svg"
    charts.lines(path, "CMSIS-NN over the engine", "sparsity, per cent", "ratio", series)


if __name__ == "__main__":
    main()
