"""compile_graph and analyze_graph: what is written, what is refused, what is predicted."""

import json
from dataclasses import replace

import numpy as np
import pytest

from engine_models import convolutional_net, random_inputs, transformer_net
from tinyformer import boards
from tinyformer.boards import Memory
from tinyformer.errors import ConfigError, DoesNotFitError, ToolchainError
from tinyformer.sparse_engine import compiler, deployment, elf, reference
from tinyformer.sparse_engine.bundle import Manifest
from tinyformer.sparse_engine.compiler import analyze_graph, compile_graph
from tinyformer.sparse_engine.synthetic import GraphBuilder

BOARD = boards.load("stm32f746g-disco")


def tree(directory):
    return {p.relative_to(directory).as_posix(): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def test_bundle_without_a_compiler(tmp_path):
    compiled = compile_graph(convolutional_net(), BOARD, tmp_path / "b", name="net", toolchain=None)
    assert compiled.image is None
    files = tree(tmp_path / "b")
    assert {
        *("net.h", "net.c", "net_weights.h", "net_weights.c", "manifest.json", "graph.txt", "graph.npz"),
        *("CMakeLists.txt", "golden/inputs.npy", "golden/outputs.npy", "runtime/se_kernels.h", "runtime/se_linear.c"),
        *("port/main.c", "port/link.ld", "port/startup_cortex_m.c"),
    } <= set(files)
    assert not any(name.startswith("image/") for name in files)
    manifest = Manifest.load(tmp_path / "b")
    assert manifest == compiled.manifest
    assert manifest.image is None
    assert compiled.ram_bytes == manifest.predicted.ram_bytes
    assert [p.name for p in tmp_path.iterdir()] == ["b"]


def test_golden_vectors_are_the_reference(tmp_path):
    graph = convolutional_net()
    compile_graph(graph, BOARD, tmp_path / "b", toolchain=None)
    inputs, outputs = (np.load(tmp_path / "b" / "golden" / f"{name}.npy") for name in ("inputs", "outputs"))
    assert inputs.dtype == outputs.dtype == np.int8
    assert {-128, 127} <= {int(sample.min()) for sample in inputs} | {int(sample.max()) for sample in inputs}
    np.testing.assert_array_equal(outputs, reference.run(graph, inputs))


def test_same_graph_same_bytes(tmp_path):
    for directory in ("a", "b"):
        compile_graph(transformer_net(), BOARD, tmp_path / directory)
    first, second = tree(tmp_path / "a"), tree(tmp_path / "b")
    assert first == second
    assert "image/model.elf" in first


@pytest.mark.slow
@pytest.mark.parametrize("net", [convolutional_net, transformer_net])
def test_predictions_hold(net, tmp_path):
    compiled = compile_graph(net(), BOARD, tmp_path / "b")
    manifest = compiled.manifest
    measured = deployment.profile(tmp_path / "b")
    assert abs(manifest.predicted.ram_bytes - measured.ram_bytes) <= 8  # rounding between variables
    assert abs(manifest.predicted.flash_bytes - measured.flash_bytes) <= max(1024, measured.flash_bytes // 100)
    assert abs(manifest.predicted.instructions / measured.instructions - 1) < 0.05
    assert measured.flash_bytes == manifest.image.flash_bytes
    image = elf.read(compiled.image)
    assert image.symbol("model_arena").size == manifest.arena.arena_bytes
    assert measured.stack_bytes <= BOARD.stack_bytes


def test_analysis_agrees_with_compilation(tmp_path):
    graph = transformer_net()
    manifest = compile_graph(graph, BOARD, tmp_path / "b", toolchain=None).manifest
    analysis = analyze_graph(graph, BOARD)
    assert analysis.fits
    assert analysis.figures.flash_bytes == manifest.predicted.flash_bytes
    assert analysis.figures.instructions == manifest.predicted.instructions
    printed = json.loads(json.dumps(analysis.to_dict()))
    assert set(printed) == {
        *("instructions", "cycles_estimated", "latency_ms_estimated", "flash_bytes", "ram_bytes", "arena_bytes"),
        *("stack_bytes", "layers", "fits", "limits", "latency_error_percent", "unvalidated", "memory_counted"),
    }
    assert set(printed["layers"][0]) == {
        *("name", "op", "kernel", "instructions", "cycles_estimated", "latency_ms_estimated", "bound", "macs"),
        *("effective_macs", "weight_bytes", "encoding", "sparsity"),
    }
    assert printed["limits"] == {"flash_bytes": 1024 * 1024, "ram_bytes": 320 * 1024}


def test_layers_of_the_manifest(tmp_path):
    graph = convolutional_net()
    manifest = compile_graph(graph, BOARD, tmp_path / "b", toolchain=None, objective="size").manifest
    sparse = next(layer for layer in manifest.layers if layer.encoding.startswith("block_"))
    weights = graph.data[next(node for node in graph.nodes if node.name == sparse.name).inputs[1]]
    assert sparse.sparsity == pytest.approx(float(np.mean(weights == 0)), abs=1e-6)
    assert sparse.macs == weights.size * 16
    assert sparse.effective_macs == np.count_nonzero(weights) * 16
    assert sparse.encoding in sparse.why
    assert all(layer.index == index for index, layer in enumerate(manifest.layers))
    assert manifest.layers[-1].output_place == "output"


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"flash_limit_bytes": 9000}, ["bytes of flash, allowed are 9000", "largest weights: 'linear_8'"]),
        ({"ram_limit_bytes": 5000}, ["bytes of RAM, allowed are 5000", "largest buffers"]),
    ],
)
def test_does_not_fit(limits, words, tmp_path):
    with pytest.raises(DoesNotFitError) as error:
        compile_graph(convolutional_net(), BOARD, tmp_path / "b", **limits)
    for word in words:
        assert word in str(error.value)
    assert not list(tmp_path.iterdir())


