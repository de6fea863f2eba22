"""Run a bundle's image on the emulated core and report what it did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyformer.errors import ConfigError, DataError
from tinyformer.sparse_engine import cycles, elf, emulator, latency
from tinyformer.sparse_engine.bundle import LayerRecord, Manifest
from tinyformer.sparse_engine.cycles import BlockCycles, Estimate
from tinyformer.sparse_engine.elf import ElfImage
from tinyformer.sparse_engine.emulator import Emulation, TracePoint
from tinyformer.sparse_engine.figures import Figures, layer_figures, milliseconds

Int8Array = npt.NDArray[np.int8]
_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class EmulationResult:
    """Outputs in the model file's layout, and the figures of one inference."""

    outputs: Int8Array
    figures: Figures


def emulate(directory: str | Path, inputs: npt.NDArray[Any], *, timeout_s: float = _TIMEOUT_S) -> EmulationResult:
    """Run a bundle's image on the emulated core.

    Args:
        directory: a bundle with an image.
        inputs: [N, ...] in the model file's layout; int8, uint8 (minus 128) or real values.
        timeout_s: wall time after which the emulator is stopped.

    Raises:
        DataError: the directory is not a bundle, or the inputs do not fit.
        ConfigError: the bundle has no image.
        MissingExtraError: the emulator is not installed.
        EmulatorError: the program faulted or took too long.
    """
    bundle = Path(directory)
    manifest = Manifest.load(bundle)
    samples = manifest.input.from_file_layout(inputs)
    emulation = run(bundle, manifest, samples, timeout_s=timeout_s)
    outputs = emulation.outputs.reshape(len(samples), *manifest.output.shape)
    return EmulationResult(manifest.output.to_file_layout(outputs), figures(bundle, manifest, emulation))


def profile(directory: str | Path, *, timeout_s: float = _TIMEOUT_S) -> Figures:
    """Return what one inference of a bundle's image takes, on its golden inputs.

    Raises:
        As ``emulate``.
    """
    return profile_blocks(directory, 0, timeout_s=timeout_s)[0]


def profile_blocks(
    directory: str | Path, count: int, *, timeout_s: float = _TIMEOUT_S
) -> tuple[Figures, tuple[BlockCycles, ...]]:
    """Return what one inference takes, and the ``count`` blocks that take most of the estimated cycles.

    Raises:
        As ``emulate``.
    """
    bundle = Path(directory)
    manifest = Manifest.load(bundle)
    emulation = run(bundle, manifest, golden_inputs(bundle), timeout_s=timeout_s)
    image = elf.read(image_path(bundle, manifest))
    estimate = latency.estimate(image, manifest.board, emulation)
    return _figures(manifest, image, emulation, estimate), estimate.blocks[:count]


def golden_inputs(directory: Path) -> Int8Array:
    """Return a bundle's golden inputs, (N, *input shape).

    Raises:
        DataError: there are none.
    """
    path = directory / "golden" / "inputs.npy"
    try:
        samples: Int8Array = np.load(path, allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}): compile the model again") from error
    return samples


def run(
    directory: Path,
    manifest: Manifest,
    samples: Int8Array,
    *,
    traced: Sequence[LayerRecord] = (),
    timeout_s: float = _TIMEOUT_S,
) -> Emulation:
    """Run an image on samples in the C function's layout; the outputs of ``traced`` nodes come back as traces.

    Raises:
        As ``emulate``.
    """
    path = image_path(directory, manifest)
    points = _trace_points(elf.read(path), manifest, traced)
    return emulator.run(
        path,
        manifest.board,
        samples.reshape(len(samples), -1),
        name=manifest.name,
        output_bytes=manifest.output.nbytes,
        timeout_s=timeout_s,
        trace=points,
    )


def image_path(directory: Path, manifest: Manifest) -> Path:
    """Return the ELF image of a bundle.

    Raises:
        ConfigError: it was compiled without a toolchain.
    """
    if manifest.image is None:
        raise ConfigError(
            f"{directory} has no image: install ziglang (pip install 'tinyformer[emulator]') and compile again"
        )
    return directory / "image" / f"{manifest.name}.elf"


def _trace_points(image: ElfImage, manifest: Manifest, layers: Sequence[LayerRecord]) -> list[TracePoint]:
    points = []
    for layer in layers:
        if layer.output_place == "output":
            location: str | int = "se_app_output"
        else:
            location = image.symbol(f"{manifest.name}_arena").address + layer.output_offset
        points.append(TracePoint(layer.index, location, prod(layer.output_shape)))
    return points


def figures(directory: Path, manifest: Manifest, emulation: Emulation) -> Figures:
    """Return the figures of an emulated inference."""
    image = elf.read(image_path(directory, manifest))
    return _figures(manifest, image, emulation, latency.estimate(image, manifest.board, emulation))


def _figures(manifest: Manifest, image: ElfImage, emulation: Emulation, estimate: Estimate) -> Figures:
    board, layers = manifest.board, manifest.layers
    each = latency.layer_cycles(estimate, layers)
    return Figures(
        instructions=emulation.instructions,
        cycles_estimated=estimate.cycles,
        latency_ms_estimated=milliseconds(estimate.cycles, board.clock_hz),
        flash_bytes=image.flash_bytes,
        ram_bytes=image.ram_static_bytes + image.stack_reserve_bytes,
        arena_bytes=manifest.arena.arena_bytes,
        stack_bytes=emulation.stack_bytes,
        layers=layer_figures(layers, emulation.layer_instructions, each, board.clock_hz),
        latency_error_percent=cycles.accuracy(board.isa.core).error_percent,
        unvalidated=latency.unvalidated(each, layers, board.isa.core),
        memory_counted=board.memory_system is not None,
    )
