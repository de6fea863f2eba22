"""The zig toolchain: targets, failures in one line, host libraries, its own cache."""

import ctypes
import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import toy_bundle
from tinyformer import boards
from tinyformer.boards import ISA_OPTIONS, Isa, Memory
from tinyformer.errors import ConfigError, DoesNotFitError, MissingExtraError, ToolchainError
from tinyformer.sparse_engine import toolchain
from tinyformer.sparse_engine.toolchain import cache, image, zig

DISCO = boards.load("stm32f746g-disco")
OVERFLOWING = "int add(int a, int b);\nint add(int a, int b) { return a + b; }\n"


def test_every_instruction_set_has_a_target() -> None:
    assert set(zig.TARGETS) == {Isa(core, *option) for core, options in ISA_OPTIONS.items() for option in options}


def test_find_returns_zig_by_default() -> None:
    compiler = toolchain.find()
    assert compiler.name == "zig"
    assert compiler.version()[0].isdigit()


def test_unknown_toolchain_lists_names() -> None:
    with pytest.raises(ConfigError, match="choose one of zig, gcc"):
        toolchain.find("icc")


def test_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tinyformer\[emulator\]'"):
        toolchain.find("zig")


def test_compiler_error_is_quoted_in_one_line(tmp_path: Path) -> None:
    bundle = toy_bundle.write(tmp_path, DISCO, inserted="int32_t x = undeclared; int32_t y = other;")
    with pytest.raises(ToolchainError) as caught:
        image.build(bundle, DISCO, toolchain.find(), "toy")
    assert "toy.c:" in str(caught.value)
    assert "error: use of undeclared identifier 'undeclared'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_linker_error_is_quoted_in_one_line(tmp_path: Path) -> None:
    bundle = toy_bundle.write(tmp_path, DISCO, inserted="extern void nowhere(void); nowhere();")
    with pytest.raises(ToolchainError, match=r"undefined symbol: nowhere$"):
        image.build(bundle, DISCO, toolchain.find(), "toy")


@pytest.mark.parametrize(
    ("board", "region"),
    [
        (replace(DISCO, flash=Memory(0x0800_0000, 512)), "FLASH"),
        (replace(DISCO, ram=Memory(0x2000_0000, 4160)), "RAM"),
    ],
)
def test_image_that_does_not_fit(tmp_path: Path, board: boards.Board, region: str) -> None:
    bundle = toy_bundle.write(tmp_path, board)
    with pytest.raises(DoesNotFitError, match=f"bytes more than the board's {region} has"):
        image.build(bundle, board, toolchain.find(), "toy")


def test_missing_source_is_named(tmp_path: Path) -> None:
    bundle = toy_bundle.write(tmp_path, DISCO)
    (bundle / "toy.c").unlink()
    with pytest.raises(ToolchainError, match=r"nothing to compile at .*toy\.c"):
        image.build(bundle, DISCO, toolchain.find(), "toy")


def test_warning_is_an_error_for_check_only(tmp_path: Path) -> None:
    source = tmp_path / "narrow.c"
    source.write_text("signed char narrow(int a);\nsigned char narrow(int a) { return a; }\n")
    with pytest.raises(ToolchainError, match="implicit conversion loses integer precision"):
        toolchain.find().check([source], [], DISCO.isa)
    toolchain.find().build_host([source], [], tmp_path / "narrow.so")


def test_host_library_is_called_through_ctypes(tmp_path: Path) -> None:
    source = tmp_path / "twice.c"
    source.write_text("int twice(int a);\nint twice(int a) { return FACTOR * a; }\n")
    toolchain.find().build_host([source], [], tmp_path / "twice.so", defines=["FACTOR=2"])
    assert ctypes.CDLL(str(tmp_path / "twice.so")).twice(21) == 42


@pytest.mark.slow
def test_sanitised_host_library_stops_at_undefined_behaviour(tmp_path: Path) -> None:
    (tmp_path / "add.c").write_text(OVERFLOWING)
    toolchain.find().build_host([tmp_path / "add.c"], [], tmp_path / "add.so", sanitize=True)
    for operand, status_is_zero in ((1, True), (2**31 - 1, False)):
        program = f"import ctypes; ctypes.CDLL({str(tmp_path / 'add.so')!r}).add({operand}, 1)"
        result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert (result.returncode == 0) == status_is_zero
        assert ("signed integer overflow" in result.stderr) != status_is_zero


def test_cache_follows_xdg_and_refuses_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.directory("zig-1") == tmp_path / "tinyformer" / "zig-1"
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(ToolchainError, match="set XDG_CACHE_HOME to a writable directory"):
        cache.directory("zig-1")


def test_lock_keeps_others_waiting(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path\nfrom tinyformer.sparse_engine.toolchain import cache\n"
        f"with cache.locked(Path({str(tmp_path)!r})): print('in')\n"
    )
    with cache.locked(tmp_path):
        other = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            other.communicate(timeout=0.4)
    assert other.communicate(timeout=20)[0] == "in\n"
