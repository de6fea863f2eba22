"""Estimates of emulated images: loops of known cost, what registers tell, determinism, every core."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import toy_bundle
from engine_models import convolutional_net, transformer_net
from tinyformer import boards
from tinyformer.sparse_engine import cycles, deployment, elf, emulator, latency, toolchain
from tinyformer.sparse_engine.compiler import compile_graph
from tinyformer.sparse_engine.cycles import Estimate
from tinyformer.sparse_engine.toolchain import image

pytestmark = pytest.mark.emulator

DISCO = replace(boards.load("stm32f746g-disco"), memory_system=None)
CORES = ("stm32f746g-disco", "nucleo-l4r5zi", "nucleo-f103rb", "rpi-pico", "rpi-pico2")


@pytest.fixture
def estimate(tmp_path: Path) -> Callable[..., Estimate]:
    """Estimate the toy model with statements at the start of node 1."""

    def estimate_with(inserted: str = "", board: boards.Board = DISCO) -> Estimate:
        bundle = toy_bundle.write(tmp_path, board, inserted=inserted)
        path = tmp_path / "toy.elf"
        image.link(bundle, bundle / "port", board, toolchain.find(), "toy", path)
        inputs = toy_bundle.inputs(1)
        emulation = emulator.run(path, board, inputs, name="toy", output_bytes=4, timeout_s=60)
        found = latency.estimate(elf.read(path), board, emulation)
        assert sum(phase.instructions for phase in found.phases) == emulation.instructions
        return found

    return estimate_with


def loop(body: str, setup: str = "", times: int = 1000) -> str:
    """A loop in assembly: r0 counts, r1 is the address of the weights' first word."""
    return (
        f'__asm__ volatile("mov r1, %0\\n\\t{setup}movw r0, #{times}\\n1:\\n\\t{body}subs r0, #1\\n\\tbne 1b"'
        ' :: "r"(((uint32_t)toy_weights + 3u) & ~3u) : "r0", "r1", "r2", "r3", "r4", "r5", "cc", "memory");'
    )


@pytest.mark.parametrize(
    ("body", "cycles_each"),
    [
        ("", 1),
        ("nop.w\\n\\t", 2),
        ("smlad r2, r3, r4, r2\\n\\tsmlad r5, r3, r4, r5\\n\\t", 3),
        ("ldr r2, [r1]\\n\\tldr r3, [r1, #4]\\n\\t", 2),
        ("ldr r2, [r1]\\n\\tldr r3, [r1, #8]\\n\\t", 3),  # the same bank
        ("ldr r2, [r1, #1]\\n\\t", 5),  # unaligned
    ],
)
def test_loop_of_known_cost(estimate: Callable[..., Estimate], body: str, cycles_each: float) -> None:
    plain = estimate().phase(1)
    found = estimate(loop(body)).phase(1)
    assert plain is not None
    assert found is not None
    assert found.cycles - plain.cycles == pytest.approx(1000 * cycles_each, abs=30)


def test_a_loop_costs_the_same_wherever_it_lies(estimate: Callable[..., Estimate]) -> None:
    """The emulator ends blocks at pages of 1 KB; here the loop lies before one, then across it."""
    body = "ldr r2, [r1]\\n\\tsmlad r3, r4, r5, r3\\n\\t" * 6
    setup = ".p2align 10\\n\\t.rept {}\\n\\tnop\\n\\t.endr\\n\\t"
    before, across = (estimate(loop(body, setup.format(nops))) for nops in (470, 506))
    costs = [max(found.blocks, key=lambda block: block.count) for found in (before, across)]
    assert costs[0].instructions == costs[1].instructions == 14
    assert costs[0].cycles == costs[1].cycles


