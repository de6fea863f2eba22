"""When to compute in bfloat16."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal, cast

import torch
from torch import Tensor, nn

from tinyformer.training.evaluation import Forward

Resolved = Literal["fp32", "bf16"]

# Per image. On two cores with AMX, below that the conversions cost what the products gain.
_WORTHWHILE_MACS = 3_000_000


def resolve(requested: str, model: nn.Module, images: Tensor, forward: Forward) -> Resolved:
    """Turn ``auto`` into bf16 where the processor multiplies it and the model has the work; else keep the request.

    The decision depends on the machine and the model, never on timing.

    Args:
        requested: auto, fp32 or bf16.
        model: on its device.
        images: a few normalised images (N, C, H, W).
        forward: how the model is run.
    """
    if requested != "auto":
        return "bf16" if requested == "bf16" else "fp32"
    worthwhile = has_bf16(images.device) and count_macs(model, images, forward) >= _WORTHWHILE_MACS
    return "bf16" if worthwhile else "fp32"


def has_bf16(device: torch.device) -> bool:
    """Say whether a device multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def autocast(precision: Resolved, device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which a model runs in a precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


def count_macs(model: nn.Module, images: Tensor, forward: Forward) -> int:
    """Return the multiply-accumulates of the convolutions and linear layers that a forward pass runs, per image."""
    total = 0

    def add(module: nn.Module, _: object, output: Tensor) -> None:
        nonlocal total
        weight = cast(Tensor, module.weight)  # no parameter where a forward computes it
        total += output.numel() * weight[0].numel() // len(images)

    hooks = [m.register_forward_hook(add) for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            forward(model, images, 0)
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return total
