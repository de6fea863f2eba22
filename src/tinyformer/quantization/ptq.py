"""Post-training quantisation: ranges and a float model make a QDQ model that keeps the integer contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorData, TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

from tinyformer.errors import UnsupportedModelError
from tinyformer.quantization.acceptance import require_quantizable
from tinyformer.quantization.block_pruning import prune
from tinyformer.quantization.calibration import Ranges, calibrate
from tinyformer.quantization.canonical import canonicalize
from tinyformer.quantization.contract import QDQ, SOFTMAX_SCALE, SOFTMAX_ZERO_POINT, check
from tinyformer.quantization.input_quantization import InputQuantization
from tinyformer.quantization.regions import BINARY, UNARY, Region, find
from tinyformer.quantization.runtime import FloatArray
from tinyformer.quantization.settings import CalibrationSettings

_BIAS_LIMIT = 2.0**28  # leaves the accumulator room for the products
_LEAST_RANGE = 1e-8  # below it a value is as good as always zero
_UNREGISTERED = ("GlobalMaxPool", "ReduceMean")  # what onnxruntime would leave in real numbers
_WEIGHT_AXIS: Mapping[str, int] = {"Conv": 0, "Gemm": 1, "MatMul": 1, "LayerNormalization": 0}


@dataclass(frozen=True, slots=True)
class QuantizationSettings:
    """Post-training quantisation.

    Attributes:
        calibration: how ranges are found.
        input: the input's quantisation; None: calibrated as well.
        sparsity: share of each layer's weights that is pruned first, in blocks, by magnitude.
        block: weights in such a block, 2 or 4.
    """

    calibration: CalibrationSettings = field(default_factory=CalibrationSettings)
    input: InputQuantization | None = None
    sparsity: float = 0.0
    block: int = 4


def quantize(
    float_onnx: Path, calibration: FloatArray, out: Path, settings: QuantizationSettings | None = None
) -> None:
    """Quantise a float ONNX file to an int8 QDQ ONNX file.

    Args:
        float_onnx: one float input and output, static shapes but for the batch, which becomes 1.
        calibration: float inputs (N, ...) in the file's layout, normalised as in training.
        out: the file to write.
        settings: calibration and input quantisation.

    Raises:
        DataError: the calibration data does not fit the model.
        UnsupportedModelError: the file is no ONNX model, or the result would break the integer contract.
    """
    onnx.save_model(quantize_model(_read(float_onnx), calibration, settings), out)


def _read(path: Path) -> onnx.ModelProto:
    try:
        return onnx.load_model(path)
    except OSError as error:
        raise UnsupportedModelError(f"{path}: {error.strerror or error}; give the path of a float ONNX file") from error
    except onnx.checker.ValidationError as error:  # of data in files beside it
        reason = str(error).splitlines()[0]
        raise UnsupportedModelError(f"{path}: {reason}; keep the files of its data beside it") from error
    except DecodeError as error:
        raise UnsupportedModelError(f"{path}: not an ONNX file; give the path of a float ONNX file") from error


def quantize_model(
    model: onnx.ModelProto, calibration: FloatArray, settings: QuantizationSettings | None = None
) -> onnx.ModelProto:
    """Return a float model as int8 QDQ; see ``quantize``.

    Raises:
        UnsupportedModelError: the model cannot be quantised, or the result would break the integer contract.
        DataError: the calibration data does not fit the model.
    """
    settings = settings or QuantizationSettings()
    require_quantizable(model)
    canonical = canonicalize(model)
    if settings.sparsity:
        canonical = prune(canonical, settings.sparsity, settings.block)
    ranges = calibrate(canonical, calibration, settings.calibration)
    return apply_ranges(canonical, ranges, settings.input)


def apply_ranges(
    model: onnx.ModelProto, ranges: Ranges, input_quantization: InputQuantization | None = None
) -> onnx.ModelProto:
    """Return a canonical float model as int8 QDQ with the given activation ranges.

    Weights are symmetric per output channel, so zeros stay zeros; biases int32 at scale input x weight.

    Raises:
        UnsupportedModelError: the result would break the integer contract.
    """
    activations = {name: activation_params(*limits) for name, limits in ranges.items()}
    activations |= {
        node.output[0]: (SOFTMAX_SCALE, SOFTMAX_ZERO_POINT) for node in model.graph.node if node.op_type == "Softmax"
    }
    if input_quantization is not None:
        activations[model.graph.input[0].name] = (input_quantization.scale, input_quantization.zero_point)
    overrides: dict[str, list[dict[str, Any]]] = {
        name: [_override(scale, zero_point)] for name, (scale, zero_point) in activations.items()
    }
    overrides |= _weight_overrides(model, {name: scale for name, (scale, _) in activations.items()})
    data = {name: TensorData(lowest=np.float32(low), highest=np.float32(high)) for name, (low, high) in ranges.items()}
    source = onnx.ModelProto()
    source.CopyFrom(model)
    regions = find(model)
    real = sorted({name for region in regions for name in region.nodes})
    quantizer = QDQQuantizer(
        source,
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, data),
        nodes_to_quantize=[],
        nodes_to_exclude=real,
        op_types_to_quantize=sorted({*QLinearOpsRegistry, *QDQRegistry, *UNARY, *BINARY, *_UNREGISTERED}),
        extra_options={
            "WeightSymmetric": True,
            "ActivationSymmetric": False,
            "ForceQuantizeNoInputCheck": True,
            "TensorQuantOverrides": overrides,
            "QDQDisableWeightAdjustForInt32Bias": True,
        },
    )
    for name in _ends(regions):
        quantizer.quantize_activation_tensor(name)
    quantizer.quantize_model()
    quantized = _in_order(quantizer.model.model, [node.name for node in model.graph.node])
    check(quantized, frozenset(real))
    return quantized


def _ends(regions: Sequence[Region]) -> list[str]:
    """Return the tensors at the ends of what stays real, each once."""
    return list(dict.fromkeys(name for region in regions for name in (region.source, *region.outputs)))


def _in_order(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """Return the model with each operator's dequantised inputs before it, and operators in the order of ``names``."""
    producers = {name: node for node in model.graph.node for name in node.output}
    operators = {node.name: node for node in model.graph.node if node.op_type not in QDQ}
    ordered: dict[str, onnx.NodeProto] = {}

    def place(node: onnx.NodeProto) -> None:
        if node.output[0] in ordered:
            return
        for name in node.input:
            if name in producers:
                place(producers[name])
        ordered[node.output[0]] = node

    for name in names:
        if name in operators:
            place(operators[name])
    for output in model.graph.output:
        place(producers[output.name])
    result = onnx.ModelProto()
    result.CopyFrom(model)
    del result.graph.node[:]
    result.graph.node.extend(ordered.values())
    return result


