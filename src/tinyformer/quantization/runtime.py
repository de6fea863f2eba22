"""Run ONNX models with onnxruntime, optimisations off: the truth of a QDQ model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from tinyformer.errors import DataError

FloatArray = npt.NDArray[np.float32]


def session(model: onnx.ModelProto | Path, threads: int = 1) -> Any:
    """Return an onnxruntime session on the CPU without graph optimisations."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    source = model.SerializeToString() if isinstance(model, onnx.ModelProto) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def predict(model: onnx.ModelProto | Path, inputs: FloatArray, threads: int = 1) -> FloatArray:
    """Return a model's outputs (N, ...) for float inputs (N, ...) in the file's layout.

    Models of batch 1 run once per input, with graph optimisations off.

    Raises:
        DataError: there is no input, or its shape is not the model's.
    """
    runner = session(model, threads)
    declared = runner.get_inputs()[0]
    if inputs.ndim != len(declared.shape) or list(inputs.shape[1:]) != list(declared.shape[1:]) or not len(inputs):
        raise DataError(f"inputs have shape {inputs.shape}; the model's input '{declared.name}' takes {declared.shape}")
    values = inputs.astype(np.float32, copy=False)
    if declared.shape[0] != 1:
        try:
            whole: FloatArray = runner.run(None, {declared.name: values})[0]
        except Exception:  # noqa: S110 - a dynamic batch that the model's own Reshape contradicts
            pass
        else:
            return whole
    return np.concatenate([runner.run(None, {declared.name: values[i : i + 1]})[0] for i in range(len(values))])


def accuracy(
    model: onnx.ModelProto | Path, inputs: FloatArray, labels: npt.NDArray[np.integer], threads: int = 1
) -> float:
    """Return the share of inputs (N, ...) whose greatest output is at their label (N,), 0 to 1."""
    return float(np.mean(predict(model, inputs, threads).argmax(axis=-1) == labels))
