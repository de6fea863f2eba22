"""Images on the emulated core: outputs, exact counts, stack, traces, console; and what they must not do."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import toy_bundle
from tinyformer import boards
from tinyformer.errors import EmulatorError, MissingExtraError
from tinyformer.sparse_engine import elf, emulator, toolchain
from tinyformer.sparse_engine.emulator import OVERHEAD, Emulation, TracePoint, session
from tinyformer.sparse_engine.toolchain import disassembly, image

pytestmark = pytest.mark.emulator

DISCO = boards.load("stm32f746g-disco")
INPUTS = toy_bundle.inputs(5)


def run(path: Path, inputs: np.ndarray = INPUTS, **changes: object) -> Emulation:
    arguments = {"name": "toy", "output_bytes": 4, "timeout_s": 30, "board": DISCO, **changes}
    return emulator.run(path, inputs=inputs, **arguments)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bundle = toy_bundle.write(tmp_path_factory.mktemp("toy"), DISCO, golden_input=bytes(range(32)))
    return image.build(bundle, DISCO, toolchain.find(), "toy").elf


@pytest.fixture(scope="module")
def emulation(path: Path) -> Emulation:
    return run(path, trace=[TracePoint(0, "toy_arena", 32), TracePoint(1, "se_app_output", 4)])


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Path]:
    """Build an image with statements at the start of node 1."""

    def build_with(inserted: str, board: boards.Board = DISCO) -> Path:
        bundle = toy_bundle.write(tmp_path, board, inserted=inserted)
        image.link(bundle, bundle / "port", board, toolchain.find(), "toy", tmp_path / "toy.elf")
        return tmp_path / "toy.elf"

    return build_with


def test_outputs(emulation: Emulation) -> None:
    np.testing.assert_array_equal(emulation.outputs, toy_bundle.outputs(INPUTS))


def test_traces_are_what_nodes_leave(emulation: Emulation) -> None:
    np.testing.assert_array_equal(emulation.traces[0], toy_bundle.halved(INPUTS))
    np.testing.assert_array_equal(emulation.traces[1], toy_bundle.outputs(INPUTS))


def test_input_and_arena_can_be_traced_by_address(path: Path) -> None:
    read = elf.read(path)
    points = [
        TracePoint(0, read.symbol("se_app_input").address + 30, 2),
        TracePoint(1, read.symbol("toy_arena").address + 8, 3),
    ]
    traced = run(path, trace=points)
    np.testing.assert_array_equal(traced.traces[0], INPUTS[:, 30:32])
    np.testing.assert_array_equal(traced.traces[1], toy_bundle.halved(INPUTS)[:, 8:11])


def test_tracing_does_not_change_counts(path: Path, emulation: Emulation) -> None:
    assert run(path).instructions_each == emulation.instructions_each


def test_counts_do_not_depend_on_the_input(emulation: Emulation) -> None:
    assert set(emulation.instructions_each) == {emulation.instructions}


def test_layers_and_overhead_sum_to_the_inference(emulation: Emulation) -> None:
    assert sum(emulation.layer_instructions) + emulation.overhead_instructions == emulation.instructions
    assert sum(block.count * block.instructions for block in emulation.blocks) == emulation.instructions
    assert len(emulation.layer_instructions) == 2


def test_blocks_belong_to_the_node_that_calls_the_kernel(path: Path, emulation: Emulation) -> None:
    read = elf.read(path)
    phases = {"toy_halve": {0}, "toy_node_0": {0}, "toy_node_1": {1}, "toy_dot": {1}, "toy_run": {OVERHEAD}}
    found: dict[str, set[int]] = {}
    for block in emulation.blocks:
        function = read.function_at(block.address)
        assert function is not None
        found.setdefault(function.name, set()).add(block.phase)
    assert {name: found[name] for name in found if name in phases} == {n: p for n, p in phases.items() if n in found}
    assert {"toy_node_0", "toy_node_1", "toy_run"} <= set(found)


def test_blocks_hold_as_many_instructions_as_the_disassembly(path: Path, emulation: Emulation) -> None:
    addresses = {instruction.address for instruction in disassembly.instructions(elf.read(path))}
    for block in emulation.blocks:
        inside = range(block.address, block.address + block.size, 2)
        assert sum(address in addresses for address in inside) == block.instructions


def test_count_of_a_loop_written_in_assembly(build: Callable[..., Path], emulation: Emulation) -> None:
    """Insert 3 + 3 * 1000 instructions, one of them skipped by its condition, and find them again."""
    loop = (
        'uint32_t n; __asm__ volatile("movw %0, #1000\\n1:\\n\\tsubs %0, #1\\n\\tnop.w\\n\\tbne 1b\\n\\tit ne\\n\\t'
        'addne %0, #1" : "=r"(n) :: "cc"); (void)n;'
    )
    plain = emulation.layer_instructions[1]
    assert run(build(loop)).layer_instructions[1] - plain == 3 + 3 * 1000


def test_console_shows_the_golden_input_being_replaced(emulation: Emulation) -> None:
    values = " ".join(map(str, emulation.outputs[0]))
    assert emulation.console == f"tinyformer toy on stm32f746g-disco\r\ncycles 0\r\noutput {values}\r\nend\r\n"


@pytest.mark.parametrize("size", [200, 1000])
def test_stack_is_the_high_water_mark(build: Callable[..., Path], emulation: Emulation, size: int) -> None:
    used = run(build(f"int8_t deep[{size}]; toy_halve(toy_arena, deep, 4);")).stack_bytes
    assert size < used <= size + emulation.stack_bytes + 64
    assert emulation.stack_bytes < 200


@pytest.mark.parametrize(
    ("inserted", "message"),
    [
        ("((volatile int8_t *)output)[4] = 1;", "writes outside the 4 bytes of its output"),
        ("((volatile int8_t *)output)[8] = 1;", r"writes where there is no memory \(0xb0000400\) at toy_node_1"),
        ("((volatile int8_t *)output)[-1] = 1;", "writes outside the 4 bytes of its output"),
        ("output[0] = ((volatile const int8_t *)input)[32];", r"reads where there is no memory \(0xa0000400\)"),
        ("((volatile int8_t *)(uintptr_t)input)[0] = 1;", r"writes memory that is read-only \(0xa00003e0\)"),
        ("*(volatile int32_t *)0x08000000 = 1;", r"writes memory that is read-only \(0x08000000\)"),
        ("*(volatile int8_t *)(toy_arena + 256) = 1;", "writes after the end of its arena"),
        ("extern int8_t __bss_end[]; *(volatile int8_t *)__bss_end = 1;", "writes after the end of its variables"),
        ("*(volatile int8_t *)0x20010000 = 1;", r"writes where there is no memory \(0x20010000\) at toy_node_1\+0x"),
        ("int8_t deep[5000]; toy_halve(toy_arena, deep, 4);", "the stack of 4096 bytes is too small"),
        ("((void (*)(void))0x30000001)();", r"from toy_node_1|ends in a jump to where there is no code"),
        ('__asm__ volatile("udf #1");', r"no valid instruction at toy_node_1\+0x"),
        ('__asm__ volatile("bkpt 0xab");', r"ends in bkpt without a debugger at toy_node_1\+0x"),
    ],
)
def test_fault_is_named(build: Callable[..., Path], inserted: str, message: str) -> None:
    with pytest.raises(EmulatorError, match=message) as caught:
        run(build(inserted))
    assert "\n" not in str(caught.value)


def test_time_is_bounded(build: Callable[..., Path]) -> None:
    with pytest.raises(EmulatorError, match=r"did not finish within 0\.5 s"):
        run(build('for (;;) { __asm__ volatile(""); }'), timeout_s=0.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"inputs": toy_bundle.inputs(2)[:, :31]}, "se_app_input has 32 bytes, the caller's 31"),
        ({"output_bytes": 5}, "se_app_output has 4 bytes, the caller's 5"),
        ({"inputs": toy_bundle.inputs(0)}, r"inputs are int8\[0, 32\]: give int8"),
        ({"inputs": toy_bundle.inputs(2).astype(np.float32)}, r"inputs are float32\[2, 32\]"),
        ({"name": "other"}, "no symbol 'other_run'"),
        ({"board": boards.load("nrf52840-dk")}, "not all in the flash of nrf52840-dk: it was built for another board"),
        ({"board": boards.load("nucleo-h743zi2")}, "not all in the RAM of nucleo-h743zi2"),
        ({"trace": [TracePoint(2, "toy_arena", 4)]}, r"names node 2: the image has \[0, 1\]"),
        ({"trace": [TracePoint(0, "no_arena", 4)]}, "no symbol 'no_arena'"),
        ({"trace": [TracePoint(0, 0x3000_0000, 4)]}, "no 4 bytes of memory at 0x30000000"),
    ],
)
def test_wrong_use_is_named(path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(EmulatorError, match=message):
        run(path, **changes)  # type: ignore[arg-type]


def test_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(EmulatorError, match="cannot read the image"):
        run(tmp_path / "none.elf")


def test_missing_package_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session.importlib.util, "find_spec", lambda name: None if name == "unicorn" else object())
    with pytest.raises(MissingExtraError, match="'unicorn', which is not installed"):
        run(path)


@pytest.mark.slow
def test_a_thousand_inferences(path: Path) -> None:
    inputs = toy_bundle.inputs(1000, seed=3)
    np.testing.assert_array_equal(run(path, inputs).outputs, toy_bundle.outputs(inputs))


@pytest.mark.full
@pytest.mark.parametrize("compiler", ["zig", "gcc"])
@pytest.mark.parametrize("name", boards.names())
def test_every_board(tmp_path: Path, name: str, compiler: str) -> None:
    board = boards.load(name)
    built = image.build(toy_bundle.write(tmp_path, board), board, toolchain.find(compiler), "toy")
    result = run(built.elf, board=board)
    np.testing.assert_array_equal(result.outputs, toy_bundle.outputs(INPUTS))
    assert set(result.instructions_each) == {result.instructions}