def activation_params(low: float, high: float) -> tuple[float, int]:
    """Return scale and zero point of int8 that cover a range and represent zero exactly."""
    low, high = min(low, 0.0), max(high, 0.0)
    if high - low < _LEAST_RANGE:
        low, high = 0.0, 1.0
    scale = float(np.float32((high - low) / 255))
    return scale, int(np.clip(np.rint(-128 - low / scale), -128, 127))


def _weight_overrides(model: onnx.ModelProto, scales: Mapping[str, float]) -> dict[str, list[dict[str, Any]]]:
    """Give each output channel the scale of its greatest weight, or a coarser one where its bias would overflow.

    A channel without weights takes the layer's greatest scale: its bias is all it computes.
    """
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    overrides: dict[str, list[dict[str, Any]]] = {}
    for node in model.graph.node:
        if node.op_type not in _WEIGHT_AXIS or node.input[1] not in constants:
            continue
        weight = np.abs(numpy_helper.to_array(constants[node.input[1]]).astype(np.float64))
        transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
        axis = 0 if transposed else _WEIGHT_AXIS[node.op_type]
        channel = np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1).max(axis=1) / 127
        channel[channel == 0] = channel.max() or 1 / 127
        if len(node.input) > 2 and node.input[2] in constants:
            bias = np.abs(numpy_helper.to_array(constants[node.input[2]]).astype(np.float64))
            channel = np.maximum(channel, bias / (scales[node.input[0]] * _BIAS_LIMIT))
        overrides[node.input[1]] = [{"axis": axis, **_override(scale, 0)} for scale in channel]
    return overrides


def _override(scale: float, zero_point: int) -> dict[str, Any]:
    return {"scale": np.array(scale, np.float32), "zero_point": np.array(zero_point, np.int8)}
