"""The two sides of a figure: a model on the engine, and the same model, dense, on CMSIS-NN."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import recording

from tinyformer.benchmarks.cmsis_nn import Library, compare
from tinyformer.sparse_engine import coding, compiler, deployment
from tinyformer.sparse_engine.figures import Figures
from tinyformer.sparse_engine.ir import Graph
from tinyformer.sparse_engine.kernels import Objective


def measure(graph: Graph, toolchain: str, directory: Path, objective: Objective = "balanced") -> Figures:
    """Compile a model and count it."""
    compiler.compile_graph(graph, recording.BOARD, directory, toolchain=toolchain, objective=objective)
    return deployment.profile(directory)


def cmsis_nn(bundle: Path, library: Library, origin: str) -> dict[str, Any]:
    """Return what CMSIS-NN takes for the model of a dense bundle."""
    found = compare(bundle, library)
    layers = [
        {
            "name": layer.name,
            "op": layer.op,
            "function": layer.cmsis_nn_function,
            "instructions": layer.cmsis_nn_instructions,
            "cycles_estimated": layer.cmsis_nn_cycles_estimated,
            "weight_bytes": layer.cmsis_nn_weight_bytes,
        }
        for layer in found.layers
    ]
    return {
        "origin": origin,
        "instructions": found.cmsis_nn.instructions,
        "cycles_estimated": found.cmsis_nn.cycles_estimated,
        "flash_bytes": found.cmsis_nn.flash_bytes,
        "ram_bytes": found.cmsis_nn.ram_bytes,
        "fits": found.cmsis_nn.fits,
        "largest_difference_steps": found.largest_difference_steps,
        "layers": layers,
    }


def by_op(layers: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Return instructions or cycles by operator."""
    total: dict[str, int] = {}
    for op, instructions in layers:
        total[op] = total.get(op, 0) + instructions
    return total


def recorded_for(graph: Graph, record: dict[str, Any]) -> dict[str, Any]:
    """Return CMSIS-NN's recorded results for a model.

    Raises:
        SystemExit: there are none, or they are another model's.
    """
    if not record:
        raise SystemExit("no results of CMSIS-NN are recorded: give --cmsis-nn-include, -lib and -origin")
    ops = [node.op.kind for node in graph.nodes if node.op.kind != "reshape"]
    weights = sum(layer["weight_bytes"] for layer in record["layers"])
    own = sum(graph.tensors[node.inputs[1]].elements for node in graph.nodes if node.name in coding.options(graph))
    if [layer["op"] for layer in record["layers"]] != ops or weights != own:
        raise SystemExit("the recorded results of CMSIS-NN are another model's: give the library")
    return record
