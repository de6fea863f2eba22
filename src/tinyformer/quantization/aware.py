"""Quantisation-aware training: a model computes in real numbers what its int8 version will, and learns what that costs.

Weights and activations are rounded to their int8 grids on the way forward; on the way back rounding is taken for the
identity, and what was clipped has no gradient (straight-through estimator: Jacob et al., CVPR 2018). The points of
rounding are those of the QDQ model: every layer's output behind its ReLU, but for layers that only move data; average
pooling writes at the scale that it reads. Batch norm computes with its running statistics, as when it is folded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from tinyformer.quantization.calibration import calibrate
from tinyformer.quantization.contract import SOFTMAX_SCALE, SOFTMAX_ZERO_POINT
from tinyformer.quantization.export import OUTPUT_NAME, to_onnx
from tinyformer.quantization.ptq import activation_params
from tinyformer.quantization.runtime import FloatArray
from tinyformer.quantization.settings import CalibrationSettings
from tinyformer.search_space import LayerSpec
from tinyformer.supernet import SinglePathModel

_MOVES_DATA = ("max_pool2d", "reshape", "transpose")
_WITH_WEIGHTS = ("conv2d", "depthwise_conv2d", "linear")


class QuantizedForward:
    """Runs a model as its int8 version: a ``training.Forward``.

    The ranges of activations are fixed, as calibrated; the scale of a weight's output channel follows the weights.

    Args:
        model: the model whose copies are run later; it is left as it is.
        calibration: normalised inputs (N, C, H, W).
        settings: how ranges are found.

    Raises:
        DataError: the calibration data does not fit the model.

    Reference: paper Sec. III-C3 quantises after training only.
    """

    def __init__(self, model: SinglePathModel, calibration: FloatArray, settings: CalibrationSettings) -> None:
        ranges = calibrate(to_onnx(model), calibration, settings)
        rounded = [spec for spec in model.specs if spec.kind not in _MOVES_DATA]
        activations: dict[str, tuple[float, int]] = {}
        for spec in rounded:
            read = activations.get(_computed(spec, model.specs)) if spec.kind == "avg_pool2d" else None
            activations[spec.name] = read or _params(spec, ranges, last=spec is model.specs[-1])
        self._activations: Mapping[str, tuple[float, int]] = activations
        self._weights = tuple(f"{spec.name}.weight" for spec in rounded if spec.kind in _WITH_WEIGHTS)

    def __call__(self, model: nn.Module, images: Tensor, step: int) -> Tensor:
        """Map normalised images (N, C, H, W) to logits (N, classes)."""
        del step  # which a supernet's forward would need
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        weights = {name: _rounded_weight(model.get_parameter(name)) for name in self._weights}
        hooks = [
            model.get_submodule(name).register_forward_hook(_rounding(scale, zero_point))
            for name, (scale, zero_point) in self._activations.items()
        ]
        try:
            return cast(Tensor, functional_call(model, weights, (images,)))
        finally:
            for hook in hooks:
                hook.remove()


def _computed(spec: LayerSpec, specs: Sequence[LayerSpec]) -> str:
    """Return the layer whose values a layer reads, perhaps moved on the way."""
    by_name = {each.name: each for each in specs}
    source = spec.inputs[0]
    while source in by_name and by_name[source].kind in _MOVES_DATA:
        source = by_name[source].inputs[0]
    return source


def _params(spec: LayerSpec, ranges: Mapping[str, tuple[float, float]], last: bool) -> tuple[float, int]:
    if spec.kind == "softmax":
        return SOFTMAX_SCALE, SOFTMAX_ZERO_POINT
    value = OUTPUT_NAME if last else f"{spec.name}.relu" if spec.relu else spec.name
    return activation_params(*ranges[value])


def _rounding(scale: float, zero_point: int) -> Callable[[nn.Module, Any, Tensor], Tensor]:
    def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        return torch.fake_quantize_per_tensor_affine(output, scale, zero_point, -128, 127)

    return hook


def _rounded_weight(weight: Tensor) -> Tensor:
    """Round weights (O, ...) to 255 steps of each output channel."""
    greatest = weight.detach().flatten(1).abs().amax(1)
    scale = torch.where(greatest > 0, greatest, torch.ones_like(greatest)) / 127
    zero_point = torch.zeros(len(scale), dtype=torch.int32, device=weight.device)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero_point, 0, -127, 127)
