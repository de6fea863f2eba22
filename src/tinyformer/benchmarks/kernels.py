"""Measure the layers of the speed table: compiled as a model is, run on the emulated core, checked, counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import numpy as np

from tinyformer.benchmarks import baseline
from tinyformer.benchmarks.layers import LAYERS, BenchmarkLayer
from tinyformer.errors import ConfigError, EmulatorError
from tinyformer.sparse_engine import compiler, deployment
from tinyformer.sparse_engine.bundle import Manifest
from tinyformer.sparse_engine.ir import Graph
from tinyformer.sparse_engine.synthetic import GraphBuilder

BOARD = "stm32f746g-disco"
_SEED = 1
_NAME = "bench"


@dataclass(frozen=True, slots=True)
class KernelFigures:
    """One layer with one toolchain.

    ``work`` counts dense MACs, elements or outputs, ``effective_work`` the same with MACs by zero weights left out;
    ``instructions`` those of one inference of the layer, whatever it needs included. ``ratio`` is CMSIS-NN's
    instructions over ours. ``instructions_per_unit_at_0_sparsity`` is the same kernel and encoding per MAC with no
    zero block, None for layers that are not sparse. ``cycles_per_unit`` is the estimate of the Cortex-M7's cycles, with
    the STM32F746's memory.
    """

    id: str
    toolchain: str
    work: int
    effective_work: int
    instructions: int
    instructions_per_unit: float
    cmsis_nn_instructions: int | None
    ratio: float | None
    instructions_per_unit_at_0_sparsity: float | None
    cycles_per_unit: float

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as JSON holds them."""
        return asdict(self)

    @property
    def layer(self) -> BenchmarkLayer:
        """The row of the speed table."""
        return LAYERS[self.id]

    @property
    def holds(self) -> bool:
        """Whether the layer costs at most what the table allows, in instructions and, where it says so, in cycles."""
        limit = self.layer.at_most_cycles
        return self.instructions_per_unit <= self.layer.at_most and (limit is None or self.cycles_per_unit <= limit)


@dataclass(frozen=True, slots=True)
class _Count:
    work: int
    effective_work: int
    instructions: int
    cycles: int

    @property
    def per_unit(self) -> float:
        return round(self.instructions / self.effective_work, 4)

    @property
    def cycles_per_unit(self) -> float:
        return round(self.cycles / self.effective_work, 4)


def select(only: Sequence[str] = ()) -> tuple[BenchmarkLayer, ...]:
    """Return the layers of these ids, all when there are none, in the order of the table.

    Raises:
        ConfigError: an id does not exist.
    """
    for wanted in only:
        if wanted not in LAYERS:
            raise ConfigError(f"there is no benchmark '{wanted}': choose from {', '.join(LAYERS)}")
    return tuple(layer for layer in LAYERS.values() if not only or layer.id in only)


def measure(layers: Iterable[BenchmarkLayer], toolchain: str = "zig") -> Iterator[KernelFigures]:
    """Measure layers one after the other on the emulated STM32F746.

    Args:
        layers: from ``select``.
        toolchain: "zig" or "gcc".

    Raises:
        EmulatorError: a program faulted, or its outputs are not those of the reference.
        ToolchainError: the compiler is missing or failed.
        MissingExtraError: the emulator is not installed.
    """
    recorded = baseline.load().cmsis_nn
    for layer in layers:
        count = _count(layer, layer.sparsity, toolchain)
        at_zero = _count(layer, 0.0, toolchain).per_unit if layer.is_sparse else None
        cmsis_nn = recorded[layer.baseline] if layer.baseline else None
        yield KernelFigures(
            id=layer.id,
            toolchain=toolchain,
            work=count.work,
            effective_work=count.effective_work,
            instructions=count.instructions,
            instructions_per_unit=count.per_unit,
            cmsis_nn_instructions=cmsis_nn,
            ratio=None if cmsis_nn is None else round(cmsis_nn / count.instructions, 4),
            instructions_per_unit_at_0_sparsity=at_zero,
            cycles_per_unit=count.cycles_per_unit,
        )


def graph(layer: BenchmarkLayer, sparsity: float) -> Graph:
    """Return a layer, the last node of its graph, with random weights of which a share of blocks is zero."""
    builder = GraphBuilder(layer.input_shape, seed=_SEED, name=layer.id)
    block = 1 if layer.encoding is None else layer.encoding[1]
    return builder.finish(layer.append(builder, sparsity, block))


def _count(layer: BenchmarkLayer, sparsity: float, toolchain: str) -> _Count:
    built = graph(layer, sparsity)
    node = next(node for node in built.nodes if node.output == built.output)
    encodings = {} if layer.encoding is None else {node.name: layer.encoding}
    with TemporaryDirectory(prefix="tinyformer-bench-") as scratch:
        directory = Path(scratch) / _NAME
        compiler.compile_graph(built, BOARD, directory, name=_NAME, toolchain=toolchain, encodings=encodings)
        manifest = Manifest.load(directory)
        emulation = deployment.run(directory, manifest, deployment.golden_inputs(directory))
        golden = np.load(directory / "golden" / "outputs.npy", allow_pickle=False)
        if not np.array_equal(emulation.outputs.ravel(), golden.ravel()):
            raise EmulatorError(
                f"benchmark {layer.id} with {toolchain}: the outputs are not the reference's: nothing counts"
            )
        figures = deployment.figures(directory, manifest, emulation)
    index, record = next((i, r) for i, r in enumerate(manifest.layers) if r.name == node.name)
    elements = prod(record.output_shape)
    work, effective = (record.macs, record.effective_macs) if layer.unit == "MAC" else (elements, elements)
    cycles = cast("int", figures.layers[index].cycles_estimated)  # there are rules for the Cortex-M7
    return _Count(work, effective, emulation.layer_instructions[index], cycles)