def test_an_outer_loop_stays_one_where_the_inner_lies_across_a_page(estimate: Callable[..., Estimate]) -> None:
    """Both loops fit the instruction cache, the whole layer does not: it is fetched once, not at every round."""
    walk = "ldr r2, [r1]\\n\\tsmlad r3, r4, r5, r3\\n\\t" * 6
    lead = ".p2align 10\\n\\t.rept {}\\n\\tnop\\n\\t.endr\\n\\t"
    once = '__asm__ volatile(".rept 2500\\n\\tnop\\n\\t.endr");'
    outer = "for (volatile int32_t i = 0; i < 100; i++) {{ {} }}"
    board = boards.load("stm32f746g-disco")
    before, across = (
        estimate(once + outer.format(loop(walk, lead.format(nops), 50)), board).phase(1) for nops in (470, 506)
    )
    assert before is not None
    assert across is not None
    nops_each = (506 - 470) / 2
    assert across.flash == pytest.approx(before.flash, rel=0.05)
    assert across.cycles - across.flash == pytest.approx(before.cycles - before.flash + 100 * nops_each, rel=0.01)


def test_loop_exit_is_one_misprediction(estimate: Callable[..., Estimate]) -> None:
    outer = "for (volatile int32_t i = 0; i < 50; i++) { %s }"
    few, many = (estimate(outer % loop("", times=times)).phase(1) for times in (100, 200))
    assert few is not None
    assert many is not None
    assert few.branch == many.branch  # 50 exits, however long the loops
    assert few.branch >= 50 * cycles.load("cortex-m7").branch.mispredicted_flags_early


def test_weights_streamed_from_flash_cost_lines(estimate: Callable[..., Estimate]) -> None:
    """A loop that walks through more flash than the data cache holds pays for each line, in RAM it does not."""
    board = boards.load("stm32f746g-disco")
    walk = loop("ldr r2, [r1], #4\\n\\t", "movw r1, #0\\n\\tmovt r1, #0x0800\\n\\t", 400)
    again = f"for (volatile int32_t i = 0; i < 20; i++) {{ {walk} }}"
    free, flash = (estimate(again, target).phase(1) for target in (DISCO, board))
    assert free is not None
    assert flash is not None
    assert free.flash == 0
    assert 50 * 7.5 <= flash.flash <= 150 * 7.5  # 1.6 KB stay in the cache


@pytest.mark.slow
@pytest.mark.parametrize("board", CORES)
@pytest.mark.parametrize("net", [convolutional_net, transformer_net])
def test_every_core_has_an_estimate_for_every_kernel(net, board, tmp_path):
    compiled = compile_graph(net(), board, tmp_path / "bundle", objective="size")
    first, blocks = deployment.profile_blocks(compiled.directory, 10)
    again, _ = deployment.profile_blocks(compiled.directory, 10)
    assert json.dumps(first.to_dict()) == json.dumps(again.to_dict())
    assert first.cycles_estimated is not None
    assert first.instructions is not None
    assert 0.5 < first.cycles_estimated / first.instructions < 2.5
    layers = [layer.cycles_estimated or 0 for layer in first.layers]
    assert 0 <= first.cycles_estimated - sum(layers) < 1000
    assert first.latency_ms_estimated == pytest.approx(
        1000 * first.cycles_estimated / boards.load(board).clock_hz, abs=1e-5
    )
    assert all(layer.bound in {"issue", "mac", "load", "store", "branch", "flash", "latency"} for layer in first.layers)
    assert [block.cycles for block in blocks] == sorted((block.cycles for block in blocks), reverse=True)
    assert all(len(block.text) == block.instructions for block in blocks)


@pytest.mark.slow
def test_families_that_nothing_validates_are_named(tmp_path):
    compiled = compile_graph(transformer_net(), "stm32f746g-disco", tmp_path / "bundle", objective="balanced")
    figures = deployment.profile(compiled.directory)
    assert figures.latency_error_percent == 15
    assert {"softmax", "layer_norm", "sparse linear", "matmul"} <= set(figures.unvalidated)
    assert "linear" not in figures.unvalidated
    assert 0 < sum(figures.unvalidated.values()) < 1
