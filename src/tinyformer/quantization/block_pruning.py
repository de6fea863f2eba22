"""One-shot pruning of a float ONNX model: in each layer the blocks of least magnitude become zero.

Blocks are those of the engine's sparse code: consecutive weights along the input channels, per output channel and
kernel position. Depthwise and grouped convolutions hold few weights and stay dense, as do layers with fewer input
channels than a block has weights.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from tinyformer.errors import ConfigError

BLOCKS = (2, 4)
_INPUT_AXES = {"Conv": 1, "Gemm": 0, "MatMul": 0}


def prune(model: onnx.ModelProto, sparsity: float, block: int) -> onnx.ModelProto:
    """Return a model in whose layers a share of the blocks is zero.

    Args:
        model: float ONNX with constant weights as initializers.
        sparsity: share of the blocks of each layer, 0 to less than 1.
        block: weights in a block, 2 or 4.

    Raises:
        ConfigError: another sparsity or block.
    """
    if not 0 <= sparsity < 1:
        raise ConfigError(f"sparsity {sparsity}; allowed: 0 to less than 1")
    if block not in BLOCKS:
        raise ConfigError(f"block {block}; allowed: {', '.join(map(str, BLOCKS))}")
    pruned = onnx.ModelProto()
    pruned.CopyFrom(model)
    constants = {tensor.name: tensor for tensor in pruned.graph.initializer}
    for node in pruned.graph.node:
        tensor = constants.get(node.input[1]) if node.op_type in _INPUT_AXES and len(node.input) > 1 else None
        attributes = {attribute.name: attribute.i for attribute in node.attribute}
        if tensor is None or len(tensor.dims) < 2 or attributes.get("group", 1) != 1:
            continue
        axis = _INPUT_AXES[node.op_type]
        if node.op_type == "Gemm" and attributes.get("transB", 0):
            axis = 1
        weight = numpy_helper.to_array(tensor)
        if node.op_type == "MatMul":
            axis = weight.ndim - 2
        if weight.shape[axis] >= block:
            zeroed = _zeroed(weight, sparsity, block, axis)
            tensor.CopyFrom(numpy_helper.from_array(zeroed, tensor.name))
    return pruned


def _zeroed(weight: npt.NDArray[np.float32], sparsity: float, block: int, axis: int) -> npt.NDArray[np.float32]:
    last = np.moveaxis(weight, axis, -1)
    padding = -last.shape[-1] % block
    padded = np.pad(last, [(0, 0)] * (last.ndim - 1) + [(0, padding)])
    blocks = padded.reshape(-1, block).copy()
    norms = np.square(blocks.astype(np.float64)).sum(axis=1)
    blocks[np.argsort(norms, kind="stable")[: round(sparsity * len(blocks))]] = 0
    kept = blocks.reshape(padded.shape)[..., : last.shape[-1]]
    return np.ascontiguousarray(np.moveaxis(kept, -1, axis))
