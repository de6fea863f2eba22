"""The paper's Eq. 2 against real bytes: how much smaller each code makes weights, counts and padding included.

    python benchmarks/eq2.py

Writes eq2.json and eq2.svg: dense bytes over coded bytes for a whole TinyFormer model whose layers are pruned alike in
blocks of 2 and 4, by Eq. 2 and as encoded: in the paper's code, in each of the others, and with the smallest of all for
every layer. Layers that pruning leaves alone are left out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import charts
import recording
import searched_model

from tinyformer.sparse_engine import coding, ops
from tinyformer.sparse_engine.ir import Graph

MODEL = searched_model.CONVOLUTIONS
SPARSITIES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
BLOCKS = (2, 4)
PAPER = "block_rle"
CODES = tuple(name for name in coding.ENCODINGS if name != "dense")
SMALLEST = "smallest"


def real_ratios(graph: Graph, names: Sequence[str], block: int) -> tuple[dict[str, float], float]:
    """Return (code -> dense bytes over coded bytes, share of zero weights) of layers in blocks of one size."""
    nodes = {node.name: node for node in graph.nodes}
    weights = [graph.data[nodes[name].inputs[1]] for name in names]
    total = sum(each.size for each in weights)
    found = {code: [coding.ENCODINGS[code].nbytes(each, block) or 0 for each in weights] for code in CODES}
    assert all(all(sizes) for sizes in found.values())
    found[SMALLEST] = [min(each.size, *sizes) for each, *sizes in zip(weights, *found.values(), strict=True)]
    zeros = sum(int((each == 0).sum()) for each in weights)
    return {code: total / sum(sizes) for code, sizes in found.items()}, zeros / total


def main() -> None:
    most = searched_model.pruned(MODEL, 0, 0.9)
    names = [
        node.name
        for node in most.nodes
        if isinstance(node.op, ops.Conv2D | ops.Linear) and (most.data[node.inputs[1]] == 0).any()
    ]
    rows = []
    for block in BLOCKS:
        for sparsity in SPARSITIES:
            ratios, zeros = real_ratios(searched_model.pruned(MODEL, 0, sparsity, block), names, block)
            equation = coding.compression_ratio(zeros, block)
            rows.append(
                {
                    "block": block,
                    "sparsity": sparsity,
                    "zero_weights": round(zeros, 4),
                    "eq2": round(equation, 4),
                    "real": round(ratios[PAPER], 4),
                    "real_over_eq2": round(ratios[PAPER] / equation, 4),
                    "codes": {code: round(ratio, 4) for code, ratio in ratios.items()},
                }
            )
            real = ", ".join(f"{code} {ratio:6.3f}" for code, ratio in ratios.items())
            print(f"blocks of {block}, {sparsity:3.0%}: Eq. 2 {equation:6.3f}, {real}")
    record = {"command": "python benchmarks/eq2.py", "model": f"{MODEL}", "layers": len(names), "rows": rows}
    (recording.HERE / "eq2.json").write_text(json.dumps(record, indent=1) + "\n")
    series = {}
    for block in BLOCKS:
        rows_of = [row for row in rows if row["block"] == block]
        series[f"Eq. 2, blocks of {block}"] = [(100 * row["sparsity"], row["eq2"]) for row in rows_of]
        for code, label in ((PAPER, "run length"), ("block_rle4", "4 bits"), ("block_bitmap", "bitmap")):
            series[f"{label}, blocks of {block}"] = [(100 * row["sparsity"], row["codes"][code]) for row in rows_of]
    path = recording.HERE / "eq2.svg"
    charts.lines(path, "Dense bytes over coded bytes", "sparsity, per cent", "ratio", series)


if __name__ == "__main__":
    main()
