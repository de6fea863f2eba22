"""The host build: values at the border, batches, sanitizer, two models in one program."""

import ctypes
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine_models import convolutional_net, random_inputs, transformer_net
from tinyformer.errors import DataError
from tinyformer.sparse_engine import host, reference, toolchain
from tinyformer.sparse_engine.compiler import compile_graph
from tinyformer.sparse_engine.synthetic import GraphBuilder


@pytest.fixture(scope="module")
def model(convolutional_bundle):
    return host.load(convolutional_bundle.directory)


def test_integers_in_integers_out(model):
    graph = convolutional_net()
    samples = random_inputs(graph, 4)
    outputs = model(samples)
    assert outputs.dtype == np.int8
    np.testing.assert_array_equal(outputs, reference.run(graph, samples))
    pixels = (samples.astype(np.int16) + 128).astype(np.uint8)
    np.testing.assert_array_equal(model(pixels), outputs)


def test_real_values_in_real_values_out(model):
    generator = np.random.default_rng(1)
    border = model.manifest.input
    values = generator.normal(0, 4, (5, *border.shape)).astype(np.float32)
    values[0, 0, 0] = [np.inf, -np.inf, np.nan]
    steps = generator.integers(-127, 127, border.shape) + 0.5
    values[1] = (steps * np.float32(border.scale)).astype(np.float32)  # ties
    outputs = model(values)
    assert outputs.dtype == np.float32
    np.testing.assert_array_equal(outputs, model.run_f32(values))
    expected = reference.run(convolutional_net(), border.quantize(values))
    np.testing.assert_array_equal(outputs, model.manifest.output.dequantize(expected))


def test_an_empty_batch(model):
    assert model(np.zeros((0, 8, 8, 3), np.int8)).shape == (0, 10)


def test_trace_ends_in_the_output(model):
    sample = random_inputs(convolutional_net(), 3)[2]
    tensors = model.trace(sample)
    assert [tensor.shape for tensor in tensors] == [layer.output_shape for layer in model.manifest.layers]
    np.testing.assert_array_equal(tensors[-1], model.run(sample[np.newaxis])[0])


@pytest.mark.parametrize("batch", [np.zeros((1, 3, 8, 8), np.int8), np.zeros((1, 8, 8, 3), np.int64)])
def test_wrong_inputs(model, batch):
    with pytest.raises(DataError):
        model(batch)
    with pytest.raises(DataError):
        model.run(batch)


def test_built_once(convolutional_bundle, monkeypatch, model):
    def compiler(*_, **__):
        raise AssertionError("compiled again")

    monkeypatch.setattr(toolchain.zig.Zig, "build_host", compiler)
    assert host.load(convolutional_bundle.directory).manifest == model.manifest


def test_not_a_bundle(tmp_path):
    with pytest.raises(DataError, match="not a bundle"):
        host.load(tmp_path)


