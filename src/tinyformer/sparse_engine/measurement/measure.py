"""Ask a board for a report and compare it with what the bundle says."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyformer.errors import BoardError, ConfigError
from tinyformer.sparse_engine import graph_file, reference
from tinyformer.sparse_engine.bundle import GRAPH_FILE, Manifest
from tinyformer.sparse_engine.figures import Figures
from tinyformer.sparse_engine.measurement import firmware
from tinyformer.sparse_engine.measurement.firmware import Firmware
from tinyformer.sparse_engine.measurement.protocol import REQUEST, Report, ReportReader
from tinyformer.sparse_engine.measurement.serial_port import SerialPort

BAUD = 115200
"""What the ports of the built-in boards send at."""
TIMEOUT_S = 30.0
_ASK_EVERY_S = 1.0

CONSOLES: Mapping[str, str] = MappingProxyType(
    {
        "stm32f746": "the ST-LINK's USB connector",
        "stm32l4r5": "the ST-LINK's USB connector",
        "mps2": "UART 0",
    }
)
"""A board's startup -> where its console is, for those whose console receives."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One inference on a board: the cycles of each layer by the core's own counter, and the core's clock."""

    layer_cycles: tuple[int, ...]
    clock_hz: int

    @property
    def cycles(self) -> int:
        """The cycles of the inference."""
        return sum(self.layer_cycles)

    def milliseconds(self, cycles: int) -> float:
        """Return the time of cycles at the core's clock."""
        return 1000 * cycles / self.clock_hz

    def beside(self, figures: Figures) -> dict[str, Any]:
        """Return what ``profile --json`` prints: the figures, with what was measured beside what was estimated."""
        joined = figures.to_dict()
        layers = [
            {**layer, "cycles_measured": cycles}
            for layer, cycles in zip(joined["layers"], self.layer_cycles, strict=True)
        ]
        totals = {"cycles_measured": self.cycles, "latency_ms_measured": self.milliseconds(self.cycles)}
        return {**joined, **totals, "layers": layers}


def measure(
    directory: str | Path,
    port: str,
    *,
    baud: int = BAUD,
    timeout_s: float = TIMEOUT_S,
    notice: Callable[[str], None] | None = None,
) -> Measurement:
    """Measure one inference of a bundle on the board that runs its profile image.

    Args:
        directory: a bundle with an image; the profile image is built beside it when it is not there yet.
        port: the serial port of the board, such as /dev/ttyACM0.
        baud: its bits per second.
        timeout_s: how long the board may say nothing.
        notice: called with a sentence when there is something for the user to do meanwhile.

    Raises:
        DataError: the directory is not a bundle.
        ConfigError: the bundle has no image, the board no console, or the port cannot be used.
        BoardError: the board says nothing, runs another image, or computes something else than the reference.
    """
    bundle = Path(directory)
    manifest = Manifest.load(bundle)
    _require_console(manifest)
    image = firmware.prepare(bundle, manifest)
    if image.newly_built and notice is not None:
        notice(f"the profile image is built: {_what_to_do(image, manifest)}")
    with SerialPort(port, baud) as serial:
        report = _ask(serial, image, manifest, timeout_s, f"{port} at {baud} baud")
    _check_output(report, bundle)
    if report.cycles and not any(report.cycles):
        raise BoardError(f"the cycle counter of {manifest.board.name} stands still: reset the board without a debugger")
    return Measurement(report.cycles, manifest.board.clock_hz)


def _require_console(manifest: Manifest) -> None:
    if manifest.board.startup not in CONSOLES:
        raise ConfigError(
            f"the port '{manifest.board.startup}' of {manifest.board.name} has no serial console to measure over:"
            f" use a board with one of {', '.join(CONSOLES)}"
        )


def _what_to_do(image: Firmware, manifest: Manifest) -> str:
    board = manifest.board
    return f"flash {image.files.hex} to the {board.name}, connect {CONSOLES[board.startup]} and reset the board"


def _ask(serial: SerialPort, image: Firmware, manifest: Manifest, timeout_s: float, where: str) -> Report:
    """Ask again and again, as the board may be started later, until a whole report of this image has come."""
    reader = ReportReader()
    now = asked = last_line = time.monotonic()
    serial.write(REQUEST)
    while now < last_line + timeout_s:
        lines = reader.lines_read
        for report in reader.feed(serial.read(min(_ASK_EVERY_S, timeout_s))):
            _check_image(report, image, manifest)
            return report
        now = time.monotonic()
        if reader.lines_read > lines:
            last_line = asked = now
        elif now >= asked + _ASK_EVERY_S:
            serial.write(REQUEST)
            asked = now
    heard = f"{reader.bytes_read} bytes came that are no report" if reader.bytes_read else "nothing came"
    raise BoardError(f"{where}: {heard} for {timeout_s:g} s: {_what_to_do(image, manifest)}")


def _check_image(report: Report, image: Firmware, manifest: Manifest) -> None:
    if (report.image, report.name, len(report.cycles)) != (image.digest, manifest.name, len(manifest.layers)):
        raise BoardError(
            f"the board runs another profile image, {report.image} of '{report.name}' for {report.board}, not"
            f" {image.digest}: {_what_to_do(image, manifest)}"
        )


def _check_output(report: Report, bundle: Path) -> None:
    """Compare with the reference: an inference that computes something else need not be timed."""
    graph = graph_file.load(bundle / GRAPH_FILE)
    expected = zlib.crc32(reference.run(graph, profile_input(graph.tensors[graph.input].shape)).tobytes())
    if report.output_crc32 != expected:
        raise BoardError(
            f"the board computes another output than the reference (CRC-32 {report.output_crc32:08x}, not"
            f" {expected:08x}): flash it again, and if that does not help report it with the bundle"
        )


def profile_input(shape: tuple[int, ...]) -> npt.NDArray[np.int8]:
    """Return the input that a profile image runs on, int8 (1, *shape).

    It is the upper byte of ``state = 1664525 * state + 1013904223`` modulo 2^32, from 1 on, minus 128.
    """
    elements = int(np.prod(shape, dtype=np.int64))
    values = np.empty(elements, np.int16)
    state = 1
    for index in range(elements):
        state = (state * 1664525 + 1013904223) & 0xFFFF_FFFF
        values[index] = (state >> 24) - 128
    return values.astype(np.int8).reshape(1, *shape)
