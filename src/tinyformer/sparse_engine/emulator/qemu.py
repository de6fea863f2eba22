"""The cross-check: the same model sources, linked for one of Arm's MPS2 images and run in QEMU.

The instructions of an inference come from a timer. With QEMU's -icount every instruction takes 2^SHIFT ns, and the
timer ticks every 40 ns, so that the ticks between two readings give the instructions exactly.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from tinyformer import boards
from tinyformer.boards import Board
from tinyformer.errors import EmulatorError
from tinyformer.sparse_engine.emulator.emulation import ENTRY, Emulation
from tinyformer.sparse_engine.emulator.session import check_inputs
from tinyformer.sparse_engine.toolchain import Toolchain, image, port

PROGRAM = "qemu-system-arm"
SHIFT = 7
"""An instruction takes 128 ns, 3.2 ticks: from 7 on a difference of ticks, true to one, gives the instructions exactly.
A larger shift would only make the timer's 32 bits wrap sooner; at 7 they last for 1.3 thousand million instructions."""

_TICK_NS = 40
_EMPTY_FUNCTION_INSTRUCTIONS = 1


def twin(board: Board) -> Board:
    """Return the MPS2 board that QEMU emulates, with the instruction set and stack of a board.

    Raises:
        EmulatorError: QEMU has no such machine for the board's core.
    """
    if board.qemu_machine is None:
        raise EmulatorError(
            f"{board.name} has no QEMU machine for its {board.isa.core}: it is emulated without this cross-check"
        )
    return replace(
        boards.load("mps2-an500"), isa=board.isa, stack_bytes=board.stack_bytes, qemu_machine=board.qemu_machine
    )


def run(
    directory: Path,
    board: Board,
    inputs: npt.NDArray[np.int8],
    *,
    name: str,
    output_bytes: int,
    toolchain: Toolchain,
    timeout_s: float,
) -> Emulation:
    """Link a bundle directory's sources for the board's QEMU machine and run the model once per input.

    ``inputs`` is int8 (N, input bytes), N at least 1. The result has no layers, no blocks and no traces; instructions
    are counted as in the other emulator, and equal; stack_bytes includes the frames of this test program.

    Raises:
        EmulatorError: QEMU is not installed, has no machine for the board, or the program faults, hangs or counts more
            instructions than the timer holds.
        ToolchainError: the sources do not compile.
    """
    check_inputs(inputs)
    machine = twin(board)
    if shutil.which(PROGRAM) is None:
        raise EmulatorError(f"{PROGRAM} is not on the PATH: install QEMU, or do without this cross-check")
    with TemporaryDirectory(prefix="tinyformer-") as scratch:
        work = Path(scratch)
        program = work / "port"
        program.mkdir()
        for file, text in {**port.files(machine, name), **port.qemu_application()}.items():
            (program / file).write_text(text, encoding="utf-8")
        image.link(directory, program, machine, toolchain, name, work / "twin.elf")
        (work / "inputs.bin").write_bytes(inputs.tobytes())
        _start(work, machine, timeout_s)
        return _read_result(work, len(inputs), output_bytes)


def _start(work: Path, machine: Board, timeout_s: float) -> None:
    command = [PROGRAM, "-M", str(machine.qemu_machine), "-kernel", "twin.elf", "-icount", f"shift={SHIFT},sleep=off"]
    command += ["-semihosting", "-display", "none", "-monitor", "none", "-serial", "file:console.txt"]
    try:
        result = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        raise EmulatorError(
            f"QEMU did not finish within {timeout_s:g} s: allow more time, or the program hangs"
        ) from None
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if line.strip()]
        raise EmulatorError(
            f"the program faults in QEMU's {machine.qemu_machine}: {' '.join(lines[:1]) or 'HardFault'}"
        )


def _read_result(work: Path, count: int, output_bytes: int) -> Emulation:
    outputs = np.fromfile(work / "outputs.bin", np.int8)
    counts = np.fromfile(work / "counts.bin", "<u4")
    if outputs.size != count * output_bytes or counts.size != count * 4:
        raise EmulatorError(
            f"QEMU returned {outputs.size} bytes for {count} outputs of {output_bytes}: use this model's input data"
        )
    empty, inference, wrapped, stack = counts.reshape(count, 4).astype(np.int64).T
    if wrapped.any():
        limit = (1 << 32) * _TICK_NS >> SHIFT
        raise EmulatorError(f"an inference takes more than the {limit} instructions that QEMU's timer holds")
    instructions = _instructions(inference) - _instructions(empty) + _EMPTY_FUNCTION_INSTRUCTIONS
    return Emulation(
        outputs=outputs.reshape(count, output_bytes),
        instructions=int(instructions.max()),
        instructions_each=tuple(int(n) for n in instructions),
        layer_instructions=(),
        overhead_instructions=0,
        stack_bytes=int(stack.max()),
        profile=np.zeros(0, ENTRY),
        traces=(),
        console=(work / "console.txt").read_text(errors="replace"),
    )


def _instructions(ticks: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the instructions whose time is nearest to a number of ticks."""
    return (2 * ticks * _TICK_NS + (1 << SHIFT)) >> (SHIFT + 1)
