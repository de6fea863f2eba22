"""The paper's Fig. 11: the engine against CMSIS-NN at growing sparsity, on one TinyFormer model that fits densely.

    python benchmarks/fig11.py [--toolchain zig|gcc]
        [--cmsis-nn-include D --cmsis-nn-lib F --cmsis-nn-origin "commit, compiler, options"]

Writes fig11.json and fig11.svg. CMSIS-NN computes the dense model whatever the sparsity; without a library its
results are those recorded in fig11.json. The second ratio gives CMSIS-NN the engine's softmax, so that nobody takes the
softmax's gain for sparsity's. The paper's figure is about latency: beside instructions stand the cycles that the model
of the core estimates for both sides. Storage and latency are those of one image, compiled as the compiler does unasked.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import charts
import recording
import searched_model
from sides import by_op, cmsis_nn, measure, recorded_for

SPARSITIES = (0.0, 0.3, 0.5, 0.7, 0.9)
MODEL = searched_model.CONVOLUTIONS
BLOCK = 4
SEED = 0


def main() -> None:
    arguments = recording.parser(__doc__).parse_args()
    library = recording.library(arguments)
    before = recording.recorded("fig11")
    engine: list[dict[str, Any]] = []
    theirs: dict[str, Any] = before.get("cmsis_nn", {})
    with TemporaryDirectory() as scratch:
        for sparsity in SPARSITIES:
            directory = Path(scratch) / f"at{round(100 * sparsity)}"
            graph = searched_model.pruned(MODEL, SEED, sparsity, BLOCK)
            figures = measure(graph, arguments.toolchain, directory)
            if sparsity == 0 and library is not None:
                theirs = cmsis_nn(directory, library, arguments.cmsis_nn_origin)
            engine.append(
                {
                    "sparsity": sparsity,
                    "instructions": figures.instructions,
                    "cycles_estimated": figures.cycles_estimated,
                    "flash_bytes": figures.flash_bytes,
                    "ram_bytes": figures.ram_bytes,
                    "weight_bytes": sum(layer.weight_bytes for layer in figures.layers),
                    "weights_zero": round(
                        1 - sum(y.effective_macs for y in figures.layers) / sum(y.macs for y in figures.layers), 4
                    ),
                    "by_op": by_op((layer.op, layer.instructions) for layer in figures.layers),
                    "cycles_by_op": by_op((layer.op, layer.cycles_estimated) for layer in figures.layers),
                    "encodings": sorted({layer.encoding for layer in figures.layers if layer.encoding}),
                }
            )
            print(
                f"{sparsity:4.0%} {figures.instructions:,} instructions, {figures.cycles_estimated:,} cycles,"
                f" {figures.flash_bytes:,} bytes of flash"
            )
    theirs = recorded_for(searched_model.pruned(MODEL, SEED, 0.0), theirs)
    theirs["by_op"] = by_op((layer["op"], layer["instructions"]) for layer in theirs["layers"])
    theirs["cycles_by_op"] = by_op((layer["op"], layer["cycles_estimated"]) for layer in theirs["layers"])
    with_our_softmax = {
        count: theirs[count] - theirs[ops]["softmax"] + engine[0][ops]["softmax"]
        for count, ops in (("instructions", "by_op"), ("cycles_estimated", "cycles_by_op"))
    }
    for row in engine:
        for count, prefix in (("instructions", ""), ("cycles_estimated", "cycles_")):
            row[f"{prefix}ratio"] = round(theirs[count] / row[count], 3)
            row[f"{prefix}ratio_with_our_softmax"] = round(with_our_softmax[count] / row[count], 3)
        row["flash_saved"] = round(1 - row["flash_bytes"] / theirs["flash_bytes"], 4)
        dense_bytes = sum(layer["weight_bytes"] for layer in theirs["layers"])
        row["weights_saved"] = round(1 - row["weight_bytes"] / dense_bytes, 4)
    record = {
        "command": "python benchmarks/fig11.py",
        "toolchain": arguments.toolchain,
        "model": f"{MODEL}, seed {SEED}, blocks of {BLOCK}",
        "paper": "ratio 5.3 to 12.2, storage saved 9 % to 78 % (Fig. 11)",
        "engine": engine,
        "cmsis_nn_with_our_softmax": with_our_softmax,
        "cmsis_nn": theirs,
    }
    recording.write("fig11", record, arguments.toolchain)
    series = {
        title: [(100 * row["sparsity"], row[key]) for row in engine]
        for title, key in (
            ("CMSIS-NN, cycles", "cycles_ratio"),
            ("CMSIS-NN, instructions", "ratio"),
            ("with our softmax, cycles", "cycles_ratio_with_our_softmax"),
            ("with our softmax, instructions", "ratio_with_our_softmax"),
        )
    }
    path = recording.HERE / "fig11.svg"
    charts.lines(path, "CMSIS-NN over the engine", "sparsity, per cent", "ratio", series)
    for row in engine:
        print(
            f"{row['sparsity']:4.0%} ratio {row['ratio']:6.2f} (cycles {row['cycles_ratio']:.2f}), with our softmax"
            f" {row['ratio_with_our_softmax']:5.2f} (cycles {row['cycles_ratio_with_our_softmax']:.2f}),"
            f" flash saved {row['flash_saved']:.0%}, weights saved {row['weights_saved']:.0%}"
        )


if __name__ == "__main__":
    main()
