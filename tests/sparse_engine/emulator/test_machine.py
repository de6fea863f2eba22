"""The F746's port on the modelled hardware: what it has programmed when main begins. Figures from RM0385."""

from pathlib import Path

import pytest

import toy_bundle
from tinyformer import boards
from tinyformer.sparse_engine import elf, toolchain
from tinyformer.sparse_engine.emulator.machine import Machine
from tinyformer.sparse_engine.toolchain import image

pytestmark = pytest.mark.emulator


def _boot(directory: Path, name: str) -> Machine:
    board = boards.load(name)
    bundle = toy_bundle.write(directory, board, golden_input=bytes(range(32)))
    image.link(bundle, bundle / "port", board, toolchain.find(), "toy", directory / "toy.elf")
    machine = Machine(elf.read(directory / "toy.elf"), board)
    machine.run_to(machine.image.symbol("se_app_ready").address)
    return machine


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return _boot(tmp_path_factory.mktemp("disco"), "stm32f746g-disco")


@pytest.mark.parametrize(
    ("address", "mask", "value"),
    [
        (0x4002_3800, 0x0300_0003, 0x0300_0003),  # RCC_CR: HSI and PLL on and ready
        (0x4002_3804, 0x0F43_7FFF, 0x0900_3608),  # RCC_PLLCFGR: HSI / 8 x 216 / 2, / 9 for 48 MHz
        (0x4002_3808, 0x0000_FCFF, 0x0000_940A),  # RCC_CFGR: system clock PLL, AHB / 1, APB1 / 4, APB2 / 2
        (0x4002_3840, 1 << 28, 1 << 28),  # RCC_APB1ENR: PWR
        (0x4002_3844, 1 << 4, 1 << 4),  # RCC_APB2ENR: USART1
        (0x4000_7000, 0x0003_C000, 0x0003_C000),  # PWR_CR1: scale 1, overdrive on and switched
        (0x4002_3C00, 0x0000_030F, 0x0000_0307),  # FLASH_ACR: 7 wait states, prefetch, accelerator
        (0x4001_1000, 0x9, 0x9),  # USART1_CR1: on, transmitter on
        (0x4002_0000, 3 << 18, 2 << 18),  # GPIOA_MODER: PA9 alternate function
        (0x4002_0024, 0xF0, 0x70),  # GPIOA_AFRH: PA9 is AF7
        (0xE000_ED14, 3 << 16, 3 << 16),  # SCB_CCR: both caches on
        (0xE000_ED88, 0xF << 20, 0xF << 20),  # SCB_CPACR: full access to the FPU
        (0xE000_ED08, 0xFFFF_FFFF, 0x0800_0000),  # SCB_VTOR
    ],
)
def test_registers_of_the_f746(booted: Machine, address: int, mask: int, value: int) -> None:
    assert booted.read_word(address) & mask == value


def test_baud_rate_is_within_half_a_percent(booted: Machine) -> None:
    assert 216e6 / 2 / booted.read_word(0x4001_100C) == pytest.approx(115200, rel=0.005)


def test_data_is_copied_and_bss_cleared(booted: Machine) -> None:
    image_ = booted.image
    assert booted.read(image_.symbol("se_app_input").address, 32) == bytes(range(32))
    start, end = (image_.symbol(name).address for name in ("__bss_start", "__bss_end"))
    assert booted.read(start, end - start) == bytes(end - start) != b""


def test_console_of_the_nucleo_is_usart3(tmp_path: Path) -> None:
    machine = _boot(tmp_path, "nucleo-f746zg")
    assert machine.read_word(0x4002_3840) & 1 << 18
    assert 216e6 / 4 / machine.read_word(0x4000_480C) == pytest.approx(115200, rel=0.005)
    machine.run_to(machine.image.symbol("se_app_done").address)
    for name in ("infer", "se_app_ready"):
        machine.run_to(machine.image.symbol(name).address)
    assert machine.console.startswith(b"tinyformer toy on nucleo-f746zg\r\n")
