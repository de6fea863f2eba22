"""What a long command lacks is one line that names the extra with all of it."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tinyformer.cli import app, extras
from tinyformer.errors import MissingExtraError


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def leave_out(module: str) -> None:
        real = importlib.util.find_spec
        monkeypatch.setattr(extras, "find_spec", lambda name: None if name == module else real(name))

    return leave_out


@pytest.mark.parametrize(("command", "module"), [("run", "onnxruntime"), ("run", "unicorn"), ("search", "torch")])
def test_a_command_names_what_it_lacks(
    command: str, module: str, without: Callable[[str], None], tmp_path: Path
) -> None:
    without(module)
    arguments = [command, "--out", str(tmp_path / "out"), *(["run.toml"] if command == "search" else [])]
    error = CliRunner().invoke(app, arguments).exception
    assert isinstance(error, MissingExtraError)
    assert str(error) == (
        f"tinyformer {command} needs the package '{module}', which is not installed: pip install 'tinyformer[all]'"
    )
    assert not (tmp_path / "out").exists()


def test_a_search_needs_no_emulator() -> None:
    assert set(extras.RUN) - set(extras.SEARCH) == {"unicorn", "capstone", "elftools"}
