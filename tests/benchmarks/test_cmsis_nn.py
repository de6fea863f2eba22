"""A model on CMSIS-NN: calls, parameters and linking, on a stand-in with the same function names, and the command.

Set TINYFORMER_CMSIS_NN_INCLUDE and TINYFORMER_CMSIS_NN_LIB to a build of your own to run the tests on CMSIS-NN itself.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tinyformer.benchmarks import baseline, kernels
from tinyformer.benchmarks.cmsis_nn import Library, calls, compare
from tinyformer.benchmarks.layers import LAYERS
from tinyformer.errors import ConfigError, EmulatorError, ToolchainError
from tinyformer.sparse_engine import compiler, ops, toolchain
from tinyformer.sparse_engine.ir import Graph
from tinyformer.sparse_engine.synthetic import GraphBuilder
from tinyformer.sparse_engine.toolchain import cache

FAKE = Path(__file__).parent / "fake_cmsis_nn"
BOARD = "stm32f746g-disco"
PROGRAM = [sys.executable, "-c", "from tinyformer.cli import main; main()"]
STRING_H = "void *memset(void *destination, int value, __SIZE_TYPE__ bytes);\n"


@pytest.fixture(scope="session")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Library:
    directory = tmp_path_factory.mktemp("fake_cmsis_nn")
    (directory / "string.h").write_text(STRING_H)
    store = cache.directory(f"zig-{toolchain.find('zig').version()}")
    environment = os.environ | {
        "ZIG_GLOBAL_CACHE_DIR": str(store / "global"),
        "ZIG_LOCAL_CACHE_DIR": str(store / "local"),
    }
    zig = [sys.executable, "-m", "ziglang"]
    target = ["-target", "thumb-freestanding-eabihf", "-mcpu=cortex_m7+fp_armv8d16sp"]
    options = [*target, "-O2", "-ffunction-sections", "-fno-sanitize=all", f"-I{directory}", f"-I{FAKE / 'Include'}"]
    built = [directory / "fake.o", directory / "libfake.a"]
    with cache.locked(store):
        for command in (["cc", *options, "-c", FAKE / "fake.c", "-o", built[0]], ["ar", "rcs", built[1], built[0]]):
            subprocess.run([*zig, *map(str, command)], check=True, env=environment)
    return Library.of(FAKE / "Include", built[1])


def network() -> Graph:
    """Return a model with every call that the stand-in has, and one that CMSIS-NN cannot do (the average)."""
    b = GraphBuilder((11, 10, 3), seed=3)
    x = b.conv2d(b.input, 8, (3, 3), stride=(2, 1), padding=(1, 1, 1, 1), low=-90)
    x = b.max_pool(x, (3, 3), (1, 2), (1, 0, 1, 0))
    y = b.depthwise(x, (3, 3), padding=(1, 1, 1, 1), sparsity=0.6, block=3)
    y = b.conv2d(y, 8, (1, 1), sparsity=0.7, block=4)
    x = b.mul(b.add(x, y), b.constant((8,)))
    x = b.avg_pool(x, (2, 2), (1, 1))
    rows = b.reshape(x, (15, 8))
    q, k, v = (b.reshape(b.linear(rows, 8), (1, 15, 8)) for _ in range(3))
    rows = b.matmul(b.matmul(q, k, transpose_b=True), v)
    return b.finish(b.linear(b.reshape(rows, (120,)), 5))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("model") / "bundle"
    compiler.compile_graph(network(), BOARD, directory, toolchain="zig", objective="size")
    return directory


@pytest.mark.slow
@pytest.mark.emulator
def test_both_programs_give_the_same_outputs(bundle: Path, fake: Library) -> None:
    comparison = compare(bundle, fake)
    assert {"engine", "cmsis_nn", "ratio", "layers"} <= set(json.loads(json.dumps(comparison.to_dict())))
    assert comparison.largest_difference_steps <= 3, "one step a layer at most, and later layers pass it on"
    layers = {layer.op: layer for layer in comparison.layers}
    functions = {op: layer.cmsis_nn_function for op, layer in layers.items()}
    assert functions == {
        "conv2d": "arm_convolve_wrapper_s8",
        "max_pool2d": "arm_max_pool_s8",
        "depthwise_conv2d": "arm_depthwise_conv_wrapper_s8",
        "add": "arm_elementwise_add_s8",
        "mul": "arm_elementwise_mul_s8",
        "avg_pool2d": "",
        "linear": "arm_fully_connected_wrapper_s8",
        "matmul": "arm_batch_matmul_s8",
    }
    average = layers["avg_pool2d"]
    assert average.engine_instructions == average.cmsis_nn_instructions, "the engine's own kernel on both sides"
    sparse = layers["depthwise_conv2d"]
    assert sparse.cmsis_nn_weight_bytes == 8 * 9
    assert sparse.engine_weight_bytes != 8 * 9
    assert comparison.ratio == pytest.approx(
        comparison.cmsis_nn.instructions / comparison.engine.instructions, abs=1e-3
    )
    assert comparison.cmsis_nn.instructions > sum(layer.cmsis_nn_instructions for layer in comparison.layers)
    assert comparison.engine.fits
    assert comparison.cmsis_nn.fits


@pytest.mark.slow
@pytest.mark.emulator
def test_command_prints_both_sides(bundle: Path, fake: Library) -> None:
    options = ["--cmsis-nn-include", fake.include, "--cmsis-nn-lib", fake.archive]
    text = _run("bench", "model", bundle, *options).stdout
    assert "none: the engine's" in text
    assert "fits the board" in text


@pytest.mark.slow
@pytest.mark.emulator
def test_refused_call_is_an_error(tmp_path: Path, fake: Library) -> None:
    b = GraphBuilder((6, 6, 4))
    graph = b.finish(b.conv2d(b.input, 4, (2, 2), dilation=(2, 2)))
    compiler.compile_graph(graph, BOARD, tmp_path / "bundle", toolchain="zig")
    with pytest.raises(EmulatorError):
        compare(tmp_path / "bundle", fake)


def test_library_without_the_function_is_an_error(tmp_path: Path, bundle: Path, fake: Library) -> None:
    empty = tmp_path / "libempty.a"
    empty.write_bytes(b"!<arch>\n")
    with pytest.raises(ToolchainError, match="arm_"):
        compare(bundle, Library.of(fake.include, empty))


def test_without_a_library_the_command_says_what_it_needs(tmp_path: Path) -> None:
    for options in ([], ["--cmsis-nn-include", tmp_path], ["--cmsis-nn-include", tmp_path, "--cmsis-nn-lib", tmp_path]):
        result = _run("bench", "model", tmp_path, *options)
        assert result.returncode == 2
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1
        assert "--cmsis-nn-include" in result.stderr


def test_paths_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Include directory"):
        Library.of(tmp_path, tmp_path / "lib.a")
    with pytest.raises(ConfigError, match="no such file"):
        Library.of(FAKE / "Include", tmp_path / "lib.a")


def test_constants_are_those_of_the_unfolded_layer() -> None:
    graph = network()
    found = calls.substitutes(graph)
    converted = calls.with_cmsis_nn_constants(graph, list(found))
    for node in graph.nodes:
        if isinstance(node.op, ops.Linear):
            x, weight, bias, multipliers = node.inputs
            pairs = converted.data[multipliers].astype(np.float64)
            ours = graph.data[multipliers] * 2.0 ** (node.op.left_shift - 32)
            assert np.allclose(pairs[0] * 2.0 ** (pairs[1] - 31), ours, rtol=1e-8)
            quant = graph.tensors[x].quant
            assert quant is not None
            folded = converted.data[bias] - quant.zero_point * graph.data[weight].sum(axis=1, dtype=np.int64)
            assert np.array_equal(folded, graph.data[bias])


def test_softmax_of_another_output_scale_stays_with_the_engine() -> None:
    b = GraphBuilder((4, 8))
    graph = b.finish(b.softmax(b.input))
    assert [s.function for s in calls.substitutes(graph).values()] == ["arm_softmax_s8"]
    node = graph.nodes[0]
    assert isinstance(node.op, ops.Softmax)
    assert node.op.output_multiplier is not None
    other = replace(node, op=replace(node.op, output_multiplier=node.op.output_multiplier + 1))
    assert not calls.substitutes(graph.with_(nodes=[other]))


@pytest.mark.full
@pytest.mark.emulator
@pytest.mark.parametrize("layer", ["conv3x3-dense", "conv1x1-dense", "linear-44-dense", "depthwise-dense", "maxpool"])
def test_counts_of_cmsis_nn_are_the_recorded_ones(tmp_path: Path, layer: str) -> None:
    paths = [os.environ.get(f"TINYFORMER_CMSIS_NN_{name}") for name in ("INCLUDE", "LIB")]
    if None in paths or shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("needs CMSIS-NN in TINYFORMER_CMSIS_NN_INCLUDE and TINYFORMER_CMSIS_NN_LIB, and arm-none-eabi-gcc")
    library = Library.of(*(Path(str(path)) for path in paths))
    compiler.compile_graph(kernels.graph(LAYERS[layer], 0.0), BOARD, tmp_path / "bundle", toolchain="gcc")
    comparison = compare(tmp_path / "bundle", library)
    recorded = baseline.load().cmsis_nn[LAYERS[layer].baseline]
    assert comparison.layers[-1].cmsis_nn_instructions == pytest.approx(recorded, rel=1e-3)
    assert comparison.largest_difference_steps <= 1


def _run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False)