@pytest.mark.slow
def test_no_undefined_behaviour(tmp_path):
    """A whole model under the sanitizer, which ends the process; hence a process of its own."""
    graph = transformer_net()
    compile_graph(graph, "stm32f746g-disco", tmp_path / "b", toolchain=None)
    samples = random_inputs(graph, 4)
    np.save(tmp_path / "inputs.npy", samples)
    program = f"""
import numpy as np
from tinyformer.sparse_engine import host
model = host.load({str(tmp_path / "b")!r}, sanitize=True)
inputs = np.load({str(tmp_path / "inputs.npy")!r})
np.save({str(tmp_path / "outputs.npy")!r}, model.run(inputs))
model.run_f32(np.full((1, 8, 8, 4), np.nan, np.float32))
model.run_f32(np.full((1, 8, 8, 4), -3e38, np.float32))
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "outputs.npy"), reference.run(graph, samples))


def ends_in_a_reshape():
    b = GraphBuilder((6, 8))
    y = b.linear(b.input, 4)
    output = b.reshape(y, (24,))
    b.lookup(y)  # reads the caller's output buffer
    return b.finish(output)


def only_renames():
    b = GraphBuilder((6, 8))
    return b.finish(b.reshape(b.input, (48,)))


@pytest.mark.slow
@pytest.mark.parametrize("build", [ends_in_a_reshape, only_renames])
def test_tensors_in_the_callers_buffers(build, tmp_path):
    graph = build()
    compile_graph(graph, "stm32f746g-disco", tmp_path / "b", toolchain=None)
    samples = random_inputs(graph, 3)
    model = host.load(tmp_path / "b")
    np.testing.assert_array_equal(model.run(samples), reference.run(graph, samples))
    expected = reference.run_all(graph, samples[2])
    for layer, tensor in zip(model.manifest.layers, model.trace(samples[2]), strict=True):
        np.testing.assert_array_equal(tensor, expected[layer.output])


@pytest.mark.slow
def test_the_documented_program_compiles(tmp_path):
    documentation = Path(__file__).parents[2] / "docs" / "bundle.md"
    program = re.search(r"```c\n(.*?)```", documentation.read_text(), re.S).group(1)
    assert len(program.splitlines()) <= 25
    bundle = tmp_path / "b"
    compile_graph(convolutional_net(), "stm32f746g-disco", bundle, toolchain=None, labels=[f"c{i}" for i in range(10)])
    camera = "#include <stdint.h>\nvoid camera_read(uint8_t *pixels, int bytes) { pixels[bytes - 1] = 7; }\n"
    (tmp_path / "main.c").write_text(program)
    (tmp_path / "camera.c").write_text(camera)
    sources = [tmp_path / "main.c", tmp_path / "camera.c", *sorted(bundle.glob("*.c"))]
    sources += sorted((bundle / "runtime").glob("*.c"))
    toolchain.find("zig").build_host(sources, [bundle, bundle / "runtime"], tmp_path / "program.so")


TWO_MODELS = """
#include "first.h"
#include "second.h"
int8_t shared_arena[FIRST_ARENA_BYTES > SECOND_ARENA_BYTES ? FIRST_ARENA_BYTES : SECOND_ARENA_BYTES]
    __attribute__((aligned(8)));
void run_both(const int8_t *a, int8_t *x, const int8_t *b, int8_t *y);
void run_both(const int8_t *a, int8_t *x, const int8_t *b, int8_t *y)
{
    first_run(a, x);
    second_run(b, y);
}
"""


@pytest.mark.slow
@pytest.mark.parametrize("shared", [(), ("FIRST_EXTERNAL_ARENA=shared_arena", "SECOND_EXTERNAL_ARENA=shared_arena")])
def test_two_models_link_into_one_program(tmp_path, shared):
    nets = {"first": convolutional_net(), "second": transformer_net()}
    sources = [tmp_path / "both.c"]
    sources[0].write_text(TWO_MODELS)
    for name, graph in nets.items():
        compile_graph(graph, "stm32f746g-disco", tmp_path / name, name=name, toolchain=None)
        sources += [tmp_path / name / f"{name}.c", tmp_path / name / f"{name}_weights.c"]
    sources += sorted((tmp_path / "first" / "runtime").glob("*.c"))
    includes = [tmp_path / "first", tmp_path / "second", tmp_path / "first" / "runtime"]
    toolchain.find("zig").build_host(sources, includes, tmp_path / "both.so", shared)
    library = ctypes.CDLL(str(tmp_path / "both.so"))
    inputs = {name: random_inputs(graph, 3)[2] for name, graph in nets.items()}
    outputs = {name: np.zeros(10, np.int8) for name in nets}
    pointers = [a.ctypes.data_as(ctypes.c_void_p) for name in nets for a in (inputs[name], outputs[name])]
    library.run_both(*pointers)
    for name, graph in nets.items():
        np.testing.assert_array_equal(outputs[name], reference.run(graph, inputs[name][np.newaxis])[0])
