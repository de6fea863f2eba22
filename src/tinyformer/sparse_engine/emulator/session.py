"""Run an image in the emulator: the parent's side of the worker process."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from tinyformer.boards import Board
from tinyformer.errors import EmulatorError, MissingExtraError
from tinyformer.sparse_engine import toolchain
from tinyformer.sparse_engine.emulator.emulation import Emulation, TracePoint
from tinyformer.sparse_engine.emulator.job import ERROR, FAILED, INPUTS, JOB, OUTPUTS, PROFILE, RESULT, Job
from tinyformer.sparse_engine.toolchain import cache

_WORKER = "tinyformer.sparse_engine.emulator.worker"
_PACKAGES = {"unicorn": "unicorn", "capstone": "capstone", "elftools": "pyelftools"}


def run(
    elf_path: Path,
    board: Board,
    inputs: npt.NDArray[np.int8],
    *,
    name: str,
    output_bytes: int,
    timeout_s: float,
    trace: Sequence[TracePoint] = (),
) -> Emulation:
    """Run an image's model once per input on the emulated core of a board.

    ``inputs`` is int8 (N, input bytes), N at least 1; ``name`` is the model's. During an inference input and output lie
    in memory of their own with nothing mapped around it, the input read-only, so that an access outside them is an
    error. ``trace`` names memory to read right after given nodes.

    Raises:
        EmulatorError: the program faults, is not an image of this model and board, or takes longer than ``timeout_s``
            seconds in all.
        MissingExtraError: unicorn, capstone, pyelftools or ziglang is not installed.
    """
    check_inputs(inputs)
    for module, package in _PACKAGES.items():
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(package, "emulator", "emulating a board")
    job = Job(str(elf_path.absolute()), name, output_bytes, str(hook_library()), tuple(trace), board, timeout_s)
    with TemporaryDirectory(prefix="tinyformer-") as scratch:
        directory = Path(scratch)
        (directory / JOB).write_text(job.to_json())
        np.save(directory / INPUTS, np.ascontiguousarray(inputs))
        _start_worker(directory, timeout_s)
        return _read_result(directory, len(trace))


def check_inputs(inputs: npt.NDArray[np.int8]) -> None:
    """Check that inputs are int8 (N, input bytes) with N at least 1.

    Raises:
        EmulatorError: they are not.
    """
    if inputs.dtype != np.int8 or inputs.ndim != 2 or not len(inputs):
        raise EmulatorError(
            f"inputs are {inputs.dtype}{list(inputs.shape)}: give int8 of shape [N, input bytes], N at least 1"
        )


def hook_library() -> Path:
    """Return the shared library of the block hook, compiled at first use and kept in the cache.

    Raises:
        MissingExtraError: the ``ziglang`` package is not installed.
        ToolchainError: it does not compile.
    """
    compiler = toolchain.find("zig")
    with as_file(files("tinyformer.sparse_engine.emulator") / "block_hook.c") as source:
        key = hashlib.sha256(source.read_bytes() + compiler.version().encode()).hexdigest()[:16]
        directory = cache.directory("emulator")
        library = directory / f"block_hook-{key}.so"
        with cache.locked(directory):
            if not library.exists():
                unfinished = library.with_suffix(".new")
                compiler.build_host([source], [], unfinished)
                unfinished.replace(library)
    return library


def _start_worker(directory: Path, timeout_s: float) -> None:
    command = [sys.executable, "-P", "-m", _WORKER, str(directory)]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        raise EmulatorError(
            f"the emulated program did not finish within {timeout_s:g} s: allow more time, or it hangs"
        ) from None
    if result.returncode == FAILED:
        raise EmulatorError((directory / ERROR).read_text())
    if result.returncode:
        last = result.stderr.strip().splitlines()[-1:] or ["no message"]
        raise EmulatorError(f"the emulator's process ended with status {result.returncode}: {last[0]}")


def _read_result(directory: Path, traces: int) -> Emulation:
    result = json.loads((directory / RESULT).read_text())
    return Emulation(
        outputs=np.load(directory / OUTPUTS),
        instructions=max(result["instructions_each"]),
        instructions_each=tuple(result["instructions_each"]),
        layer_instructions=tuple(result["layer_instructions"]),
        overhead_instructions=result["overhead_instructions"],
        stack_bytes=result["stack_bytes"],
        profile=np.load(directory / PROFILE),
        traces=tuple(np.load(directory / f"trace_{number}.npy") for number in range(traces)),
        console=result["console"],
    )
