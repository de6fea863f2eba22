"""Profile images on the emulated core: what they print is a report, right over the counter's wrap."""

import zlib
from pathlib import Path

import numpy as np
import pytest

from engine_models import convolutional_net
from tinyformer import boards
from tinyformer.errors import ConfigError, ToolchainError
from tinyformer.sparse_engine import elf, graph_file, reference, toolchain
from tinyformer.sparse_engine.bundle import GRAPH_FILE, Manifest
from tinyformer.sparse_engine.compiler import compile_graph
from tinyformer.sparse_engine.emulator.machine import Machine
from tinyformer.sparse_engine.measurement import ReportReader, firmware
from tinyformer.sparse_engine.measurement.measure import profile_input
from tinyformer.sparse_engine.toolchain import image

pytestmark = pytest.mark.emulator

CYCLE_COUNTER = 0xE000_1004
MARK_CYCLES = 7


def start(directory: Path) -> Machine:
    """Return a machine that runs a bundle's profile image and waits for the request."""
    manifest = Manifest.load(directory)
    machine = Machine(elf.read(image.profile_files(directory, manifest.name).elf), manifest.board)
    machine.run_to(machine.image.symbol("board_receive").address)
    return machine


def measure(machine: Machine, cycles: list[int], counter: int = 0) -> str:
    """Ask for a report while the counter says that the layers take these cycles; return what is printed."""
    machine.console.clear()
    machine.typed += b"\x00?p"  # noise, then the request
    step = machine.image.symbol("se_profile_mark").address
    for passed in (0, MARK_CYCLES, 1000, *(count + MARK_CYCLES for count in cycles)):
        counter = (counter + passed) & 0xFFFF_FFFF
        machine.run_to(step)
        machine.write(CYCLE_COUNTER, counter.to_bytes(4, "little"))
        machine.run_to(machine.register("lr") & ~1)
    machine.run_to(machine.image.symbol("board_receive").address)
    return machine.console.decode("ascii")


@pytest.mark.slow
@pytest.mark.parametrize("counter", [0, 0xFFFF_FFFE, 0xFFFF_FF00, 0xFFFF_0000])
def test_report_of_the_f746(profile_bundle: Path, counter: int) -> None:
    manifest = Manifest.load(profile_bundle)
    cycles = [1000 * (layer.index + 1) for layer in manifest.layers]
    cycles[2:4] = [0, 0xFFFF_FFFF - MARK_CYCLES]
    machine = start(profile_bundle)
    text = measure(machine, cycles, counter)
    (report,) = ReportReader().feed(text.encode())
    assert (report.name, report.board, report.cycles) == ("model", "stm32f746g-disco", tuple(cycles))
    assert report.image == image.profile_digest(machine.image)
    graph = graph_file.load(profile_bundle / GRAPH_FILE)
    expected = reference.run(graph, profile_input(graph.tensors[graph.input].shape))
    assert report.output_crc32 == zlib.crc32(expected.tobytes())
    assert len(np.unique(expected)) > 1
    assert text.count("\r\n") == text.count("\n") == len(cycles) + 2
    assert measure(machine, cycles, counter) == text  # and again when asked again


@pytest.mark.slow
def test_less_than_an_empty_interval_is_nothing(profile_bundle: Path) -> None:
    layers = len(Manifest.load(profile_bundle).layers)
    (report,) = ReportReader().feed(measure(start(profile_bundle), [-1] * layers).encode())
    assert report.cycles == (0,) * layers


@pytest.mark.slow
def test_cycle_counter_of_the_f746_is_unlocked_and_on(profile_bundle: Path) -> None:
    machine = start(profile_bundle)
    assert machine.read_word(0xE000_EDFC) & 1 << 24  # DEMCR: TRCENA
    assert machine.read_word(0xE000_1FB0) == 0xC5AC_CE55  # DWT_LAR
    assert machine.read_word(0xE000_1000) & 1  # DWT_CTRL: CYCCNTENA


@pytest.mark.slow
def test_receiver_of_the_f746(profile_bundle: Path) -> None:
    machine = start(profile_bundle)
    assert machine.read_word(0x4001_1000) == 0xD  # USART1_CR1: on, transmitter and receiver on
    assert machine.read_word(0x4001_1008) == 1 << 12  # USART1_CR3: an overrun stops nothing
    assert machine.read_word(0x4002_3830) & 3 == 3  # RCC_AHB1ENR: ports A and B
    assert machine.read_word(0x4002_0400) == 0x280 & ~(3 << 14) | 2 << 14  # GPIOB_MODER: PB7 alternate function
    assert machine.read_word(0x4002_0420) == 7 << 28  # GPIOB_AFRL: PB7 is AF7


