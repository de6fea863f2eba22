"""QEMU as the cross-check: the same outputs and, to the instruction, the same counts."""

from pathlib import Path

import numpy as np
import pytest

import toy_bundle
from tinyformer import boards
from tinyformer.errors import EmulatorError
from tinyformer.sparse_engine import emulator, toolchain
from tinyformer.sparse_engine.emulator import Emulation, qemu
from tinyformer.sparse_engine.toolchain import image

INPUTS = toy_bundle.inputs(3, seed=5)
CHECKED = [name for name in boards.names() if boards.load(name).qemu_machine is not None]


def _run(bundle: Path, board: boards.Board, compiler: str = "zig", timeout_s: float = 60) -> Emulation:
    return qemu.run(
        bundle,
        board,
        INPUTS,
        name="toy",
        output_bytes=4,
        toolchain=toolchain.find(compiler),
        timeout_s=timeout_s,
    )


@pytest.mark.full
@pytest.mark.emulator
@pytest.mark.parametrize("compiler", ["zig", "gcc"])
@pytest.mark.parametrize("name", CHECKED)
def test_both_emulators_agree(tmp_path: Path, name: str, compiler: str) -> None:
    board = boards.load(name)
    bundle = toy_bundle.write(tmp_path, board)
    built = image.build(bundle, board, toolchain.find(compiler), "toy")
    first = emulator.run(built.elf, board, INPUTS, name="toy", output_bytes=4, timeout_s=60)
    second = _run(bundle, board, compiler)
    np.testing.assert_array_equal(first.outputs, toy_bundle.outputs(INPUTS))
    np.testing.assert_array_equal(second.outputs, first.outputs)
    assert second.instructions_each == first.instructions_each
    assert second.console.startswith("tinyformer toy on mps2-an500\ncycles ")


@pytest.mark.full
@pytest.mark.emulator
@pytest.mark.parametrize("iterations", [1, 2, 3, 10, 999_999])
def test_count_is_exact_at_every_length(tmp_path: Path, iterations: int) -> None:
    """One more pass of a loop of three instructions is three more, whatever the number of ticks."""
    board = boards.load("stm32f746g-disco")
    counts = []
    for passes in (iterations, iterations + 1):
        loop = (
            f'uint32_t n = {passes}; __asm__ volatile("1:\\n\\tsubs %0, #1\\n\\tnop.w\\n\\tbne 1b" : "+r"(n) :: "cc");'
        )
        counts.append(_run(toy_bundle.write(tmp_path, board, inserted=loop), board).instructions)
    assert counts[1] - counts[0] == 3


@pytest.mark.full
@pytest.mark.emulator
def test_stack_counts_too(tmp_path: Path) -> None:
    board = boards.load("stm32f746g-disco")
    deep = "int8_t deep[1000]; toy_halve(toy_arena, deep, 4);"
    assert 1000 < _run(toy_bundle.write(tmp_path, board, inserted=deep), board).stack_bytes < 1300


@pytest.mark.full
@pytest.mark.emulator
def test_unaligned_multiword_access_faults_as_on_hardware(tmp_path: Path) -> None:
    board = boards.load("stm32f746g-disco")
    access = '__asm__ volatile("ldm %0, {r2, r3}" :: "r"(toy_arena + 1) : "r2", "r3");'
    with pytest.raises(EmulatorError, match="faults in QEMU's mps2-an500"):
        _run(toy_bundle.write(tmp_path, board, inserted=access), board)


@pytest.mark.full
@pytest.mark.emulator
def test_program_that_hangs(tmp_path: Path) -> None:
    board = boards.load("stm32f746g-disco")
    with pytest.raises(EmulatorError, match="QEMU did not finish within 1 s"):
        _run(toy_bundle.write(tmp_path, board, inserted='for (;;) { __asm__ volatile(""); }'), board, timeout_s=1)


@pytest.mark.full
@pytest.mark.emulator
def test_timer_that_wraps_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu, "SHIFT", 10)  # 2^32 ticks are 167,772,160 instructions
    board = boards.load("stm32f746g-disco")
    loop = 'uint32_t n = 100000000; __asm__ volatile("1:\\n\\tsubs %0, #1\\n\\tbne 1b" : "+r"(n) :: "cc");'
    with pytest.raises(EmulatorError, match="more than the 167772160 instructions"):
        _run(toy_bundle.write(tmp_path, board, inserted=loop), board)


def test_missing_qemu_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    board = boards.load("stm32f746g-disco")
    with pytest.raises(EmulatorError, match="qemu-system-arm is not on the PATH: install QEMU"):
        _run(toy_bundle.write(tmp_path, board), board)


def test_board_without_a_machine_is_named(tmp_path: Path) -> None:
    board = boards.load("rpi-pico2")
    with pytest.raises(EmulatorError, match="rpi-pico2 has no QEMU machine for its cortex-m33"):
        _run(toy_bundle.write(tmp_path, board), board)


@pytest.mark.parametrize("name", CHECKED)
def test_twin_keeps_what_the_code_depends_on(name: str) -> None:
    board = boards.load(name)
    other = qemu.twin(board)
    assert (other.isa, other.stack_bytes, other.qemu_machine) == (board.isa, board.stack_bytes, board.qemu_machine)
    assert other.startup == "mps2"


@pytest.mark.parametrize("instructions", [1, 2, 3, 17, 1000, 123_456_789, 1_300_000_000])
def test_ticks_true_to_one_give_exact_instructions(instructions: int) -> None:
    exact = instructions * (1 << qemu.SHIFT) / 40
    ticks = np.array([int(exact), int(exact) + 1, int(np.ceil(exact))], np.int64)
    np.testing.assert_array_equal(qemu._instructions(ticks), instructions)
