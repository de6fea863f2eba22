import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from float_nets import FloatNet
from tinyformer.errors import ConfigError
from tinyformer.quantization import prune


def net() -> onnx.ModelProto:
    net = FloatNet((1, 6, 8, 8))
    x = net.op("Conv", net.conv(net.conv("x", (8, 6, 3, 3)), (8, 1, 3, 3), group=8), net.weights(5, 8, 1, 1))
    x = net.op("Flatten", net.op("GlobalAveragePool", x))
    x = net.op("Gemm", x, net.weights(12, 5), transB=1)
    return net.finish(net.op("MatMul", x, net.weights(12, 7)))


def weights(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Weights with the input channels last."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    found = {}
    for node in model.graph.node:
        if node.op_type in ("Conv", "Gemm", "MatMul"):
            weight = constants[node.input[1]]
            axis = {"Conv": 1, "Gemm": 1, "MatMul": 0}[node.op_type]
            found[f"{node.op_type}{weight.shape}"] = np.moveaxis(weight, axis, -1)
    return found


@pytest.mark.parametrize("block", [2, 4])
def test_blocks_of_least_magnitude_are_zero(block: int) -> None:
    before, after = weights(net()), weights(prune(net(), 0.5, block))
    assert len(after) == 5
    for name, weight in after.items():
        kept = weight != 0
        np.testing.assert_array_equal(weight[kept], before[name][kept])
        if name == "Conv(8, 1, 3, 3)":
            assert kept.all()
            continue
        padding = [(0, 0)] * (weight.ndim - 1) + [(0, -weight.shape[-1] % block)]
        old, new = (np.pad(values, padding).reshape(-1, block) for values in (before[name], weight))
        empty = ~new.any(axis=1)
        assert empty.sum() == round(0.5 * len(new))
        assert np.square(old[empty]).sum(axis=1).max() <= np.square(old[~empty]).sum(axis=1).min()
        np.testing.assert_array_equal(old[~empty], new[~empty])


@pytest.mark.parametrize(("sparsity", "block"), [(-0.1, 4), (1.0, 4), (float("nan"), 4), (0.5, 3)])
def test_wrong_settings(sparsity: float, block: int) -> None:
    with pytest.raises(ConfigError):
        prune(net(), sparsity, block)
