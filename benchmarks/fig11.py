"""The paper's Fig. 11: the engine against CMSIS-NN at growing sparsity, on one TinyFormer model that fits densely.

    python benchmarks/fig11.py [--toolchain zig|gcc]
        [--cmsis-nn-include D --cmsis-nn-lib F --cmsis-nn-origin "commit, compiler, options"]

Writes fig11.json and fig11.svg. CMSIS-NN computes the dense model whatever the sparsity; without a library its
results are those recorded in fig11.json. The second ratio gives CMSIS-NN the engine's softmax, so that nobody takes the
softmax's gain for sparsity's.
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
                    "flash_bytes": figures.flash_bytes,
                    "ram_bytes": figures.ram_bytes,
                    "weight_bytes": sum(layer.weight_bytes for layer in figures.layers),
                    "weights_zero": round(
                        1 - sum(y.effective_macs for y in figures.layers) / sum(y.macs for y in figures.layers), 4
                    ),
                    "by_op": by_op((layer.op, layer.instructions) for layer in figures.layers),
                    "encodings": sorted({layer.encoding for layer in figures.layers if layer.encoding}),
                }
            )
            print(f"{sparsity:4.0%} {figures.instructions:,} instructions, {figures.flash_bytes:,} bytes of flash")
    theirs = recorded_for(searched_model.pruned(MODEL, SEED, 0.0), theirs)
    theirs["by_op"] = by_op((layer["op"], layer["instructions"]) for layer in theirs["layers"])
    softmax = engine[0]["by_op"]["softmax"]
    with_our_softmax = theirs["instructions"] - theirs["by_op"]["softmax"] + softmax
    for row in engine:
        row["ratio"] = round(theirs["instructions"] / row["instructions"], 3)
        row["ratio_with_our_softmax"] = round(with_our_softmax / row["instructions"], 3)
        row["flash_saved"] = round(1 - row["flash_bytes"] / theirs["flash_bytes"], 4)
        dense_bytes = sum(layer["weight_bytes"] for layer in theirs["layers"])
        row["weights_saved"] = round(1 - row["weight_bytes"] / dense_bytes, 4)
    record = {
        "command": "python benchmarks/fig11.py",
        "toolchain": arguments.toolchain,
        "model": f"{MODEL}, seed {SEED}, blocks of {BLOCK}",
        "paper": "ratio 5.3 to 12.2, storage saved 9 % to 78 % (Fig. 11)",
        "engine": engine,
        "cmsis_nn_with_our_softmax_instructions": with_our_softmax,
        "cmsis_nn": theirs,
    }
    recording.write("fig11", record, arguments.toolchain)
    series = {
        "CMSIS-NN": [(100 * row["sparsity"], row["ratio"]) for row in engine],
        "with our softmax": [(100 * row["sparsity"], row["ratio_with_our_softmax"]) for row in engine],
    }
    path = recording.HERE / "fig11.svg"
    charts.lines(path, "CMSIS-NN's instructions over the engine's", "sparsity, per cent", "ratio", series)
    for row in engine:
        print(
            f"{row['sparsity']:4.0%} ratio {row['ratio']:6.2f}, with our softmax {row['ratio_with_our_softmax']:5.2f},"
            f" flash saved {row['flash_saved']:.0%}, weights saved {row['weights_saved']:.0%}"
        )


if __name__ == "__main__":
    main()
