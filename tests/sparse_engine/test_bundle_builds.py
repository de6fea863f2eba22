"""The bundle as a user builds it: a plain compiler call, CMake, a static library for an STM32CubeIDE project."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from engine_models import convolutional_net
from tinyformer import boards
from tinyformer.sparse_engine.compiler import compile_graph
from tinyformer.sparse_engine.toolchain import flashing


def needs(tool: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(tool) is None, reason=f"{tool} is not installed")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("built") / "bundle"
    labels = [f"class {index}" for index in range(10)]
    return compile_graph(
        convolutional_net(), "stm32f746g-disco", directory, name="net", toolchain=None, labels=labels
    ).directory


def build(directory: Path, *command: str) -> None:
    result = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr + result.stdout
    assert "warning" not in result.stderr


def check_example(program: Path, bundle: Path) -> None:
    """Feed the golden inputs as a camera's bytes; the golden outputs must come out, with the label of the greatest."""
    inputs, outputs = (np.load(bundle / "golden" / f"{name}.npy") for name in ("inputs", "outputs"))
    pixels = (inputs.astype(np.int16) + 128).astype(np.uint8)
    result = subprocess.run([program], input=pixels.tobytes(), capture_output=True, check=True)
    lines = result.stdout.decode().splitlines()
    assert lines == [f"class {row.argmax()}: {' '.join(map(str, row))}" for row in outputs.reshape(len(outputs), -1)]


@pytest.mark.slow
@needs("cc")
def test_a_plain_compiler_call(bundle: Path, tmp_path: Path) -> None:
    """The line that the example itself gives, with warnings; and the model's own files without any option."""
    copy = shutil.copytree(bundle, tmp_path / "bundle")
    sources = ["example/main.c", *(path.name for path in copy.glob("*.c"))]
    sources += [str(path.relative_to(copy)) for path in sorted(copy.glob("runtime/*.c"))]
    assert "cc -I. -Iruntime -o example/net example/main.c *.c runtime/se_*.c" in (copy / "example/main.c").read_text()
    build(copy, "cc", "-std=c99", "-Wall", "-Wextra", "-I.", "-Iruntime", "-o", "example/net", *sources)
    check_example(copy / "example/net", bundle)
    build(copy, "cc", "-c", *(path.name for path in copy.glob("*.c")))
    assert (copy / "net.o").exists()


@pytest.mark.slow
@needs("cmake")
@needs("cc")
def test_cmake_builds_library_and_example(bundle: Path, tmp_path: Path) -> None:
    build(tmp_path, "cmake", "-S", str(bundle), "-B", "out", "-G", "Unix Makefiles", "-DCMAKE_BUILD_TYPE=Release")
    build(tmp_path, "cmake", "--build", "out")
    assert (tmp_path / "out" / "libnet.a").exists()
    check_example(tmp_path / "out" / "net_example", bundle)


@pytest.mark.slow
@needs("cmake")
@needs("cc")
def test_cmake_takes_it_as_a_folder_of_a_project(bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(bundle, tmp_path / "net")
    (tmp_path / "app.c").write_text(
        '#include "net.h"\nstatic int8_t in[NET_INPUT_BYTES], out[NET_OUTPUT_BYTES];\n'
        "int main(void) { net_run(in, out); return 0; }\n"
    )
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.13)\nproject(app C)\nadd_subdirectory(net)\n"
        "add_executable(app app.c)\ntarget_link_libraries(app net)\n"
    )
    build(tmp_path, "cmake", "-S", ".", "-B", "out", "-G", "Unix Makefiles")
    build(tmp_path, "cmake", "--build", "out")
    assert not list((tmp_path / "out").rglob("net_example"))
    subprocess.run([tmp_path / "out" / "app"], check=True)


@pytest.mark.slow
@needs("arm-none-eabi-gcc")
def test_a_static_library_for_the_cube_ide(bundle: Path, tmp_path: Path) -> None:
    """With the options of an STM32CubeIDE project for the F746; what it leaves open is memcpy and memset at most."""
    options = ["-mcpu=cortex-m7", "-mthumb", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard", "-std=gnu11", "-O2", "-Wall"]
    sources = [str(path) for path in (*bundle.glob("*.c"), *sorted(bundle.glob("runtime/*.c")))]
    includes = [f"-I{bundle}", f"-I{bundle / 'runtime'}"]
    build(tmp_path, "arm-none-eabi-gcc", *options, "-ffunction-sections", "-fdata-sections", *includes, "-c", *sources)
    build(tmp_path, "arm-none-eabi-ar", "rcs", "libnet.a", *(str(path) for path in sorted(tmp_path.glob("*.o"))))
    build(tmp_path, "arm-none-eabi-gcc", *options, "-r", "-nostdlib", "-o", "all.o", "-Wl,--whole-archive", "libnet.a")
    names = subprocess.run(["arm-none-eabi-nm", "all.o"], cwd=tmp_path, capture_output=True, text=True, check=True)  # noqa: S607
    undefined = {line.split()[-1] for line in names.stdout.splitlines() if " U " in line}
    assert undefined <= {"memcpy", "memset"}
    assert " T net_run" in names.stdout


@pytest.mark.parametrize("name", boards.names())
def test_every_board_has_a_flashing_line(name: str) -> None:
    line = flashing.line(boards.load(name), "out/image/net")
    assert "out/image/net." in line
    assert "{" not in line


def test_another_board_gets_the_address_of_its_flash(tmp_path: Path) -> None:
    text = (Path(boards.__file__).parent / "boards.toml").read_text()
    table = text[text.index("[nucleo-f103rb]") :].split("\n", 1)[1].split("\n[", 1)[0]
    (tmp_path / "mine.toml").write_text(table)
    line = flashing.line(boards.load(tmp_path / "mine.toml"), "net")
    assert line == "st-flash --reset write net.bin 0x08000000"
