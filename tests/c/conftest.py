"""The runtime as a host library under the undefined-behaviour sanitiser, and its parameter structs, for ctypes."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import tinyformer.sparse_engine

RUNTIME = Path(tinyformer.sparse_engine.__file__).parent / "runtime"
WARNINGS = ("-std=gnu11", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")
SANITIZER_VARIABLE = "TINYFORMER_TEST_SANITIZER"  # test_address_sanitizer.py runs these tests once more with "address"
BUILDS = {
    "undefined": ((sys.executable, "-m", "ziglang", "cc"), "undefined"),
    "address": (("gcc",), "address,undefined"),
}
C_TYPES = {"int32_t": ctypes.c_int32, "int64_t": ctypes.c_int64}


@pytest.fixture(scope="session")
def runtime_directory() -> Path:
    """Directory of the runtime's sources."""
    return RUNTIME


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """Every kernel, compiled for this machine; undefined behaviour aborts the test run."""
    library = tmp_path_factory.mktemp("runtime") / "libruntime.so"
    compiler, sanitizers = BUILDS[os.environ.get(SANITIZER_VARIABLE, "undefined")]
    command = [*compiler, "-shared", "-fPIC", "-O1", "-g", *WARNINGS, f"-I{RUNTIME}"]
    command += [f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all"]
    command += map(str, [*sorted(RUNTIME.glob("*.c")), *sorted(Path(__file__).parent.glob("shim_*.c"))])
    built = subprocess.run([*command, "-o", str(library)], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return ctypes.CDLL(str(library))


@pytest.fixture(scope="session")
def structs() -> Mapping[str, type[ctypes.Structure]]:
    """The parameter structs of se_kernels.h by name: ``structs["se_add_params"](elements=8, ...)``."""
    text = re.sub(r"/\*.*?\*/", "", (RUNTIME / "se_kernels.h").read_text(), flags=re.DOTALL)
    found = re.findall(r"typedef struct \{(.*?)\}\s*(\w+);", text, flags=re.DOTALL)
    return {name: type(name, (ctypes.Structure,), {"_fields_": _fields(body)}) for body, name in found}


def _fields(body: str) -> list[tuple[str, type]]:
    fields: list[tuple[str, type]] = []
    for declaration in filter(None, (part.strip() for part in body.split(";"))):
        c_type, names = declaration.removeprefix("const ").split(maxsplit=1)
        for declarator in names.split(","):
            match = re.fullmatch(r"(\*?)(\w+)(?:\[(\d+)\])?", declarator.strip())
            assert match, declarator
            pointer, field, length = match.groups()
            base = ctypes.c_void_p if pointer else C_TYPES[c_type]
            fields.append((field, base * int(length) if length else base))
    return fields
