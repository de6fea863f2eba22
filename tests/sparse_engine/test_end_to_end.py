"""Reference, host C and emulated core give the same integers, operator by operator and for whole nets."""

import shutil

import numpy as np
import onnx
import pytest

from engine_models import (
    OPERATOR_CASES,
    convolutional_net,
    encodings_of,
    random_inputs,
    side_by_side,
    symbols_of,
    transformer_net,
    zoo,
)
from qdq_cases import CASES
from tinyformer import boards
from tinyformer.sparse_engine import deployment, host, reference, toolchain
from tinyformer.sparse_engine.compiler import compile_graph, read
from tinyformer.sparse_engine.emulator import qemu
from tinyformer.sparse_engine.kernels import CATALOGUE

M7 = boards.load("stm32f746g-disco")
BIG = boards.load("mps2-an500")
BOARD_OF_EACH_ISA = list({boards.load(name).isa: name for name in boards.names()}.values())
NETS = {"convolutional": convolutional_net, "transformer": transformer_net}

needs_gcc = pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="arm-none-eabi-gcc is not installed")
needs_qemu = pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="qemu-system-arm is not installed")


def run_everywhere(graph, outputs, directory, board=BIG, encodings=None):
    """Return case -> (expected, on the host, on the emulated core): the tensor of each case, for three inputs."""
    compiled = compile_graph(graph, board, directory, objective="size", name="zoo", encodings=encodings)
    samples = random_inputs(graph, 3)
    layers = [layer.output for layer in compiled.manifest.layers]
    model = host.load(compiled.directory)
    expected = [reference.run_all(graph, sample) for sample in samples]
    on_host = [dict(zip(layers, model.trace(sample), strict=True)) for sample in samples]
    emulation = deployment.run(compiled.directory, compiled.manifest, samples, traced=compiled.manifest.layers)
    emulated = dict(zip(layers, emulation.traces, strict=True))
    aliases = compiled.manifest.arena.aliases
    found = {}
    for case, tensor in outputs.items():
        computed = tensor if tensor in layers else aliases[tensor]
        found[case] = (
            np.stack([values[computed].ravel() for values in expected]),
            np.stack([values[computed].ravel() for values in on_host]),
            emulated[computed],
        )
    return found


@pytest.fixture(scope="module")
def operators(tmp_path_factory):
    graph, outputs = zoo()
    directory = tmp_path_factory.mktemp("zoo") / "bundle"
    return run_everywhere(graph, outputs, directory, encodings=encodings_of(graph, outputs))


@pytest.mark.emulator
@pytest.mark.parametrize("case", OPERATOR_CASES)
def test_operator(operators, case):
    expected, on_host, emulated = operators[case]
    np.testing.assert_array_equal(on_host, expected)
    np.testing.assert_array_equal(emulated, expected)
    assert len(np.unique(expected[2])) > 1  # the case tells something


CORES = {
    "cortex-m7": "stm32f746g-disco",
    "cortex-m4": "nucleo-l4r5zi",
    "cortex-m33": "rpi-pico2",
    "cortex-m3": "nucleo-f103rb",
    "cortex-m0plus": "rpi-pico",
}
IN_EVERY_TEST = ("cortex-m7", "cortex-m0plus")  # with and without the DSP extension


def test_cores_are_all_there_are():
    assert set(CORES) == set(boards.ISA_OPTIONS)


@pytest.mark.emulator
@pytest.mark.slow
@pytest.mark.parametrize(
    "core", [pytest.param(core, marks=[] if core in IN_EVERY_TEST else pytest.mark.full) for core in CORES]
)
def test_operators_of_the_front_end(core, tmp_path):
    """What the front end makes of every ONNX operator runs as the reference says, on every core."""
    graphs = {}
    for case in CASES:
        onnx.save(case.model(), tmp_path / "model.onnx")
        graphs[case.name] = read(tmp_path / "model.onnx")[0]
    board = boards.load(CORES[core])
    assert board.isa.core == core
    found = run_everywhere(*side_by_side(graphs), tmp_path / "bundle", board)
    for case, (expected, on_host, emulated) in found.items():
        np.testing.assert_array_equal(on_host, expected, case)
        np.testing.assert_array_equal(emulated, expected, case)


def test_cases_use_the_kernels_they_name():
    graph, outputs = zoo()
    symbols = symbols_of(graph, M7, encodings_of(graph, outputs))
    assert {case: symbols[tensor] for case, tensor in outputs.items()} == {
        name: case.symbol for name, case in OPERATOR_CASES.items()
    }


def test_cases_cover_the_catalogue():
    known = {kernel.symbol for rows in CATALOGUE.values() for kernel in rows}
    assert {case.symbol for case in OPERATOR_CASES.values()} == known - {"se_softmax_lazy_s8"}


def compare(graph, directory, board, **options):
    """Assert that reference, host and emulator agree on a net; return what was compiled."""
    compiled = compile_graph(graph, board, directory, **options)
    samples = random_inputs(graph, 6)
    expected = reference.run(graph, samples)
    np.testing.assert_array_equal(host.load(directory).run(samples), expected)
    emulated = deployment.run(directory, compiled.manifest, samples)
    np.testing.assert_array_equal(emulated.outputs, expected.reshape(len(samples), -1))
    return compiled


@pytest.mark.emulator
@pytest.mark.slow
@pytest.mark.parametrize("board", ["stm32f746g-disco", "rpi-pico", "nucleo-f103rb"])
@pytest.mark.parametrize("net", NETS)
def test_net(net, board, tmp_path):
    compare(NETS[net](), tmp_path / "bundle", board)


@pytest.mark.emulator
@pytest.mark.slow
def test_net_with_the_lazy_softmax(tmp_path):
    compiled = compare(transformer_net(), tmp_path / "bundle", M7, softmax="lazy")
    assert "se_softmax_lazy_s8" in {layer.kernel for layer in compiled.manifest.layers}


@pytest.mark.full
@pytest.mark.emulator
@needs_gcc
@pytest.mark.parametrize("board", BOARD_OF_EACH_ISA)
@pytest.mark.parametrize("net", NETS)
def test_net_built_by_gcc(net, board, tmp_path):
    compare(NETS[net](), tmp_path / "bundle", board, toolchain="gcc")


@pytest.mark.full
@pytest.mark.emulator
@needs_gcc
@needs_qemu
@pytest.mark.parametrize("compiler", ["zig", "gcc"])
@pytest.mark.parametrize("net", NETS)
def test_net_in_qemu(net, compiler, tmp_path):
    graph = NETS[net]()
    compiled = compile_graph(graph, M7, tmp_path / "bundle", toolchain=compiler)
    samples = random_inputs(graph, 3)
    flat = samples.reshape(3, -1)
    border = compiled.manifest.output
    chosen = toolchain.find(compiler)
    cross = qemu.run(
        compiled.directory, M7, flat, name="model", output_bytes=border.nbytes, toolchain=chosen, timeout_s=60.0
    )
    emulated = deployment.run(compiled.directory, compiled.manifest, samples)
    np.testing.assert_array_equal(cross.outputs, emulated.outputs)
    np.testing.assert_array_equal(cross.outputs, reference.run(graph, samples).reshape(3, -1))
    assert cross.instructions == emulated.instructions


@pytest.mark.full
@pytest.mark.emulator
@pytest.mark.parametrize("board", BOARD_OF_EACH_ISA)
@pytest.mark.parametrize("net", NETS)
def test_net_on_every_core(net, board, tmp_path):
    compare(NETS[net](), tmp_path / "bundle", board)
