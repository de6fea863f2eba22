"""Calibration: the range of real values of every activation, over sample inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from tinyformer.errors import DataError
from tinyformer.quantization.runtime import FloatArray, session
from tinyformer.quantization.settings import CalibrationSettings

Ranges = Mapping[str, tuple[float, float]]
Histogram = npt.NDArray[np.int64]

_BINS = 4096
_SHRINKINGS = np.arange(100, 19, -1) / 100  # parts of the whole range that ``mse`` tries


def calibrate(model: onnx.ModelProto, inputs: FloatArray, settings: CalibrationSettings) -> Ranges:
    """Return (lowest, highest) for the input and every float value that a node computes.

    The model's output keeps the full range: clipped logits would tie.

    Args:
        model: float ONNX with the shapes of all values, batch 1.
        inputs: float (N, ...) in the model's layout; a seeded draw of them is used.
        settings: method, coverage, number of samples and seed.

    Raises:
        DataError: inputs hold no sample, another shape, or values that are not finite.
    """
    declared = model.graph.input[0]
    shape = tuple(dim.dim_value for dim in declared.type.tensor_type.shape.dim)
    if inputs.ndim != len(shape) or inputs.shape[1:] != shape[1:] or not len(inputs):
        raise DataError(f"calibration data has shape {inputs.shape}; allowed: (N, {', '.join(map(str, shape[1:]))})")
    chosen = np.random.default_rng(settings.seed).permutation(len(inputs))[: settings.samples]
    samples = inputs[chosen].astype(np.float32, copy=False)
    if not np.isfinite(samples).all():
        raise DataError("calibration data holds values that are not finite")
    observed = _observed(model)
    extremes = dict.fromkeys((declared.name, *observed), (np.inf, -np.inf))

    def widen(name: str, values: FloatArray) -> None:
        low, high = extremes[name]
        extremes[name] = (min(low, float(values.min())), max(high, float(values.max())))

    _visit(model, observed, samples, widen)
    for name, limits in extremes.items():
        if not np.isfinite(limits).all():
            raise DataError(f"value '{name}' is not finite for the calibration data; allowed: numbers; check its scale")
    if settings.method == "min_max" or (settings.method == "percentile" and settings.percentile == 100):
        return extremes
    histograms: dict[str, Histogram] = {name: np.zeros(_BINS, np.int64) for name in extremes}

    def count(name: str, values: FloatArray) -> None:
        low, high = extremes[name]
        if high > low:
            bins = ((values.ravel() - low) * (_BINS / (high - low))).astype(np.int64)
            histograms[name] += np.bincount(np.minimum(bins, _BINS - 1), minlength=_BINS)

    _visit(model, observed, samples, count)
    whole = {output.name for output in model.graph.output}
    tail = (100 - settings.percentile) / 200

    def narrowed(name: str) -> tuple[float, float]:
        if settings.method == "mse":
            return _least_error(histograms[name], *extremes[name])
        return _cut(histograms[name], *extremes[name], tail)

    return {name: extremes[name] if name in whole else narrowed(name) for name in extremes}


def _observed(model: onnx.ModelProto) -> tuple[str, ...]:
    floats = {
        value.name
        for value in (*model.graph.value_info, *model.graph.output)
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }
    return tuple(name for node in model.graph.node for name in node.output if name in floats)


def _visit(
    model: onnx.ModelProto, observed: tuple[str, ...], samples: FloatArray, see: Callable[[str, FloatArray], None]
) -> None:
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in observed
    )
    runner: Any = session(watched)
    name = model.graph.input[0].name
    for index in range(len(samples)):
        sample = samples[index : index + 1]
        see(name, sample)
        for output, values in zip(observed, runner.run(list(observed), {name: sample}), strict=True):
            see(output, values)


def _cut(histogram: Histogram, low: float, high: float, tail: float) -> tuple[float, float]:
    total = int(histogram.sum())
    if not total:
        return low, high
    share = np.cumsum(histogram) / total
    width = (high - low) / _BINS
    first = int(np.searchsorted(share, tail, side="right"))
    last = int(np.searchsorted(share, 1 - tail, side="left"))
    return low + first * width, low + (last + 1) * width


def _least_error(histogram: Histogram, low: float, high: float) -> tuple[float, float]:
    """Return the part of a range, both ends drawn in by one factor, with the least mean squared error in int8.

    A value inside errs by a twelfth of the squared step on average, one outside by its distance from the end.
    """
    if not histogram.any():
        return low, high
    centres = low + (np.arange(_BINS) + 0.5) * ((high - low) / _BINS)

    def error(part: float) -> float:
        first, last = min(low, 0.0) * part, max(high, 0.0) * part
        outside = np.maximum(np.maximum(first - centres, centres - last), 0.0)
        inside = histogram[outside == 0].sum() * ((last - first) / 255) ** 2 / 12
        return float(inside + (histogram * outside**2).sum())

    best = min(_SHRINKINGS, key=error)
    return min(low, 0.0) * float(best), max(high, 0.0) * float(best)
