"""``tinyformer quantize``: what it prints, what it writes, and that the engine takes it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from float_nets import hybrid_net, norm_net
from tinyformer import quantization
from tinyformer.sparse_engine import compiler, frontend

PROGRAM = [sys.executable, "-c", "from tinyformer.cli import main; main()"]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float model, inputs, and the classes that the float model gives them."""
    directory = tmp_path_factory.mktemp("float")
    onnx.save(hybrid_net(), directory / "float.onnx")
    inputs = np.random.default_rng(2).normal(size=(40, 3, 8, 8)).astype(np.float32)
    np.save(directory / "x.npy", inputs)
    np.save(directory / "y.npy", quantization.predict(directory / "float.onnx", inputs).argmax(axis=1))
    return directory


def quantize(files: Path, out: Path, *options: object) -> subprocess.CompletedProcess[str]:
    return run("quantize", files / "float.onnx", "--calibration", files / "x.npy", "--out", out, *options)


def test_calibration_data_that_are_no_numbers_are_refused(files: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "text.npy", np.array(["a", "b"]))
    result = run(
        "quantize", files / "float.onnx", "--calibration", tmp_path / "text.npy", "--out", tmp_path / "new" / "q.onnx"
    )
    assert result.returncode == 1
    assert result.stderr == f"error: {tmp_path / 'text.npy'}: holds <U1; allowed: real numbers\n"
    assert not (tmp_path / "new").exists()


def test_the_folder_of_the_model_is_made(files: Path, tmp_path: Path) -> None:
    assert quantize(files, tmp_path / "new" / "q.onnx").returncode == 0
    assert (tmp_path / "new" / "q.onnx").exists()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["min_max", "percentile", "mse"])
def test_json_tells_the_accuracy_lost(files: Path, tmp_path: Path, method: str) -> None:
    result = quantize(files, tmp_path / "q.onnx", "--labels", files / "y.npy", "--method", method, "--json")
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["model"] == str(tmp_path / "q.onnx")
    assert found["method"] == method
    assert found["accuracy_float"] == 1.0  # the labels are its own
    assert found["accuracy_int8"] >= 0.9
    assert found["accuracy_lost"] == pytest.approx(found["accuracy_float"] - found["accuracy_int8"])
    inputs, labels = np.load(files / "x.npy"), np.load(files / "y.npy")
    assert found["accuracy_int8"] == quantization.accuracy(tmp_path / "q.onnx", inputs, labels)
    assert found["layers"] == len(compiler.read(tmp_path / "q.onnx")[0].nodes)


@pytest.mark.slow
def test_pruned_in_blocks(files: Path, tmp_path: Path) -> None:
    result = quantize(files, tmp_path / "q.onnx", "--sparsity", 0.7, "--block", 4, "--labels", files / "y.npy")
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"int8 model in {tmp_path / 'q.onnx'}: the engine runs it in ")
    assert lines[1].endswith("% of its weights are zero, in blocks of 4")
    assert lines[2].startswith("accuracy on 40: float 100.00%, int8 ")
    graph, _ = compiler.read(tmp_path / "q.onnx")
    linear = [graph.data[node.inputs[1]] for node in graph.nodes if node.op.kind == "linear"]
    assert linear
    for weight in linear:
        blocks = weight.reshape(len(weight), -1, 4)
        empty = ~blocks.any(axis=2)
        assert empty.mean() >= 0.65
    analysis = compiler.analyze(tmp_path / "q.onnx", "stm32f746g-disco", objective="balanced")
    assert any(layer.encoding.startswith("block") for layer in analysis.figures.layers)


@pytest.mark.slow
def test_what_belongs_together_stays_whole(tmp_path: Path) -> None:
    """A decomposed normalisation is one kernel and a Gelu in parts one table: nothing is rounded inside them."""
    onnx.save(norm_net(), tmp_path / "float.onnx")
    inputs = np.random.default_rng(2).normal(size=(40, 7, 12)).astype(np.float32)
    np.save(tmp_path / "x.npy", inputs)
    out = tmp_path / "q.onnx"
    result = run("quantize", tmp_path / "float.onnx", "--calibration", tmp_path / "x.npy", "--out", out)
    assert result.returncode == 0, result.stderr
    kinds = [node.op.kind for node in compiler.read(out)[0].nodes]
    assert kinds == ["add", "layer_norm", "linear", "lookup", "add", "layer_norm", "linear"]
    real, integer = (quantization.predict(tmp_path / name, inputs) for name in ("float.onnx", "q.onnx"))
    assert np.abs(real - integer).max() < 0.04 * np.abs(real).max()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (["--sparsity", "1.5"], 2, ["sparsity 1.5"]),
        (["--sparsity", "0.5", "--block", "3"], 2, ["block 3", "2, 4"]),
        (["--labels", "x.npy"], 1, ["labels have shape (40, 3, 8, 8)", "(40,)"]),
        (["--calibration", "y.npy"], 1, ["calibration data has shape (40,)"]),
    ],
)
def test_wrong_use_writes_nothing(
    files: Path, tmp_path: Path, options: list[str], status: int, words: list[str]
) -> None:
    given = [str(files / option) if option.endswith(".npy") else option for option in options]
    result = quantize(files, tmp_path / "q.onnx", *given)
    assert result.returncode == status, result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert all(word in result.stderr for word in words), result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_result_that_the_engine_refuses_is_not_written(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from tinyformer.cli import app
    from tinyformer.errors import UnsupportedModelError

    def refuse(path: Path) -> None:
        raise UnsupportedModelError(f"{path}: node 'a': not supported; allowed: others; change it")

    monkeypatch.setattr(frontend, "load", refuse)
    arguments = [files / "float.onnx", "--calibration", files / "x.npy", "--out", tmp_path / "q.onnx"]
    result = CliRunner().invoke(app, ["quantize", *map(str, arguments)])
    assert isinstance(result.exception, UnsupportedModelError)
    assert not list(tmp_path.iterdir())
