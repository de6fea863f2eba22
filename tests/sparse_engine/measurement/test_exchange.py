"""The whole exchange: the command, a pseudo-terminal, and the profile image on the UART of a board in QEMU."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine_models import transformer_net
from tinyformer.sparse_engine import deployment
from tinyformer.sparse_engine.bundle import Manifest
from tinyformer.sparse_engine.compiler import compile_graph
from tinyformer.sparse_engine.emulator import qemu
from tinyformer.sparse_engine.measurement import firmware

pytestmark = [
    pytest.mark.full,
    pytest.mark.emulator,
    pytest.mark.skipif(shutil.which(qemu.PROGRAM) is None, reason=f"{qemu.PROGRAM} is not installed"),
]
PROGRAM = [sys.executable, "-c", "from tinyformer.cli import main; main()"]
TICKS_PER_INSTRUCTION = (1 << qemu.SHIFT) / 40
CALL_INSTRUCTIONS = 6
"""At most so many between two marks belong to no layer: the arguments of the call and the call itself."""


@pytest.fixture(scope="module", params=["zig", pytest.param("gcc", id="gcc")])
def bundle(request, tmp_path_factory) -> Path:
    if request.param == "gcc" and shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("arm-none-eabi-gcc is not installed")
    directory = tmp_path_factory.mktemp("exchange") / "bundle"
    compile_graph(transformer_net(), "mps2-an500", directory, toolchain=request.param)
    firmware.prepare(directory, Manifest.load(directory))
    return directory


@pytest.fixture
def port(bundle: Path, tmp_path: Path) -> Iterator[str]:
    """A board in QEMU that runs the profile image; the timer counts its instructions exactly."""
    command = [qemu.PROGRAM, "-M", "mps2-an500", "-kernel", str(bundle / "image" / "model-profile.elf")]
    command += ["-icount", f"shift={qemu.SHIFT},sleep=off", "-display", "none", "-monitor", "none", "-serial", "pty"]
    log = tmp_path / "qemu.log"
    with log.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT) as process:
        try:
            found = None
            deadline = time.monotonic() + 20
            while found is None and time.monotonic() < deadline and process.poll() is None:
                time.sleep(0.1)
                found = re.search(r"redirected to (/dev/\S+)", log.read_text())
            assert found is not None, log.read_text()
            yield found[1]
        finally:
            process.kill()


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)


def test_profile_of_a_board_in_qemu(bundle: Path, port: str) -> None:
    result = run("profile", bundle, "--port", port, "--json")
    assert result.returncode == 0, result.stderr
    printed = json.loads(result.stdout)
    assert json.loads((bundle / "profile.json").read_text()) == printed
    figures = deployment.profile(bundle)
    assert len(printed["layers"]) == len(figures.layers)
    for layer, emulated in zip(printed["layers"], figures.layers, strict=True):
        assert "cycles_estimated" in layer
        instructions = layer["cycles_measured"] / TICKS_PER_INSTRUCTION
        assert emulated.instructions <= instructions + 1 <= emulated.instructions + CALL_INSTRUCTIONS + 1, layer
    assert printed["cycles_measured"] == sum(layer["cycles_measured"] for layer in printed["layers"])
    assert printed["latency_ms_measured"] == pytest.approx(printed["cycles_measured"] / 25_000)

    table = run("profile", bundle, "--port", port)
    assert table.returncode == 0, table.stderr
    assert f"measured at {port}" in table.stdout
    assert "one inference at 25 MHz" in table.stdout


def test_another_image_on_the_board_is_noticed(bundle: Path, port: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    compile_graph(transformer_net(), "mps2-an500", other, objective="size", toolchain="zig")
    result = run("profile", other, "--port", port)
    assert result.returncode == 1
    notice, error = result.stderr.splitlines()
    assert notice.startswith("the profile image is built: flash ")
    assert error.startswith("error: the board runs another profile image")
