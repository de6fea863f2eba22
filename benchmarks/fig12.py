"""The paper's Fig. 12: where the instructions of a TinyFormer model go, and softmax over input sizes.

    python benchmarks/fig12.py [--toolchain zig|gcc]
        [--cmsis-nn-include D --cmsis-nn-lib F --cmsis-nn-origin "commit, compiler, options"]

Writes fig12.json, fig12a.svg (operators at 60 % sparsity) and fig12b.svg (softmax of n x n). Without a library
CMSIS-NN's results are those recorded in fig12.json. What its softmax takes depends on scale and data: scale 0.1.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import charts
import recording
import searched_model
from sides import by_op, cmsis_nn, measure, recorded_for

from tinyformer.sparse_engine.synthetic import GraphBuilder

MODEL = searched_model.ATTENTION
SPARSITY, BLOCK, SEED = 0.6, 4, 0
SIZES = (16, 32, 64, 128, 256)
RARE = "others"


def main() -> None:
    arguments = recording.parser(__doc__).parse_args()
    library = recording.library(arguments)
    before = recording.recorded("fig12")
    dense = searched_model.pruned(MODEL, SEED, 0.0)
    theirs: dict[str, Any] = before.get("cmsis_nn", {})
    old = {row["size"]: row.get("cmsis_nn_instructions") for row in before.get("softmax", [])}
    rows = []
    with TemporaryDirectory() as scratch:
        if library is not None:
            measure(dense, arguments.toolchain, Path(scratch) / "dense")
            theirs = cmsis_nn(Path(scratch) / "dense", library, arguments.cmsis_nn_origin)
        theirs = recorded_for(dense, theirs)
        figures = measure(
            searched_model.pruned(MODEL, SEED, SPARSITY, BLOCK), arguments.toolchain, Path(scratch) / "sparse"
        )
        for size in SIZES:
            b = GraphBuilder((size, size), seed=1)
            directory = Path(scratch) / f"softmax{size}"
            own = measure(b.finish(b.softmax(b.input, searched_model.SOFTMAX_SCALE)), arguments.toolchain, directory)
            count = old.get(size)
            if library is not None:
                count = cmsis_nn(directory, library, "")["layers"][0]["instructions"]
            instructions = own.layers[0].instructions or 0
            ratio = None if count is None else round(count / instructions, 3)
            rows.append({"size": size, "instructions": instructions, "cmsis_nn_instructions": count, "ratio": ratio})
            print(f"softmax {size}x{size}: {instructions:,}, CMSIS-NN {count}, ratio {ratio}")
    ours = by_op((layer.op, layer.instructions or 0) for layer in figures.layers)
    others = by_op((layer["op"], layer["instructions"]) for layer in theirs["layers"])
    theirs["by_op"] = others
    ratio = theirs["instructions"] / (figures.instructions or 1)
    record = {
        "command": "python benchmarks/fig12.py",
        "toolchain": arguments.toolchain,
        "model": f"{MODEL}, seed {SEED}, blocks of {BLOCK}",
        "sparsity": SPARSITY,
        "paper": "softmax takes 94 % of CMSIS-NN's latency, the engine is 6.9 times faster at 60 % sparsity (Fig. 12)",
        "engine": {"instructions": figures.instructions, "by_op": ours},
        "ratio": round(ratio, 3),
        "cmsis_nn_softmax_share": round(others["softmax"] / theirs["instructions"], 4),
        "softmax": rows,
        "cmsis_nn": theirs,
    }
    recording.write("fig12", record, arguments.toolchain)
    bars = {"CMSIS-NN": millions(others), "engine, 60 %": millions(ours)}
    charts.stacked(recording.HERE / "fig12a.svg", "Instructions by operator", "millions", bars)
    series = {
        "CMSIS-NN": [(row["size"], row["cmsis_nn_instructions"]) for row in rows if row["cmsis_nn_instructions"]],
        "engine": [(row["size"], row["instructions"]) for row in rows],
    }
    path = recording.HERE / "fig12b.svg"
    charts.lines(path, "Softmax of n x n", "n", "instructions", series, logarithmic=True)
    print(f"ratio {ratio:.2f}; of CMSIS-NN's instructions {record['cmsis_nn_softmax_share']:.0%} are softmax")


def millions(counts: dict[str, int]) -> dict[str, float]:
    """Return counts in millions, those below 1 % joined."""
    total = sum(counts.values())
    shown = {op: count / 1e6 for op, count in counts.items() if count >= total / 100}
    rest = sum(counts.values()) / 1e6 - sum(shown.values())
    return shown | {RARE: rest}


if __name__ == "__main__":
    main()