def test_analysis_of_what_does_not_fit():
    analysis = analyze_graph(convolutional_net(), BOARD, ram_limit_bytes=5000)
    assert not analysis.fits
    assert analysis.to_dict()["limits"]["ram_bytes"] == 5000


def test_an_image_larger_than_predicted_is_refused(tmp_path, monkeypatch):
    real = compiler.lay_out

    def optimistic(*arguments, **options):
        return replace(real(*arguments, **options), flash_bytes=0)

    monkeypatch.setattr(compiler, "lay_out", optimistic)
    with pytest.raises(DoesNotFitError, match="allowed are 9000; largest weights"):
        compile_graph(convolutional_net(), BOARD, tmp_path / "b", flash_limit_bytes=9000)
    small = replace(BOARD, flash=Memory(BOARD.flash.origin, 8192))
    with pytest.raises(DoesNotFitError, match=r"model 'model'.*largest weights: 'linear_8'.*largest buffers"):
        compile_graph(convolutional_net(), small, tmp_path / "b")
    assert not list(tmp_path.iterdir())


def test_less_scratch_makes_it_fit():
    """Narrow strips come first; then dense weights, because blocks pad the channels and so the strip."""
    b = GraphBuilder((6, 6, 1), seed=2)
    x = b.conv2d(b.input, 300, (5, 5), sparsity=0.97, block=4, padding=(2, 2, 2, 2))
    graph = b.finish(b.avg_pool(x, (6, 6), (6, 6)))
    free = analyze_graph(graph, BOARD, "size")
    narrow = analyze_graph(graph, BOARD, "size", ram_limit_bytes=free.figures.ram_bytes - 1)
    tight = analyze_graph(graph, BOARD, "size", ram_limit_bytes=narrow.figures.ram_bytes - 1)
    assert free.figures.layers[0].encoding == narrow.figures.layers[0].encoding
    assert narrow.figures.layers[0].encoding != tight.figures.layers[0].encoding
    assert tight.figures.ram_bytes < narrow.figures.ram_bytes < free.figures.ram_bytes
    assert narrow.fits
    assert tight.fits


