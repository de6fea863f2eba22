"""Rules are data: every core has them, every one names a source, and what they do not cover is an error."""

import tomllib
from importlib.resources import files

import pytest

from tinyformer import boards
from tinyformer.boards.board import ISA_OPTIONS
from tinyformer.errors import EmulatorError
from tinyformer.sparse_engine import cycles
from tinyformer.sparse_engine.cycles import core, memory
from tinyformer.sparse_engine.cycles.operation import Decoder
from tinyformer.sparse_engine.elf import ElfImage, Segment

MINIMAL = """
core = "x"
issue_width = 1
unaligned_load = { cycles = 0, source = "book" }
sources = { book = "a book" }
[branch]
taken = 1
taken_without_flags = 1
not_taken = 0
mispredicted = 0
mispredicted_flags_early = 0
flags_early_cycles = 0
indirect_mispredicted = 0
source = "book"
[[rules]]
kind = "alu"
mnemonics = ["add"]
unit = "alu"
source = "book"
"""


def test_every_core_has_rules() -> None:
    assert set(cycles.names()) == set(ISA_OPTIONS)
    for name in cycles.names():
        assert cycles.load(name).name == name


def test_unknown_core_is_an_error() -> None:
    with pytest.raises(EmulatorError, match="no rules say how many cycles a cortex-m85 takes: there are some for"):
        cycles.load("cortex-m85")


def test_instruction_without_a_rule_is_an_error() -> None:
    code = bytes.fromhex("eff30080")  # mrs r0, apsr
    image = ElfImage((Segment(0, 0, code, len(code)),), {}, {}, (), (), (), len(code), 0, 0)
    (operation,) = Decoder(image).block(0, 4)
    found = core.parse(tomllib.loads(MINIMAL))
    with pytest.raises(EmulatorError, match="how many cycles 'mrs r0, apsr' at 0x00000000 takes on a x: add 'mrs'"):
        found.rule(operation)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (MINIMAL + MINIMAL[MINIMAL.index("[[rules]]") :], "two rules for 'add'"),
        (MINIMAL.replace('unit = "alu"\nsource = "book"', 'unit = "alu"\nsource = "hearsay"'), "'hearsay'"),
        (MINIMAL.replace('source = "book"\n[[', 'source = "memory"\n[['), "'memory'"),
    ],
)
def test_rules_must_be_sound(changed: str, message: str) -> None:
    with pytest.raises(EmulatorError, match=message):
        core.parse(tomllib.loads(changed))


def test_memory_systems() -> None:
    for name in boards.names():
        board = boards.load(name)
        if board.memory_system is not None:
            found = cycles.load_memory(board.memory_system)
            assert found.source
            assert found.clock_hz == board.clock_hz
    with pytest.raises(EmulatorError, match="memory system 'magnetic-core' is not described: choose one of stm32f746"):
        cycles.load_memory("magnetic-core")


def test_accuracy_names_bands_and_families() -> None:
    assert cycles.accuracy("cortex-m7").error_percent == 15
    assert "softmax" not in cycles.accuracy("cortex-m7").families
    assert cycles.accuracy("cortex-m0plus").error_percent is None
    known = set(tomllib.loads(files(cycles).joinpath("accuracy.toml").read_text()))
    assert known <= set(cycles.names())


def test_lines_of_data() -> None:
    system = cycles.load_memory("stm32f746")
    small = memory.Traffic(0x0800_0000, 0x0800_0400, 1 << 20)
    stream = memory.Traffic(0x0801_0000, 0x0801_8000, 1 << 20)
    assert memory.data_lines(system, [small]) == 0x400 / 32  # fetched once, however often it is read
    assert memory.data_lines(system, [stream]) == (1 << 20) / 32  # larger than the cache: fetched at every reading
    assert memory.data_lines(system, [small, stream]) == 0x400 / 32 + (1 << 20) / 32
    halves = [memory.Traffic(0x0801_0000, 0x0801_4000, 5), memory.Traffic(0x0801_4000, 0x0801_8000, 7)]
    assert memory.data_lines(system, halves) == 12 / 32  # neighbours are one array
