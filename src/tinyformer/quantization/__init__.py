"""Quantisation: trained models to float ONNX, float ONNX to int8 QDQ ONNX.

``export_float`` needs PyTorch, ``quantize`` and ``predict`` need onnxruntime; each is imported when it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tinyformer.errors import MissingExtraError

if TYPE_CHECKING:
    from tinyformer.quantization.aware import QuantizedForward
    from tinyformer.quantization.block_pruning import prune
    from tinyformer.quantization.calibration import CalibrationSettings, Ranges, calibrate
    from tinyformer.quantization.canonical import canonicalize
    from tinyformer.quantization.contract import check
    from tinyformer.quantization.export import export_float, to_onnx
    from tinyformer.quantization.folding import prepare
    from tinyformer.quantization.input_quantization import InputQuantization
    from tinyformer.quantization.ptq import QuantizationSettings, apply_ranges, quantize, quantize_model
    from tinyformer.quantization.runtime import accuracy, predict

_HOME = {
    "QuantizedForward": "aware",
    "CalibrationSettings": "calibration",
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

_EXTRA = {"torch": "search", "onnxscript": "search", "onnxruntime": "onnx"}

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


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    try:
        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        raise MissingExtraError(error.name, _EXTRA[error.name], f"quantization.{name}") from error