def test_speed_is_not_slower_than_size():
    counts = {goal: analyze_graph(transformer_net(), BOARD, goal).figures for goal in ("size", "speed", "balanced")}
    assert counts["speed"].instructions <= counts["balanced"].instructions
    assert counts["speed"].instructions <= counts["size"].instructions
    assert counts["size"].flash_bytes <= counts["balanced"].flash_bytes
    assert counts["size"].flash_bytes <= counts["speed"].flash_bytes


def test_labels(tmp_path):
    labels = [f"class {i}" for i in range(9)] + ['"*/']
    compiled = compile_graph(convolutional_net(), BOARD, tmp_path / "b", labels=labels, toolchain=None)
    assert compiled.manifest.labels == tuple(labels)
    assert '"class 0", "class 1"' in (tmp_path / "b" / "model.h").read_text()
    with pytest.raises(ConfigError, match="3 labels for an output of 10"):
        compile_graph(convolutional_net(), BOARD, tmp_path / "c", labels=["a", "b", "c"], toolchain=None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "2x"}, "C identifier"),
        ({"objective": "fast"}, "size, speed, balanced"),
        ({"toolchain": "tcc"}, "zig"),
        ({"board": "no-such-board"}, "stm32f746g-disco"),
    ],
)
def test_wrong_options(options, words, tmp_path):
    with pytest.raises(ConfigError, match=words):
        compile_graph(convolutional_net(), **{"board": BOARD, "out_dir": tmp_path / "b", **options})
    assert not list(tmp_path.iterdir())


def test_nothing_is_left_when_the_compiler_fails(tmp_path, monkeypatch):
    def fail(*_):
        raise ToolchainError("broken")

    monkeypatch.setattr(compiler.image, "build", fail)
    with pytest.raises(ToolchainError, match="broken"):
        compile_graph(convolutional_net(), BOARD, tmp_path / "b")
    assert not list(tmp_path.iterdir())


def test_an_earlier_bundle_is_replaced_and_nothing_else(tmp_path):
    directory = tmp_path / "b"
    compile_graph(convolutional_net(), BOARD, directory, name="old", toolchain=None)
    compile_graph(convolutional_net(), BOARD, directory, name="next", toolchain=None)
    assert (directory / "next.c").exists()
    assert not (directory / "old.c").exists()
    other = tmp_path / "precious"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="is not a bundle"):
        compile_graph(convolutional_net(), BOARD, other, toolchain=None)
    assert tree(other) == {"thesis.txt": b"years of work"}


def test_a_board_without_cost_table_is_compiled_for_size(tmp_path, monkeypatch):
    monkeypatch.setattr("tinyformer.sparse_engine.cost.of_image", lambda board: None)
    compiled = compile_graph(convolutional_net(), BOARD, tmp_path / "b", toolchain=None)
    assert compiled.flash_bytes is None
    assert compiled.manifest.predicted.instructions is None
    analysis = analyze_graph(convolutional_net(), BOARD)
    assert analysis.figures.flash_bytes is None
    assert analysis.figures.ram_bytes == compiled.ram_bytes + 0


@pytest.mark.emulator
def test_emulate_reports_what_the_command_prints(tmp_path):
    graph = convolutional_net()
    compile_graph(graph, BOARD, tmp_path / "b")
    samples = random_inputs(graph, 3)
    result = deployment.emulate(tmp_path / "b", samples)
    np.testing.assert_array_equal(result.outputs, reference.run(graph, samples))
    printed = json.loads(json.dumps(result.figures.to_dict()))
    assert printed["instructions"] > sum(layer["instructions"] for layer in printed["layers"]) > 0
    compile_graph(graph, BOARD, tmp_path / "c", toolchain=None)
    with pytest.raises(ConfigError, match="has no image"):
        deployment.emulate(tmp_path / "c", samples)
