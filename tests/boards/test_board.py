"""Isa, Memory and Board refuse what does not exist and say what is allowed."""

from dataclasses import replace

import pytest

from tinyformer import boards
from tinyformer.boards import Isa, Memory
from tinyformer.errors import ConfigError


@pytest.mark.parametrize(
    ("core", "dsp", "fpu", "allowed"),
    [
        ("cortex-m4", True, "dp", "dsp = true, fpu = 'none'; dsp = true, fpu = 'sp'"),
        ("cortex-m3", True, "none", "dsp = false, fpu = 'none'"),
        ("cortex-m0plus", False, "sp", "dsp = false, fpu = 'none'"),
        ("cortex-m7", False, "sp", "dsp = true, fpu = 'dp'"),
        ("cortex-m7", True, "quad", "dsp = true, fpu = 'dp'"),
        ("cortex-m5", True, "sp", "cortex-m0plus, cortex-m3, cortex-m4, cortex-m7, cortex-m33"),
    ],
)
def test_wrong_isa_lists_what_is_allowed(core: str, dsp: bool, fpu: str, allowed: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Isa(core, dsp, fpu)
    assert allowed in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_listed_isa_is_accepted() -> None:
    assert sum(len([Isa(core, *option) for option in options]) for core, options in boards.ISA_OPTIONS.items()) == 11


@pytest.mark.parametrize(("origin", "size"), [(0, 0), (-4, 8), (0xFFFF_FFF0, 0x20), (2, 8), (0, 6)])
def test_memory_is_an_aligned_region_of_the_address_space(origin: int, size: int) -> None:
    with pytest.raises(ConfigError):
        Memory(origin, size)


def test_memory_contains_its_first_but_not_its_end_address() -> None:
    memory = Memory(0x2000_0000, 0x100)
    assert memory.contains(0x2000_0000)
    assert memory.contains(0x2000_00FF)
    assert not memory.contains(memory.end)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"clock_hz": 0}, "clock_hz"),
        ({"ram": Memory(0x0800_0000, 0x1000)}, "overlap"),
        ({"stack_bytes": 100}, "multiple of 8"),
        ({"stack_bytes": 0x5_0000}, "less than the RAM"),
        ({"startup": "arduino"}, "generic, mps2, rp2350, stm32f746"),
        ({"qemu_machine": "virt"}, "mps2-an385, mps2-an386, mps2-an500"),
        ({"qemu_machine": "mps2-an385"}, "choose mps2-an500"),
        ({"isa": Isa("cortex-m33", True, "sp")}, "leave it out"),
    ],
)
def test_contradictions_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match="stm32f746g-disco") as caught:
        replace(boards.load("stm32f746g-disco"), **change)  # type: ignore[arg-type]
    assert message in str(caught.value)
