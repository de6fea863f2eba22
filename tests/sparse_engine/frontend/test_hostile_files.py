"""Thousands of hostile files through the compiler, in processes of their own: refused or right, in bounded time."""

from __future__ import annotations

import json
import os
import queue
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

import hostile_files
import qdq_nets
from qdq_cases import CASES
from tinyformer import boards
from tinyformer.sparse_engine import compiler, host, toolchain

TESTS = Path(hostile_files.__file__).parent
LIMIT_S = 20.0


class Worker:
    """A process that compiles files and is replaced when it hangs or dies."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
        self._process = subprocess.Popen(
            [sys.executable, str(TESTS / "hostile_files.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._pump, args=(self._process.stdout, self._lines), daemon=True).start()

    @staticmethod
    def _pump(stream, lines) -> None:
        for line in stream:
            lines.put(line)
        lines.put("")

    def outcome(self, path: Path) -> str:
        """Return what became of a file; ``hang`` and ``died`` name the stage."""
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        stage = "start"
        while True:
            try:
                line = self._lines.get(timeout=LIMIT_S if stage != "start" else 60.0)
            except queue.Empty:
                self.stop()
                self._start()
                return f"hang in {stage}"
            if not line:
                status = self._process.wait()
                self._start()
                return f"died in {stage} with status {status}"
            answer = json.loads(line)
            if "result" in answer:
                return str(answer["result"])
            stage = answer["stage"]

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    found = Worker()
    yield found
    found.stop()


@pytest.fixture(scope="module")
def models() -> list[onnx.ModelProto]:
    return [*(case.model() for case in CASES), *[qdq_nets.convolutional_net(), qdq_nets.encoder_net()] * 8]


ACCEPTABLE = ("refused", "right", "not comparable", "died in onnxruntime", "hang in onnxruntime")


def run(worker: Worker, models: list[onnx.ModelProto], directory: Path, seed: int, count: int) -> Counter[str]:
    """Compile mutants; fail with what was done to the first that is neither refused nor right, and keep its file."""
    rng = random.Random(seed)
    outcomes: Counter[str] = Counter()
    wrong = []
    for index in range(count):
        how, data = hostile_files.mutant(rng, models)
        path = directory / f"mutant_{index}.onnx"
        path.write_bytes(data)
        found = worker.outcome(path)
        kind = next((k for k in ACCEPTABLE if found == k or (k != "refused" and found.startswith(k))), "wrong")
        outcomes[kind] += 1
        if kind == "wrong":
            wrong.append(f"{path} ({how}): {found}")
        else:
            path.unlink()
    assert not wrong, "\n".join(wrong)
    return outcomes


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_hostile_names_reach_the_c_as_harmless_comments(models, tmp_path, seed):
    """Every tensor and node renamed, the C compiled with warnings as errors and run: equal to the reference."""
    model = onnx.ModelProto()
    model.CopyFrom([qdq_nets.convolutional_net(), qdq_nets.encoder_net(), models[0]][seed])
    hostile_files.rename_all(random.Random(seed), model.graph)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    bundle = compiler.compile(
        tmp_path / "model.onnx", "stm32f746g-disco", tmp_path / "bundle", toolchain=None
    ).directory
    sources = [bundle / "model.c", bundle / "model_weights.c"]
    found = toolchain.find("zig")
    found.check(sources, [bundle, bundle / "runtime"], boards.load("stm32f746g-disco").isa)
    inputs, outputs = (np.load(bundle / "golden" / f"{name}.npy") for name in ("inputs", "outputs"))
    np.testing.assert_array_equal(host.load(bundle).run(inputs), outputs)
    assert not list(Path.cwd().glob("hostile"))


@pytest.mark.slow
def test_some_hostile_files(worker, models, tmp_path):
    outcomes = run(worker, models, tmp_path, seed=1, count=150)
    assert outcomes["refused"] > 40
    assert outcomes["right"] > 10


@pytest.mark.full
@pytest.mark.parametrize("seed", range(100, 104))
def test_hostile_files(worker, models, tmp_path, seed):
    """Four times 600: no crash, no hang of more than 20 s, no wrong code."""
    outcomes = run(worker, models, tmp_path, seed=seed, count=600)
    assert outcomes["right"] > 60
