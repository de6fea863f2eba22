"""The ONNX file as onnxruntime computes it, in the bundle's integers: what compiled models are compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from tinyformer import models
from tinyformer.errors import DataError, MissingExtraError
from tinyformer.sparse_engine.bundle import Manifest
from tinyformer.sparse_engine.ir import DType, Graph

_INTEGERS = {onnx.TensorProto.INT8, onnx.TensorProto.UINT8}


class OnnxModel:
    """A QDQ model, run without optimisations, because those change its rounding.

    Args:
        path: the file, or the name of a model that ships, that the bundle was compiled from.
        manifest: the bundle's manifest.

    Raises:
        DataError: the file cannot be read or has not the manifest's input.
        MissingExtraError: onnxruntime is not installed.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self._manifest = manifest
        try:
            self._proto = onnx.load(models.find(path))
        except Exception as error:  # protobuf's own errors have no common class
            raise DataError(f"model file {path} cannot be read: {error}") from error
        self._input = self._proto.graph.input[0]
        self._output = self._proto.graph.output[0].name
        self._session = _session(self._proto)

    def run(self, inputs: npt.NDArray[Any]) -> npt.NDArray[np.int8]:
        """Run a batch in the file's layout, one by one, and return int8 outputs, (N, *output shape)."""
        border = self._manifest.output
        values = np.concatenate([self._session.run([self._output], self._feed(sample))[0] for sample in inputs])
        return border.from_file_layout(values)

    def tensors(self, sample: npt.NDArray[Any], graph: Graph) -> dict[str, npt.NDArray[np.int8]]:
        """Return the int8 tensors of one inference that file and lowered graph share, in the graph's layout."""
        known = {name for node in self._proto.graph.node for name in node.output}
        wanted = [
            name
            for name, tensor in graph.tensors.items()
            if name in known and not tensor.constant and tensor.dtype is DType.INT8
        ]
        if not wanted:
            return {}
        extended = onnx.ModelProto()
        extended.CopyFrom(self._proto)
        present = {output.name for output in extended.graph.output}
        extended.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted if name not in present)
        results = _session(extended).run(wanted, self._feed(sample))
        found = {}
        for name, values in zip(wanted, results, strict=True):
            tensor = graph.tensors[name]
            if values.dtype in {np.dtype(np.int8), np.dtype(np.uint8)} and values[0].size == tensor.model_elements:
                shifted = values.astype(np.int16) - (128 if values.dtype == np.uint8 else 0)
                found[name] = tensor.from_model(shifted.astype(np.int8))[0]
        return found

    def _feed(self, sample: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
        border = self._manifest.input
        element = self._input.type.tensor_type.elem_type
        batch = sample[np.newaxis]
        if element in _INTEGERS:
            integers = border.quantize(batch)
            unsigned = (integers.astype(np.int16) + 128).astype(np.uint8)
            return {self._input.name: unsigned if element == onnx.TensorProto.UINT8 else integers}
        if not np.issubdtype(batch.dtype, np.floating):
            batch = border.dequantize(border.quantize(batch))
        return {self._input.name: batch.astype(np.float32)}


def _session(proto: onnx.ModelProto) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtraError("onnxruntime", "onnx", "comparing with the ONNX model") from error
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
