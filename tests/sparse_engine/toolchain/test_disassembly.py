"""Instructions that a core lacks are found in the image, and literals are not taken for instructions."""

from pathlib import Path

import pytest

import toy_bundle
from tinyformer import boards
from tinyformer.boards import Isa
from tinyformer.errors import ToolchainError
from tinyformer.sparse_engine import elf, toolchain
from tinyformer.sparse_engine.elf import ElfImage
from tinyformer.sparse_engine.toolchain import disassembly, image

DISCO = boards.load("stm32f746g-disco")
M3 = Isa("cortex-m3", dsp=False, fpu="none")
M0PLUS = Isa("cortex-m0plus", dsp=False, fpu="none")
M4_SOFT = Isa("cortex-m4", dsp=True, fpu="none")
M7_DP = Isa("cortex-m7", dsp=True, fpu="dp")

SMLAD = '__asm__ volatile("smlad r0, r1, r2, r3" ::: "r0");'
PKHBT_IN_IT = '__asm__ volatile("cmp r0, #0\\n\\tit eq\\n\\tpkhbteq r0, r1, r2" ::: "r0", "cc");'
VADD_F32 = '__asm__ volatile("vadd.f32 s0, s1, s2" ::: "s0");'
VADD_F64 = '__asm__ volatile(".inst.w 0xEE310B02" ::: "d0");'
VLDR_D = '__asm__ volatile("vldr d0, [%0]" :: "r"(output) : "d0");'
LITERAL = '__asm__ volatile("b 1f\\n\\t.p2align 2\\n\\t.word 0xEE310B02, 0xFB213002\\n1:");'


# without toy_dot, in which the compiler uses SMLABB
MODEL = """#include "toy.h"
#include "toy_kernels.h"
static SE_NOINLINE void toy_node_1(const int8_t *input, int8_t *output)
{
    {inserted}
    toy_halve(input, output, 4);
}
void toy_run(const int8_t *input, int8_t *output)
{
    toy_node_1(input, output);
}
"""


def _link(directory: Path, inserted: str) -> ElfImage:
    bundle = toy_bundle.write(directory, DISCO, inserted=inserted, model=MODEL)
    image.link(bundle, bundle / "port", DISCO, toolchain.find(), "toy", directory / "toy.elf")
    return elf.read(directory / "toy.elf")


@pytest.mark.parametrize(
    ("inserted", "isa", "message"),
    [
        (SMLAD, M3, r"'smlad r0, r1, r2, r3' at toy_node_1\+0x.*cortex-m3 has no DSP extension"),
        (PKHBT_IN_IT, M3, r"'pkhbteq r0, r1, r2' at toy_node_1.*no DSP extension"),
        (VADD_F32, M4_SOFT, r"'vadd.f32 s0, s1, s2' at toy_node_1.*cortex-m4 has no FPU"),
        (VADD_F64, DISCO.isa, r"'vadd.f64 d0, d1, d2' at toy_node_1.*cortex-m7 has no double-precision FPU"),
        ("", M0PLUS, "cortex-m0plus has the instructions of Armv6-M only"),
    ],
    ids=["smlad", "pkhbt in IT", "vadd.f32", "vadd.f64", "thumb-2"],
)
def test_missing_instruction_is_named(tmp_path: Path, inserted: str, isa: Isa, message: str) -> None:
    with pytest.raises(ToolchainError, match=message):
        disassembly.check(_link(tmp_path, inserted), isa)


@pytest.mark.parametrize(
    ("inserted", "isa"),
    [("", M3), (SMLAD, M4_SOFT), (VADD_F32, DISCO.isa), (VLDR_D, DISCO.isa), (VADD_F64, M7_DP), (LITERAL, M3)],
    ids=["plain", "smlad", "vadd.f32", "vldr of a double", "vadd.f64", "literals"],
)
def test_instructions_that_the_core_has_pass(tmp_path: Path, inserted: str, isa: Isa) -> None:
    disassembly.check(_link(tmp_path, inserted), isa)


def test_build_refuses_the_image(tmp_path: Path) -> None:
    bundle = toy_bundle.write(tmp_path, DISCO, inserted=VADD_F64)
    with pytest.raises(ToolchainError, match="double-precision"):
        image.build(bundle, DISCO, toolchain.find(), "toy")


def test_every_function_is_disassembled_to_its_end(tmp_path: Path) -> None:
    read = _link(tmp_path, "")
    found = {instruction.address: instruction for instruction in disassembly.instructions(read)}
    for function in read.functions:
        address = function.address
        while address < function.address + function.size and address in found:
            address += found[address].size
        assert address >= function.address + function.size, function.name


@pytest.mark.full
@pytest.mark.parametrize("name", ["rpi-pico", "nucleo-f103rb"])
@pytest.mark.parametrize("compiler", ["zig", "gcc"])
def test_small_cores_get_only_what_they_have(tmp_path: Path, name: str, compiler: str) -> None:
    board = boards.load(name)
    image.build(toy_bundle.write(tmp_path, board), board, toolchain.find(compiler), "toy")
