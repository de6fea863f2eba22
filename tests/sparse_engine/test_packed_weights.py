"""Weights with packed distances in whole models: what is chosen, what it saves, what it takes."""

from itertools import product

import numpy as np
import pytest

from engine_models import random_inputs
from tinyformer import boards
from tinyformer.sparse_engine import coding, compiler, cost, deployment, elf, host, kernels, reference
from tinyformer.sparse_engine.compiler import compile_graph
from tinyformer.sparse_engine.layout import Budget, lay_out
from tinyformer.sparse_engine.passes.fuse_pooling import fuse_pooling
from tinyformer.sparse_engine.synthetic import GraphBuilder

BOARD = boards.load("stm32f746g-disco")
CODES = {"block_rle", "block_rle4", "block_bitmap"}
PAD = (1, 1, 1, 1)


def net(sparsity: float = 0.7, block: int = 4):
    """Convolutions, one of them under a maximum, a depthwise one and linear layers: 35,000 weights."""
    b = GraphBuilder((16, 16, 8), seed=21, name="net")
    x = b.conv2d(b.input, 32, (3, 3), padding=PAD, sparsity=sparsity, block=block)
    x = b.max_pool(x, (2, 2), (2, 2))
    x = b.conv2d(x, 64, (3, 3), padding=PAD, sparsity=sparsity, block=block)
    x = b.depthwise(x, (3, 3), padding=PAD, sparsity=sparsity, block=3)
    x = b.conv2d(x, 48, (1, 1), sparsity=sparsity, block=block)
    x = b.linear(b.reshape(x, (64, 48)), 160, sparsity=sparsity, block=block)
    x = b.avg_pool(b.reshape(x, (8, 8, 160)), (8, 8), (8, 8))
    return fuse_pooling(b.finish(b.linear(b.reshape(x, (160,)), 10)))


def chosen(graph, objective, monkeypatch=None, codes=CODES):
    """Return the calls for an objective, with some of the codes only."""
    options = {
        name: tuple(o for o in every if o.encoding in codes | {"dense"})
        for name, every in coding.options(graph).items()
    }
    if monkeypatch is not None:
        monkeypatch.setattr(coding, "options", lambda graph, densities=None: options)
    return lay_out(graph, BOARD, Budget.of(BOARD), objective).calls


def weight_bytes(calls):
    return sum(call.encoding.nbytes for call in calls if call.encoding is not None)


@pytest.mark.parametrize("block", [2, 4])
def test_size_is_a_tenth_smaller_than_with_the_papers_code(block, monkeypatch):
    """At 70 % sparsity."""
    graph = net(block=block)
    every = chosen(graph, "size")
    alone = chosen(graph, "size", monkeypatch, {"block_rle"})
    assert weight_bytes(every) <= 0.90 * weight_bytes(alone)
    assert {"block_bitmap"} <= {call.encoding.encoding for call in every if call.encoding is not None}


def test_speed_is_what_it_was(monkeypatch):
    """Kernels of packed weights run the loops of the others: a prediction that says less is noise."""
    graph = net()
    every = chosen(graph, "speed")
    alone = chosen(graph, "speed", monkeypatch, {"block_rle"})
    assert [call.symbol for call in every] == [call.symbol for call in alone]
    predicted = cost.predictor(BOARD)
    monkeypatch.setattr(cost, "predictor", lambda board: lambda call: predicted(call) * (0.5 if packed(call) else 1))
    assert [call.symbol for call in chosen(graph, "speed")] == [call.symbol for call in alone]


def packed(call):
    return "rle4" in call.symbol or "bitmap" in call.symbol


def test_balanced_weighs_bytes_against_instructions(monkeypatch):
    graph = net()
    every = chosen(graph, "balanced")
    alone = chosen(graph, "balanced", monkeypatch, {"block_rle"})
    assert weight_bytes(every) <= 0.93 * weight_bytes(alone)
    predict = cost.predictor(BOARD)
    assert sum(map(predict, every)) <= 1.03 * sum(map(predict, alone))


def test_size_counts_the_kernels_too():
    """Where an encoding's kernels would take more than it saves, the layers do without it, and say so."""
    b = GraphBuilder((8, 8, 16), seed=3)
    x = b.conv2d(b.input, 16, (3, 3), sparsity=0.7, block=4)
    graph = b.finish(b.conv2d(x, 16, (3, 3), sparsity=0.7, block=4))
    options = coding.options(graph)
    image = cost.of_image(BOARD)

    def flash(calls):
        return image.flash_bytes(graph, calls)

    fewest_weights = kernels.select(graph, options, BOARD, "size")
    assert {call.encoding_name for call in fewest_weights} == {"block_bitmap/4"}
    smallest = kernels.select(graph, options, BOARD, "size", flash=image)
    every = [
        kernels.select(graph, {name: (option,) for name, option in zip(options, both, strict=True)}, BOARD, "size")
        for both in product(*options.values())
    ]
    assert flash(smallest) == min(map(flash, every)) < flash(fewest_weights)
    assert {call.encoding_name for call in smallest} == {"block_rle/2"}
    assert all(call.why.endswith("; block_bitmap/4 saves less than its kernels take") for call in smallest)
    assert [call.encoding_name for call in lay_out(graph, BOARD, Budget.of(BOARD), "size").calls] == ["block_rle/2"] * 2


@pytest.mark.emulator
@pytest.mark.slow
@pytest.mark.parametrize(
    ("board", "objective"), [("stm32f746g-disco", "size"), ("stm32f746g-disco", "balanced"), ("rpi-pico", "size")]
)
def test_a_model_runs_to_the_bit_and_as_predicted(board, objective, tmp_path):
    graph = net(block=2 if objective == "balanced" else 4)
    compiled = compile_graph(graph, board, tmp_path / "bundle", objective=objective)
    layers = [layer for layer in compiled.manifest.layers if layer.encoding]
    used = {layer.encoding.partition("/")[0] for layer in layers}
    assert used & {"block_rle4", "block_bitmap"}
    assert all(layer.why.startswith(f"{objective}: best of ") for layer in layers)
    samples = random_inputs(graph, 3)
    expected = reference.run(graph, samples)
    np.testing.assert_array_equal(host.load(compiled.directory).run(samples), expected)
    emulated = deployment.run(compiled.directory, compiled.manifest, samples)
    np.testing.assert_array_equal(emulated.outputs, expected.reshape(len(samples), -1))
    figures = deployment.profile(compiled.directory)
    predicted = compiled.manifest.predicted
    assert predicted.instructions == pytest.approx(figures.instructions, rel=0.05)
    assert abs(predicted.flash_bytes - figures.flash_bytes) <= max(1024, figures.flash_bytes // 100)
    assert predicted.ram_bytes == figures.ram_bytes


@pytest.mark.full
def test_the_engine_takes_at_most_32_kb_of_a_tinyformer(tmp_path):
    """All functions of the image, start-up and the port among them."""
    graph, _ = compiler.read("tinyformer-300k-cifar10")
    for objective in ("size", "speed"):
        compiled = compile_graph(graph, BOARD, tmp_path / objective, objective=objective)
        image = elf.read(compiled.image)
        assert sum({function.address: function.size for function in image.functions}.values()) <= 32 * 1024
