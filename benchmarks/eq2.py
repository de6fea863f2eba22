"""The paper's Eq. 2 against real bytes: how much smaller the block code makes weights, counts and padding included.

    python benchmarks/eq2.py

Writes eq2.json and eq2.svg: dense bytes over coded bytes for a whole TinyFormer model whose layers are pruned alike in
blocks of 2 and 4, by Eq. 2 and as encoded. Layers that pruning leaves alone are left out.
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
CODE = "block_rle"


def real_ratio(graph: Graph, dense: Graph, names: Sequence[str], block: int) -> tuple[float, float]:
    """Return (dense bytes over coded bytes, share of zero weights) of layers in blocks of one size."""
    nodes = {node.name: node for node in graph.nodes}
    coded = zeros = total = 0
    for name in names:
        weights = graph.data[nodes[name].inputs[1]]
        nbytes = coding.ENCODINGS[CODE].nbytes(weights, block)
        assert nbytes is not None
        coded, zeros, total = coded + nbytes, zeros + int((weights == 0).sum()), total + weights.size
    assert total == sum(dense.data[nodes[name].inputs[1]].size for name in names)
    return total / coded, zeros / total


def main() -> None:
    dense = searched_model.pruned(MODEL, 0, 0.0)
    most = searched_model.pruned(MODEL, 0, 0.9)
    names = [
        node.name
        for node in dense.nodes
        if isinstance(node.op, ops.Conv2D | ops.Linear) and (most.data[node.inputs[1]] == 0).any()
    ]
    rows = []
    for block in BLOCKS:
        for sparsity in SPARSITIES:
            real, zeros = real_ratio(searched_model.pruned(MODEL, 0, sparsity, block), dense, names, block)
            equation = coding.compression_ratio(zeros, block)
            rows.append(
                {
                    "block": block,
                    "sparsity": sparsity,
                    "zero_weights": round(zeros, 4),
                    "eq2": round(equation, 4),
                    "real": round(real, 4),
                    "real_over_eq2": round(real / equation, 4),
                }
            )
            print(f"blocks of {block}, {sparsity:3.0%}: Eq. 2 {equation:6.3f}, real {real:6.3f}")
    record = {"command": "python benchmarks/eq2.py", "model": f"{MODEL}", "layers": len(names), "rows": rows}
    (recording.HERE / "eq2.json").write_text(json.dumps(record, indent=1) + "\n")
    series = {}
    for block in BLOCKS:
        for key, label in (("eq2", "Eq. 2"), ("real", "real bytes")):
            points = [(100 * row["sparsity"], row[key]) for row in rows if row["block"] == block]
            series[f"{label}, blocks of {block}"] = points
    path = recording.HERE / "eq2.svg"
    charts.lines(path, "Dense bytes over coded bytes", "sparsity, per cent", "ratio", series)


if __name__ == "__main__":
    main()
