"""Validate a bundle: reference, host C, emulated core and ONNX model side by side, layer by layer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tinyformer.errors import DataError
from tinyformer.sparse_engine import deployment, graph_file, host, reference
from tinyformer.sparse_engine.bundle import GRAPH_FILE, LayerRecord, Manifest
from tinyformer.sparse_engine.ir import Graph
from tinyformer.sparse_engine.onnx_model import OnnxModel
from tinyformer.sparse_engine.passes.split_fused import parent, split_fused

Int8Array = npt.NDArray[np.int8]
_TRACED = 2
_DEVICE_SAMPLES = 16


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A tensor in which the C differs from the reference: ``where`` is "host" or "emulator"."""

    where: str
    layer: str
    sample: int
    elements: int


@dataclass(frozen=True, slots=True)
class LayerAgreement:
    """One layer: whether all C equals the reference, and how far the ONNX model's tensors are, in steps.

    ``onnx_steps`` has an entry for each tensor of the layer that the file has too: its output, and what a fused
    operator computes on the way. They include what the layers before have left. ``onnx_max_steps`` is the largest; None
    where the file has no such tensor.
    """

    name: str
    op: str
    bit_exact: bool
    onnx_max_steps: int | None
    onnx_steps: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Validation:
    """What the comparison found.

    ``bit_exact``: reference, host C and, with an image, the emulated core gave equal integers on the first
    ``device_samples`` inputs, in every tensor of the first of them. The ONNX model and the labels are compared with
    the host C on all ``samples``.
    """

    samples: int
    device_samples: int
    emulated: bool
    bit_exact: bool
    mismatches: tuple[Mismatch, ...]
    layers: tuple[LayerAgreement, ...]
    onnx_max_steps: int | None
    top1_agreement: float | None
    accuracy: float | None
    onnx_accuracy: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return what ``validate --json`` prints."""
        return asdict(self)


def validate(
    directory: str | Path,
    inputs: npt.NDArray[Any],
    labels: npt.NDArray[np.integer] | None = None,
    model: str | Path | None = None,
    *,
    device_samples: int = _DEVICE_SAMPLES,
    toolchain: str = "zig",
) -> Validation:
    """Compare everything that computes a bundle's model.

    Args:
        directory: the bundle.
        inputs: [N, ...] in the model file's layout; int8, uint8 (minus 128) or real values.
        labels: (N,) classes, for the accuracy.
        model: the ONNX file, run by onnxruntime without optimisations.
        device_samples: how many inputs the reference and the emulated core run.
        toolchain: compiler of the host C.

    Raises:
        DataError: the directory is not a bundle, or inputs and labels do not fit.
        MissingExtraError: a compiler, the emulator or onnxruntime is not installed.
        EmulatorError: the program faulted or took too long.
    """
    bundle = Path(directory)
    manifest = Manifest.load(bundle)
    if labels is not None and labels.shape != (len(inputs),):
        raise DataError(f"labels have shape {labels.shape}, expected ({len(inputs)},)")
    samples = manifest.input.from_file_layout(inputs)
    if not len(samples):
        raise DataError("there are no inputs to validate with")
    graph = graph_file.load(bundle / GRAPH_FILE)
    onnx_model = None if model is None else OnnxModel(Path(model), manifest)
    host_model = host.load(bundle, toolchain=toolchain)
    outputs = host_model.run(samples)
    some = samples[:device_samples]
    mismatches = _compare(bundle, manifest, graph, host_model, some, outputs)
    onnx_outputs = None if onnx_model is None else onnx_model.run(inputs)
    return Validation(
        samples=len(samples),
        device_samples=len(some),
        emulated=manifest.image is not None,
        bit_exact=not mismatches,
        mismatches=tuple(mismatches),
        layers=_layers(manifest, mismatches, _onnx_steps(graph, onnx_model, inputs, samples)),
        onnx_max_steps=None if onnx_outputs is None else _steps(outputs, onnx_outputs),
        top1_agreement=None if onnx_outputs is None else float(np.mean(_top1(outputs) == _top1(onnx_outputs))),
        accuracy=None if labels is None else float(np.mean(_top1(outputs) == labels)),
        onnx_accuracy=None if labels is None or onnx_outputs is None else float(np.mean(_top1(onnx_outputs) == labels)),
    )


def _compare(
    bundle: Path, manifest: Manifest, graph: Graph, host_model: host.HostModel, samples: Int8Array, outputs: Int8Array
) -> list[Mismatch]:
    """Compare host C and emulated core with the reference: outputs of all samples, all tensors of the first ones."""
    traced = samples[:_TRACED]
    expected = [reference.run_all(graph, sample) for sample in samples]
    columns: list[tuple[str, int, str, Int8Array]] = []
    for index, sample in enumerate(traced):
        for layer, tensor in zip(manifest.layers, host_model.trace(sample), strict=True):
            columns.append(("host", index, layer.output, tensor))
    columns += [("host", i, graph.output, outputs[i]) for i in range(len(samples))]
    if manifest.image is not None:
        columns += _emulated(bundle, manifest, graph, samples, len(traced))
    names = {layer.output: layer.name for layer in manifest.layers}
    found = []
    for where, index, tensor_name, tensor in columns:
        wrong = int(np.count_nonzero(expected[index][tensor_name].ravel() != tensor.ravel()))
        if wrong:
            found.append(Mismatch(where, names.get(tensor_name, tensor_name), index, wrong))
    return list(dict.fromkeys(found))


def _emulated(
    bundle: Path, manifest: Manifest, graph: Graph, samples: Int8Array, traced: int
) -> list[tuple[str, int, str, Int8Array]]:
    first = deployment.run(bundle, manifest, samples[:traced], traced=manifest.layers)
    columns = [
        ("emulator", index, layer.output, tensor[index])
        for layer, tensor in zip(manifest.layers, first.traces, strict=True)
        for index in range(traced)
    ]
    outputs = first.outputs
    if len(samples) > traced:
        outputs = np.concatenate([outputs, deployment.run(bundle, manifest, samples[traced:]).outputs])
    return columns + [("emulator", i, graph.output, outputs[i]) for i in range(len(samples))]


def _onnx_steps(
    graph: Graph, model: OnnxModel | None, inputs: npt.NDArray[Any], samples: Int8Array
) -> Mapping[str, Mapping[str, int]]:
    """Map layers to their tensors that the file has too, with the largest distance from the reference.

    The first inputs are run. Fused operators are taken apart: the file has what they compute on the way.
    """
    if model is None:
        return {}
    split = split_fused(graph)
    layer_of = {node.output: parent(node.name, graph) for node in split.nodes}
    largest: dict[str, dict[str, int]] = defaultdict(dict)
    for index in range(min(_TRACED, len(samples))):
        theirs = model.tensors(inputs[index], split)
        ours = reference.run_all(split, samples[index])
        for name in theirs.keys() & layer_of.keys():
            steps = largest[layer_of[name]]
            steps[name] = max(steps.get(name, 0), _steps(ours[name], theirs[name]))
    return largest


def _layers(
    manifest: Manifest, mismatches: Sequence[Mismatch], onnx_steps: Mapping[str, Mapping[str, int]]
) -> tuple[LayerAgreement, ...]:
    wrong = {mismatch.layer for mismatch in mismatches}

    def agreement(layer: LayerRecord) -> LayerAgreement:
        steps = onnx_steps.get(layer.name, {})
        return LayerAgreement(layer.name, layer.op, layer.name not in wrong, max(steps.values(), default=None), steps)

    return tuple(agreement(layer) for layer in manifest.layers)


def _steps(ours: npt.NDArray[Any], theirs: npt.NDArray[Any]) -> int:
    return int(np.max(np.abs(ours.astype(np.int64).ravel() - theirs.astype(np.int64).ravel())))


def _top1(outputs: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    classes: npt.NDArray[np.intp] = outputs.reshape(len(outputs), -1).argmax(axis=1)
    return classes
