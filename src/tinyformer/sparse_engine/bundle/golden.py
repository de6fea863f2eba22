"""Golden vectors: inputs that reach the extremes, with the outputs that every build must give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from tinyformer.sparse_engine import reference
from tinyformer.sparse_engine.fixed_point import INT8_MAX, INT8_MIN
from tinyformer.sparse_engine.ir import Graph

GOLDEN_DIRECTORY = "golden"
_SEED = 20240131
_RANDOM_SAMPLES = 2


def inputs(graph: Graph) -> npt.NDArray[np.int8]:
    """Return seeded inputs: all least, all greatest, alternating extremes, then random values."""
    shape = graph.tensors[graph.input].shape
    alternating = np.resize(np.array([INT8_MIN, INT8_MAX], np.int8), shape)
    constant = [np.full(shape, value, np.int8) for value in (INT8_MIN, INT8_MAX)]
    generator = np.random.default_rng(_SEED)
    random = generator.integers(INT8_MIN, INT8_MAX + 1, (_RANDOM_SAMPLES, *shape)).astype(np.int8)
    return np.concatenate([np.stack([*constant, alternating]), random])


def write(graph: Graph, directory: Path) -> None:
    """Write ``golden/inputs.npy`` and ``golden/outputs.npy``, int8 [N, ...] in the C function's layout."""
    folder = directory / GOLDEN_DIRECTORY
    folder.mkdir()
    samples = inputs(graph)
    np.save(folder / "inputs.npy", samples)
    np.save(folder / "outputs.npy", reference.run(graph, samples))
