"""Fold what only training needs: batch norm into its convolution, output scales into linear layers."""

from __future__ import annotations

from copy import deepcopy
from typing import cast

import torch
from torch import Tensor, nn

from tinyformer.supernet import Convolution, Linear, SinglePathModel


def prepare(model: SinglePathModel) -> SinglePathModel:
    """Return an equal model for inference, in float32 on the CPU, with batch norm and output scales folded.

    Zero weights stay zero. The argument is left as it is.
    """
    folded = deepcopy(model).to("cpu", torch.float32).eval()
    for module in folded.modules():
        if isinstance(module, Convolution):
            _fold_batch_norm(module)
        elif isinstance(module, Linear):
            _fold_output_scale(module)
    return folded


@torch.no_grad()
def _fold_batch_norm(convolution: Convolution) -> None:
    norm = convolution.norm
    if not isinstance(norm, nn.BatchNorm2d):
        return
    mean, variance = cast(Tensor, norm.running_mean).double(), cast(Tensor, norm.running_var).double()
    factor = norm.weight.double() / torch.sqrt(variance + norm.eps)
    convolution.weight.copy_(convolution.weight.double() * factor[:, None, None, None])
    convolution.bias = nn.Parameter((norm.bias.double() - mean * factor).float())
    convolution.norm = nn.Identity()


@torch.no_grad()
def _fold_output_scale(linear: Linear) -> None:
    linear.weight.mul_(linear.output_scale)
    cast(Tensor, linear.bias).mul_(linear.output_scale)
    linear.output_scale = 1.0
