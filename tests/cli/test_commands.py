"""The commands as a user meets them: output, exit status, one-line errors."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROGRAM = [sys.executable, "-c", "from tinyformer.cli import main; main()"]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)


def test_help_names_every_command() -> None:
    text = run("--help").stdout
    commands = "run search compile analyze emulate validate profile bench report boards models data"
    for command in commands.split():
        assert f"\n  {command} " in text


def test_boards_as_json_is_one_object_and_nothing_else() -> None:
    found = json.loads(run("boards", "--json").stdout)
    names = {board["name"] for board in found["boards"]}
    assert {"stm32f746g-disco", "rpi-pico", "nucleo-f103rb"} <= names


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["run", "none.toml", "--out", "x"], 2, ["none.toml", "No such file"]),
        (["compile", "none.onnx", "--board", "stm32f746g-disco", "--out", "x"], 1, ["none.onnx"]),
        (["analyze", "none.onnx", "--board", "nowhere"], 2, ["nowhere", "stm32f746g-disco"]),
        (["emulate", "none", "--inputs", "x.npy", "--outputs", "y.npy"], 1, ["x.npy"]),
        (["profile", "none"], 1, ["none", "not a bundle"]),
        (["bench", "kernels", "--only", "conv9x9"], 2, ["conv9x9", "conv3x3-dense"]),
        (["bench", "model", "none"], 2, ["--cmsis-nn-include", "--cmsis-nn-lib"]),
        (["profile", "none", "--port", "/dev/none"], 1, ["none", "not a bundle"]),
        (["report", "none"], 1, ["none", "not a bundle"]),
        (["data", "fetch", "imagenet"], 2, ["imagenet", "cifar10"]),
    ],
)
def test_errors_are_one_line_with_an_exit_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], status: int, words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.returncode == status, result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert all(word in result.stderr for word in words), result.stderr
    assert not list(tmp_path.iterdir()), "nothing half-written"


def test_wrong_use_is_status_2() -> None:
    assert run("compile").returncode == 2
    assert run("no-such-command").returncode == 2


def test_debug_shows_the_traceback() -> None:
    assert "Traceback" in run("report", "none", "--debug").stderr


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    array = np.array([{"a": 1}], dtype=object)
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    result = run("emulate", tmp_path, "--inputs", tmp_path / "x.npy", "--outputs", tmp_path / "y.npy")
    assert result.returncode == 1
    assert "x.npy" in result.stderr
