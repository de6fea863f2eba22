"""Run a bundle's image and the same model on CMSIS-NN, and put the two side by side."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tinyformer.benchmarks.cmsis_nn import program
from tinyformer.benchmarks.cmsis_nn.library import Library
from tinyformer.errors import ConfigError
from tinyformer.sparse_engine import deployment, elf, emulator, graph_file, latency
from tinyformer.sparse_engine.bundle import Manifest
from tinyformer.sparse_engine.bundle.files import GRAPH_FILE
from tinyformer.sparse_engine.cycles import Estimate
from tinyformer.sparse_engine.kernels import KernelCall
from tinyformer.sparse_engine.passes.split_fused import parent, split_fused
from tinyformer.sparse_engine.toolchain import disassembly

_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class LayerComparison:
    """One node on both: instructions, cycles and weight bytes; ``ratio`` is CMSIS-NN's instructions over the engine's.

    ``cmsis_nn_function`` is empty where CMSIS-NN has nothing for the node and the engine's kernel stands on both sides.
    """

    name: str
    op: str
    encoding: str
    sparsity: float
    cmsis_nn_function: str
    engine_instructions: int
    cmsis_nn_instructions: int
    engine_cycles_estimated: int
    cmsis_nn_cycles_estimated: int
    ratio: float
    engine_weight_bytes: int
    cmsis_nn_weight_bytes: int


@dataclass(frozen=True, slots=True)
class Side:
    """One inference of a whole image; ``fits`` says whether the board has room for it."""

    instructions: int
    cycles_estimated: int
    flash_bytes: int
    ram_bytes: int
    arena_bytes: int
    stack_bytes: int
    fits: bool


@dataclass(frozen=True, slots=True)
class Comparison:
    """A model on the engine and on CMSIS-NN, dense.

    ``largest_difference_steps`` is that between the outputs of the two on the golden inputs: CMSIS-NN rounds twice.
    """

    board: str
    toolchain: str
    engine: Side
    cmsis_nn: Side
    ratio: float
    largest_difference_steps: int
    layers: tuple[LayerComparison, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return asdict(self)


def compare(directory: str | Path, library: Library) -> Comparison:
    """Compare a bundle with the same model on CMSIS-NN, node by node, on the emulated core.

    Args:
        directory: a bundle with an image, whose toolchain compiles the other program too.
        library: the user's CMSIS-NN.

    Raises:
        ConfigError: the bundle has no image.
        DataError: the directory is not a bundle.
        ToolchainError: the library does not link: another core, float ABI or version.
        EmulatorError: one of the programs faulted, for CMSIS-NN also when it refuses a call.
    """
    bundle = Path(directory)
    manifest = Manifest.load(bundle)
    if manifest.image is None:
        raise ConfigError(f"{directory} has no image to compare: compile it with a toolchain")
    graph = graph_file.load(bundle / GRAPH_FILE)
    samples = deployment.golden_inputs(bundle)
    engine = deployment.run(bundle, manifest, samples)
    image = elf.read(deployment.image_path(bundle, manifest))
    with TemporaryDirectory(prefix="tinyformer-bench-") as scratch:
        other = program.build(split_fused(graph), manifest.board, library, manifest.image.toolchain, Path(scratch))
        other_image = elf.read(other.elf)
        disassembly.check(other_image, manifest.board.isa)
        ran = emulator.run(
            other.elf,
            other.board,
            samples.reshape(len(samples), -1),
            name=program.NAME,
            output_bytes=manifest.output.nbytes,
            timeout_s=_TIMEOUT_S,
        )
        other_estimate = latency.estimate(other_image, other.board, ran)
    estimate = latency.estimate(image, manifest.board, engine)
    theirs: dict[str, list[tuple[KernelCall, int, int]]] = defaultdict(list)
    for index, (call, count) in enumerate(zip(other.calls, ran.layer_instructions, strict=True)):
        theirs[parent(call.node.name, graph)].append((call, count, _cycles(other_estimate, index)))
    layers = []
    for record, count in zip(manifest.layers, engine.layer_instructions, strict=True):
        parts = theirs[record.name]
        instructions = sum(part for _, part, _ in parts)
        weight_bytes = sum(call.encoding.nbytes for call, _, _ in parts if call.encoding is not None)
        used = (other.functions.get(call.node.name, "") for call, _, _ in parts)
        layers.append(
            LayerComparison(
                name=record.name,
                op=record.op,
                encoding=record.encoding,
                sparsity=record.sparsity,
                cmsis_nn_function=" + ".join(filter(None, used)),
                engine_instructions=count,
                cmsis_nn_instructions=instructions,
                engine_cycles_estimated=_cycles(estimate, record.index),
                cmsis_nn_cycles_estimated=sum(cycles for _, _, cycles in parts),
                ratio=round(instructions / count, 4),
                engine_weight_bytes=record.weight_bytes,
                cmsis_nn_weight_bytes=weight_bytes,
            )
        )
    difference = np.abs(ran.outputs.astype(np.int16) - engine.outputs.astype(np.int16))
    return Comparison(
        board=manifest.board.name,
        toolchain=manifest.image.toolchain,
        engine=_side(image, engine, estimate, manifest.arena.arena_bytes, manifest),
        cmsis_nn=_side(other_image, ran, other_estimate, other.arena_bytes, manifest),
        ratio=round(ran.instructions / engine.instructions, 4),
        largest_difference_steps=int(difference.max()),
        layers=tuple(layers),
    )


def _cycles(estimate: Estimate, phase: int) -> int:
    found = estimate.phase(phase)
    return 0 if found is None else found.cycles


def _side(
    image: elf.ElfImage, ran: emulator.Emulation, estimate: Estimate, arena_bytes: int, manifest: Manifest
) -> Side:
    ram_bytes = image.ram_static_bytes + image.stack_reserve_bytes
    board = manifest.board
    return Side(
        instructions=ran.instructions,
        cycles_estimated=estimate.cycles,
        flash_bytes=image.flash_bytes,
        ram_bytes=ram_bytes,
        arena_bytes=arena_bytes,
        stack_bytes=ran.stack_bytes,
        fits=image.flash_bytes <= board.flash.size_bytes and ram_bytes <= board.ram.size_bytes,
    )
