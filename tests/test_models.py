"""The models that ship: found by name, listed with what they reach."""

import json
from pathlib import Path

import pytest

from tinyformer import models
from tinyformer.cli.models_command import list_models
from tinyformer.sparse_engine import compiler

RESULT = {
    "board": "stm32f746g-disco",
    "accuracy": {"int8": 0.9012},
    "flash_bytes": 2048,
    "ram_bytes": 1024,
    "nonzero_weights": 10,
    "instructions": 1000,
    "latency_ms_estimated": None,
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "models" / "tiny"
    home.mkdir(parents=True)
    (home / "model.onnx").write_bytes(b"onnx")
    (home / "result.json").write_text(json.dumps(RESULT))
    (home.parent / "unfinished").mkdir()
    monkeypatch.setattr(models, "_CHECKOUT", home.parent)
    return home


def test_a_name_is_a_file(folder: Path) -> None:
    assert [model.name for model in models.shipped()] == ["tiny"]
    assert models.find("tiny") == folder / "model.onnx"
    assert models.find(Path("tiny")) == folder / "model.onnx"
    assert models.find("other.onnx") == Path("other.onnx")


def test_what_lies_at_the_path_comes_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    Path("tiny").write_bytes(b"mine")
    assert models.find("tiny") == Path("tiny")


def test_the_compiler_takes_names(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def load(path: Path) -> None:
        seen.append(path)
        raise KeyboardInterrupt

    monkeypatch.setattr(compiler.frontend, "load", load)
    with pytest.raises(KeyboardInterrupt):
        compiler.read("tiny")
    assert seen == [folder / "model.onnx"]


def test_models_are_listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    list_models(json=True)
    (found,) = json.loads(capsys.readouterr().out)["models"]
    assert found["name"] == "tiny"
    assert found["file"] == str(folder / "model.onnx")
    assert found["accuracy"] == {"int8": 0.9012}
    list_models()
    assert "90.12%" in capsys.readouterr().out


def test_without_models_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(models, "_CHECKOUT", tmp_path)
    list_models()
    assert "no model" in capsys.readouterr().out
