"""The address that a faulting load or store accesses, from the instruction and the registers."""

import pytest

from tinyformer.sparse_engine.emulator import fault

REGISTERS = {"r0": 0x1000, "r1": 0x20, "r2": 0x300, "sp": 0x2000_0100, "r7": 0xFFFF_FFF0}


@pytest.mark.parametrize(
    ("code", "text", "address"),
    [
        ("4371", "strb r3, [r0, #5]", 0x1005),
        ("4354", "strb r3, [r0, r1]", 0x1020),
        ("50f82120", "ldr.w r2, [r0, r1, lsl #2]", 0x1080),
        ("50f8043b", "ldr r3, [r0], #4", 0x1000),
        ("50f8043f", "ldr r3, [r0, #4]!", 0x1004),
        ("10f8053c", "ldrb r3, [r0, #-0x5]", 0x0FFB),
        ("1cc8", "ldm r0!, {r2, r3, r4}", 0x1000),
        ("d0e90234", "ldrd r3, r4, [r0, #8]", 0x1008),
        ("30b5", "push {r4, r5, lr}", 0x2000_00F4),
        ("30bd", "pop {r4, r5, pc}", 0x2000_0100),
        ("2ded048b", "vpush {d8, d9}", 0x2000_00F0),
        ("014b", "ldr r3, [pc, #4]", 0x0800_000C),
        ("90ed020a", "vldr s0, [r0, #8]", 0x1008),
        ("7c69", "ldr r4, [r7, #0x14]", 0x4),
    ],
)
def test_data_address(code: str, text: str, address: int) -> None:
    instruction = fault.decode(bytes.fromhex(code), 0x0800_0004)
    assert instruction is not None
    assert f"{instruction.mnemonic} {instruction.op_str}" == text
    assert fault.data_address(instruction, REGISTERS.__getitem__) == address


def test_what_accesses_no_memory() -> None:
    instruction = fault.decode(bytes.fromhex("8818"), 0)  # adds r0, r1, r2
    assert fault.data_address(instruction, REGISTERS.__getitem__) is None
