"""The last stages of a run: quantise, compile, and prove on the emulated core."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tinyformer import quantization
from tinyformer.data import Dataset
from tinyformer.errors import DoesNotFitError
from tinyformer.pipeline.context import RunContext
from tinyformer.sparse_engine import compiler, deployment, graph_file, host, ops, reference
from tinyformer.sparse_engine.bundle import GRAPH_FILE, Manifest
from tinyformer.sparse_engine.ir import Graph
from tinyformer.supernet import SinglePathModel
from tinyformer.training import evaluate, normalize

MODEL_FILE = "model.onnx"
BUNDLE = "bundle"
_VERSIONS = ("tinyformer", "torch", "numpy", "onnx", "onnxruntime", "optuna", "ziglang", "unicorn")
_EMULATED_TIMEOUT_S = 3600.0


def quantize(run: RunContext, model: SinglePathModel, target: Path) -> None:
    """Quantise a trained model into a QDQ ONNX file; the float one lies beside it, with ``-float`` in its name."""
    data = run.dataset
    generator = np.random.default_rng(run.config.seed)
    chosen = generator.permutation(len(data.x_train))[: run.config.calibration.samples]
    float_file = target.with_name(f"{target.stem}-float.onnx")
    beside = target.with_suffix(".onnx.part")
    quantization.export_float(model, float_file)
    calibration: npt.NDArray[np.float32] = normalize(
        torch.from_numpy(data.x_train[chosen]), data.mean, data.std
    ).numpy()
    quantization.quantize(float_file, calibration, beside, run.quantizing)
    beside.replace(target)


def compile_model(run: RunContext, model: Path) -> compiler.CompiledModel:
    """Compile the run's model for its board within the run's limits."""
    run.progress.stage("compilation")
    config = run.config
    return compiler.compile(
        model,
        run.board,
        run.directory / BUNDLE,
        name=config.name,
        objective=config.compile.objective,
        toolchain=config.compile.toolchain,
        labels=run.dataset.classes,
        flash_limit_bytes=run.limits.flash_bytes,
        ram_limit_bytes=run.limits.ram_bytes,
        latency_limit_ms=run.limits.latency_ms,
    )


def require_latency(run: RunContext, bundle: Path) -> None:
    """Check the estimated latency of the built image against the run's limit.

    Raises:
        DoesNotFitError: it takes longer.
    """
    limit_ms = run.limits.latency_ms
    if limit_ms is None:
        return
    need_ms = deployment.profile(bundle, timeout_s=_EMULATED_TIMEOUT_S).latency_ms_estimated or 0.0
    if need_ms > limit_ms:
        raise DoesNotFitError(
            f"the image takes {need_ms:.4g} ms, estimated from what it executes, allowed are {limit_ms:g} ms"
            " ([limits] latency_ms): raise the limit, or search with a lower one, as predictions may be off by 5 %"
        )


@dataclass(frozen=True)
class Proof:
    """What running the bundle on the test split showed.

    ``int8`` is the accuracy of the compiled C on the host over the whole test split, ``device`` that of the emulated
    core over ``device_samples`` images; ``bit_exact`` says that reference, host and core gave equal integers on these.
    """

    int8: float
    device: float
    device_samples: int
    bit_exact: bool
    figures: dict[str, Any]


def prove(run: RunContext, bundle: Path) -> Proof:
    """Run the bundle on the test split: on the host, on the emulated core, and by the NumPy reference."""
    data = run.dataset
    images = np.ascontiguousarray(data.x_test.transpose(0, 3, 1, 2))
    manifest = Manifest.load(bundle)
    run.progress.stage("test split on the host")
    host_outputs = host.load(bundle)(images)
    count = min(run.config.verify.device_samples or len(images), len(images))
    chosen = np.arange(count) * len(images) // count  # all over the split, which may be sorted by class
    run.progress.stage("emulated core")
    emulated = deployment.emulate(bundle, images[chosen], timeout_s=_EMULATED_TIMEOUT_S)
    run.progress.stage("reference", count)
    graph = graph_file.load(bundle / GRAPH_FILE)
    exact = np.array_equal(emulated.outputs, host_outputs[chosen])
    for index, sample in enumerate(manifest.input.from_file_layout(images[chosen])):
        expected = reference.run(graph, sample[np.newaxis]).astype(np.int8)
        exact = exact and np.array_equal(manifest.output.to_file_layout(expected)[0], emulated.outputs[index])
        run.progress.advance(index + 1)
    return Proof(
        int8=_accuracy(host_outputs, data.y_test),
        device=_accuracy(emulated.outputs, data.y_test[chosen]),
        device_samples=count,
        bit_exact=exact,
        figures=emulated.figures.to_dict(),
    )


def float_accuracy(model: SinglePathModel, data: Dataset) -> float:
    """Return a float model's accuracy on the test split."""
    return evaluate(model, data.x_test, data.y_test, mean=data.mean, std=data.std)


def weight_counts(bundle: Path) -> tuple[int, int]:
    """Return how many weights of convolutions and linear layers are not zero, and how many there are."""
    graph: Graph = graph_file.load(bundle / GRAPH_FILE)
    weights = [graph.data[node.inputs[1]] for node in graph.nodes if ops.with_weights(node.op) is not None]
    return sum(int(np.count_nonzero(array)) for array in weights), sum(array.size for array in weights)


def versions() -> dict[str, str]:
    """Return the versions of the packages that a run depends on, where they are installed."""
    found = {}
    for package in _VERSIONS:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _accuracy(outputs: npt.NDArray[Any], labels: npt.NDArray[np.int64]) -> float:
    return float(np.mean(outputs.reshape(len(outputs), -1).argmax(axis=1) == labels))
