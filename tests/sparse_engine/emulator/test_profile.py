"""The block hook: counting by (phase, address, size), instruction lengths, and refusing to lose blocks."""

import ctypes
from pathlib import Path

import pytest

from tinyformer.errors import EmulatorError
from tinyformer.sparse_engine.elf import ElfImage, Segment, Symbol
from tinyformer.sparse_engine.emulator import OVERHEAD, Block, session
from tinyformer.sparse_engine.emulator.profile import BlockProfile, node_functions

FLASH = 0x0800_0000
# nop; bl (4 bytes); nop; movw (4 bytes); nop; nop
CODE = bytes.fromhex("00bf 00f000f8 00bf 40f20001 00bf 00bf")


def _image(*functions: tuple[str, int, int]) -> ElfImage:
    symbols = tuple(Symbol(name, FLASH + offset, size, "function", ".text") for name, offset, size in functions)
    return ElfImage(
        (Segment(FLASH, FLASH, CODE, len(CODE)),), {}, {s.name: s for s in symbols}, symbols, (), (), len(CODE), 0, 0
    )


NET = _image(("net_run", 0, 2), ("net_node_0", 2, 4), ("net_node_1.constprop.0", 6, 2), ("kernel", 8, 8))


@pytest.fixture(scope="module")
def library() -> Path:
    return session.hook_library()


def _execute(profile: BlockProfile, *blocks: tuple[int, int]) -> None:
    hook = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_void_p)(
        profile.function.value
    )
    for offset, size in blocks:
        hook(None, FLASH + offset, size, profile.user_data)


def test_kernel_keeps_the_phase_of_its_caller(library: Path) -> None:
    profile = BlockProfile(library, NET, "net")
    profile.start()
    _execute(profile, (0, 2), (2, 4), (8, 8), (8, 8), (0, 2), (6, 2), (8, 8))
    assert profile.stop() == 1 + 1 + 3 + 3 + 1 + 1 + 3
    assert profile.blocks() == (
        Block(OVERHEAD, FLASH, 2, 2, 1),
        Block(0, FLASH + 2, 4, 1, 1),
        Block(0, FLASH + 8, 8, 2, 3),
        Block(1, FLASH + 6, 2, 1, 1),
        Block(1, FLASH + 8, 8, 1, 3),
    )


def test_same_address_with_another_size_is_another_block(library: Path) -> None:
    profile = BlockProfile(library, NET, "net")
    profile.start()
    _execute(profile, (8, 4), (8, 8), (8, 4))
    assert [(block.size, block.count) for block in profile.blocks()] == [(4, 2), (8, 1)]


def test_nothing_is_counted_before_start_and_after_stop(library: Path) -> None:
    profile = BlockProfile(library, NET, "net")
    _execute(profile, (0, 2))
    profile.start()
    assert profile.stop() == 0
    _execute(profile, (0, 2))
    assert profile.blocks() == ()


def test_start_forgets(library: Path) -> None:
    profile = BlockProfile(library, NET, "net")
    for _ in range(2):
        profile.start()
        _execute(profile, (2, 4), (8, 8))
        assert profile.stop() == 4
    assert [block.count for block in profile.blocks()] == [1, 1]


@pytest.mark.parametrize(("offset", "size"), [(-2, 2), (len(CODE), 2), (len(CODE) - 2, 4)])
def test_block_outside_the_code_is_not_lost_silently(library: Path, offset: int, size: int) -> None:
    profile = BlockProfile(library, NET, "net")
    profile.start()
    _execute(profile, (offset, size))
    with pytest.raises(EmulatorError, match="1 blocks were executed outside the image's code"):
        profile.stop()


def test_node_functions_are_in_order_and_clones_refused() -> None:
    assert list(node_functions(NET, "net")) == [0, 1]
    assert node_functions(NET, "ne") == {}
    with pytest.raises(EmulatorError, match="two functions for node 3"):
        node_functions(_image(("net_node_3", 0, 2), ("net_node_3.part.0", 2, 2)), "net")
    tenth = _image(("net_node_10", 0, 2), ("net_node_2", 2, 2))
    assert list(node_functions(tenth, "net")) == [2, 10]
