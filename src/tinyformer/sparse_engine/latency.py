"""The estimated latency of a bundle: from the blocks that its image executed, or predicted before there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tinyformer.boards import Board
from tinyformer.sparse_engine import cycles
from tinyformer.sparse_engine.bundle import LayerRecord
from tinyformer.sparse_engine.cost import Prediction
from tinyformer.sparse_engine.cycles import Estimate
from tinyformer.sparse_engine.elf import ElfImage
from tinyformer.sparse_engine.emulator import Emulation
from tinyformer.sparse_engine.figures import LayerCycles

_NOTHING = "issue"


def estimate(image: ElfImage, board: Board, emulation: Emulation) -> Estimate:
    """Estimate the cycles of an emulated inference on a board.

    Raises:
        EmulatorError: the core has no rules, or none for an instruction.
    """
    memory = None if board.memory_system is None else cycles.load_memory(board.memory_system)
    flash = board.flash.origin, board.flash.end
    return cycles.estimate(image, emulation.profile, cycles.load(board.isa.core), memory, flash)


def layer_cycles(found: Estimate, layers: Sequence[LayerRecord]) -> tuple[LayerCycles, ...]:
    """Return the estimated cycles of each layer; a layer that executes nothing takes none."""
    phases = {phase.phase: phase for phase in found.phases}
    return tuple(
        LayerCycles(phases[layer.index].cycles, phases[layer.index].bound)
        if layer.index in phases
        else LayerCycles(0, _NOTHING)
        for layer in layers
    )


def predicted_cycles(predicted: Prediction) -> tuple[LayerCycles, ...]:
    """Return the predicted cycles of each layer; what bounds them only the blocks tell."""
    return tuple(LayerCycles(cycles, None) for cycles in predicted.layer_cycles)


def unvalidated(each: Sequence[LayerCycles], layers: Sequence[LayerRecord], core: str) -> Mapping[str, float]:
    """Return the families of kernels that were not compared with silicon, and their shares of the estimated cycles.

    The greatest share comes first.
    """
    known = cycles.accuracy(core).families
    total = max(sum(found.cycles for found in each), 1)
    shares: dict[str, float] = {}
    for layer, found in zip(layers, each, strict=True):
        if family(layer) not in known:
            shares[family(layer)] = shares.get(family(layer), 0.0) + found.cycles / total
    return {name: round(shares[name], 4) for name in sorted(shares, key=lambda name: (-shares[name], name))}


def family(layer: LayerRecord) -> str:
    """Return a layer's family of kernels: its operator, and ``sparse`` where the encoding is."""
    sparse = layer.weight_bytes and layer.encoding != "dense"
    return f"sparse {layer.op}" if sparse else layer.op
