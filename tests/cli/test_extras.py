"""What a long command lacks is one line that names the extra with all of it."""

import importlib.util
import json
import subprocess
import sys
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


def test_the_space_analysis_needs_neither_extras_nor_data(tmp_path: Path) -> None:
    """Algorithm 1 of another dataset and board, in a Python that has the base installation alone."""
    (tmp_path / "run.toml").write_text(
        '[data]\nname = "cifar10"\n[space]\npreset = "normal"\n[analysis]\nsamples = 5\n'
    )
    extra = {*extras.RUN, "ziglang", "ray", "tensorboardX"}
    program = (
        "import sys\n"
        f"class Absent:\n def find_spec(self, name, path=None, target=None):\n  if name.split('.')[0] in {extra}:\n"
        "   raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from tinyformer.cli import main\n"
        "main()\n"
    )
    arguments = ["search", "run.toml", "--analyze-only", "--json"]
    environment = {"PATH": "", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=tmp_path, env=environment, capture_output=True, check=False
    )
    assert not done.stderr
    assert json.loads(done.stdout)["evaluated"] == 5
    assert not (tmp_path / "cache").exists()