@pytest.mark.slow
def test_report_and_registers_of_the_l4r5(tmp_path: Path) -> None:
    directory = compile_graph(convolutional_net(), "nucleo-l4r5zi", tmp_path / "bundle", name="net").directory
    manifest = Manifest.load(directory)
    assert firmware.prepare(directory, manifest).newly_built
    machine = start(directory)
    for address, mask, value in (
        (0x4002_1000, 0x0300_0500, 0x0300_0500),  # RCC_CR: HSI and PLL on and ready
        (0x4002_100C, 0x0FFF_FFFF, 0x0100_3C32),  # RCC_PLLCFGR: HSI / 4 x 60 / 2 to the system clock
        (0x4002_1008, 0x0000_3FFF, 0x0000_000F),  # RCC_CFGR: system clock PLL, AHB, APB1 and APB2 / 1
        (0x4002_104C, 1 << 6, 1 << 6),  # RCC_AHB2ENR: port G
        (0x4002_1058, 1 << 28, 1 << 28),  # RCC_APB1ENR1: PWR
        (0x4002_105C, 1, 1),  # RCC_APB1ENR2: LPUART1
        (0x4000_7000, 3 << 9, 1 << 9),  # PWR_CR1: range 1
        (0x4000_7004, 1 << 9, 1 << 9),  # PWR_CR2: VddIO2 is there
        (0x4000_7080, 1 << 8, 0),  # PWR_CR5: boost
        (0x4002_2000, 0x70F, 0x705),  # FLASH_ACR: 5 wait states, prefetch, both caches
        (0x4800_1800, 0xFFFF_FFFF, 0xFFFE_BFFF),  # GPIOG_MODER: PG7 and PG8 alternate function
        (0x4800_1820, 0xF << 28, 8 << 28),  # GPIOG_AFRL: PG7 is AF8
        (0x4800_1824, 0xF, 8),  # GPIOG_AFRH: PG8 is AF8
        (0x4000_8000, 0xD, 0xD),  # LPUART1_CR1: on, transmitter and receiver on
        (0x4000_8008, 1 << 12, 1 << 12),  # LPUART1_CR3: an overrun stops nothing
    ):
        assert machine.read_word(address) & mask == value, hex(address)
    assert 256 * 120e6 / machine.read_word(0x4000_800C) == pytest.approx(115200, rel=0.001)
    cycles = [layer.index + 5 for layer in manifest.layers]
    (report,) = ReportReader().feed(measure(machine, cycles).encode())
    assert (report.name, report.board, report.cycles) == ("net", "nucleo-l4r5zi", tuple(cycles))


@pytest.mark.slow
def test_an_image_is_built_once_and_known_by_its_digest(profile_bundle: Path) -> None:
    manifest = Manifest.load(profile_bundle)
    before = {path: path.read_bytes() for path in (profile_bundle / "image").iterdir()}
    again = firmware.prepare(profile_bundle, manifest)
    assert not again.newly_built
    assert {path: path.read_bytes() for path in (profile_bundle / "image").iterdir()} == before
    assert len(again.digest) == 16
    normal = elf.read(profile_bundle / "image" / "model.elf")
    assert not any(name.startswith("se_profile") for name in normal.symbols)
    with pytest.raises(ToolchainError, match="no symbol 'se_profile_image'"):
        image.profile_digest(normal)


def test_digest_depends_on_every_source(convolutional_bundle) -> None:
    compiler = toolchain.find()
    directory = convolutional_bundle.directory
    digest = image._digest(directory, "model", compiler)
    for name in ("model.c", "model.h", "model_weights.c", "runtime/se_linear.c", "runtime/se_dot.h", "port/link.ld"):
        path = directory / name
        content = path.read_bytes()
        try:
            path.write_bytes(content + b"\n")
            assert image._digest(directory, "model", compiler) != digest, name
        finally:
            path.write_bytes(content)
    assert image._digest(directory, "model", compiler) == digest


def test_bundle_without_a_toolchain(tmp_path: Path) -> None:
    compiled = compile_graph(convolutional_net(), boards.load("mps2-an500"), tmp_path / "bundle", toolchain=None)
    with pytest.raises(ConfigError, match="compiled without a toolchain"):
        firmware.prepare(compiled.directory, compiled.manifest)


def test_another_compiler_is_refused(convolutional_bundle) -> None:
    manifest = convolutional_bundle.manifest
    other = manifest.model_copy(update={"image": manifest.image.model_copy(update={"toolchain_version": "0.1"})})
    with pytest.raises(ConfigError, match=r"was built with zig 0\.1, here is .*compile the model again"):
        firmware.prepare(convolutional_bundle.directory, other)
