"""How many images a second the compiled model's C classifies on this machine, called from Python.

    python benchmarks/host_speed.py [--images 40]

A model that fits the STM32F746 densely (``CONVOLUTIONS`` of searched_model.py), at 0 and 70 % sparsity, built for the
host by ``tinyformer.load``. One thread; CPU time, so that other work on the machine counts little. Writes
host_speed.json beside itself: machines differ, so the figures are of one machine.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import recording
import searched_model

from tinyformer.sparse_engine import compiler, host

SPARSITIES = (0.0, 0.7)
SEED = 0
MACS = 180_000_000
"""Of the model that the rate is also given for."""


def measure(sparsity: float, images: int) -> dict[str, Any]:
    """Return the rate of one model."""
    graph = searched_model.pruned(searched_model.CONVOLUTIONS, SEED, sparsity)
    macs = sum(graph.macs(node) for node in graph.nodes)
    shape = graph.tensors[graph.input].shape
    inputs = np.random.default_rng(SEED).integers(-128, 128, (images, *shape)).astype(np.int8)
    with TemporaryDirectory() as scratch:
        compiler.compile_graph(graph, recording.BOARD, Path(scratch) / "model")
        model = host.load(Path(scratch) / "model")
        model(inputs[:1])
        start = time.process_time()
        model(inputs)
        seconds = time.process_time() - start
    rate = images / seconds
    return {
        "sparsity": sparsity,
        "macs": macs,
        "images_per_cpu_second": round(rate, 1),
        "images_per_cpu_second_of_180_million_macs": round(rate * macs / MACS, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=40, help="images to classify")
    images = parser.parse_args().images
    rows = [measure(sparsity, images) for sparsity in SPARSITIES]
    for row in rows:
        print(
            f"{row['sparsity']:.0%} zero, {row['macs'] / 1e6:.0f} million MACs: {row['images_per_cpu_second']} images a"
            f" second; {row['images_per_cpu_second_of_180_million_macs']} of 180 million MACs"
        )
    recording.write("host_speed", {"command": "python benchmarks/host_speed.py", "rows": rows}, "zig")


if __name__ == "__main__":
    main()
