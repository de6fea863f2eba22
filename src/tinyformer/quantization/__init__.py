"""Quantisation: trained models to float ONNX, float ONNX to int8 QDQ ONNX.

``export_float`` needs PyTorch, ``quantize`` and ``predict`` need onnxruntime; each is imported when it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinyformer.lazy_imports import importer

if TYPE_CHECKING:
    from tinyformer.quantization.aware import QuantizedForward
    from tinyformer.quantization.block_pruning import prune
    from tinyformer.quantization.calibration import Ranges, calibrate
    from tinyformer.quantization.canonical import canonicalize
    from tinyformer.quantization.contract import check
    from tinyformer.quantization.export import export_float, to_onnx
    from tinyformer.quantization.folding import prepare
    from tinyformer.quantization.input_quantization import InputQuantization
    from tinyformer.quantization.ptq import QuantizationSettings, apply_ranges, quantize, quantize_model
    from tinyformer.quantization.runtime import accuracy, predict
    from tinyformer.quantization.settings import CalibrationSettings

_HOMES = {
    "QuantizedForward": "aware",
    "CalibrationSettings": "settings",
    "Ranges": "calibration",
    "calibrate": "calibration",
    "canonicalize": "canonical",
    "check": "contract",
    "export_float": "export",
    "to_onnx": "export",
    "prepare": "folding",
    "InputQuantization": "input_quantization",
    "QuantizationSettings": "ptq",
    "apply_ranges": "ptq",
    "quantize": "ptq",
    "quantize_model": "ptq",
    "accuracy": "runtime",
    "predict": "runtime",
    "prune": "block_pruning",
}

__all__ = [
    "CalibrationSettings",
    "InputQuantization",
    "QuantizationSettings",
    "QuantizedForward",
    "Ranges",
    "accuracy",
    "apply_ranges",
    "calibrate",
    "canonicalize",
    "check",
    "export_float",
    "predict",
    "prepare",
    "prune",
    "quantize",
    "quantize_model",
    "to_onnx",
]


__getattr__ = importer(__name__, _HOMES)
