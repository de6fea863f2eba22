"""Small QDQ networks with fixed scales: a convolutional one, and an encoder with sequence pooling."""

from __future__ import annotations

import numpy as np
import onnx

from qdq_models import QdqModel


class _Net(QdqModel):
    """A model whose layers have seeded weights."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__(shape)
        self._generator = np.random.default_rng(23)

    def layer(self, op: str, x: str, shape: tuple[int, ...], out: tuple[float, int], **attributes: object) -> str:
        """Add an operator with weights per channel and a bias, and quantise its output."""
        relu = attributes.pop("relu", False)
        axis = 1 if op == "Gemm" and not attributes.get("transB") else 0
        scales = self._generator.uniform(0.004, 0.012, shape[axis]).astype(np.float32)
        weight = self.constant(self._generator.integers(-127, 128, shape).astype(np.int8), scales, 0, axis)
        bias = self._generator.integers(-900, 900, shape[axis]).astype(np.int32)
        offset = self.constant(bias, np.float32(self.quants[x][0]) * scales, 0, 0)
        real = self.op(op, [x, weight, offset], **attributes)
        return self.quantize(self.op("Relu", [real]) if relu else real, *out)

    def linear(self, x: str, shape: tuple[int, int], tokens: int, out: tuple[float, int], *, relu: bool = False) -> str:
        """Add a linear layer over tokens as the exporter writes it: Reshape, Gemm, Reshape."""
        rows = self.moved("Reshape", [x, self.integers(tokens, shape[1])])
        result = self.layer("Gemm", rows, shape, out, transB=1, relu=relu)
        return self.moved("Reshape", [result, self.integers(1, tokens, shape[0])])

    def norm(self, x: str, width: int) -> str:
        gamma = self.plain(self._generator.uniform(0.6, 1.4, width), np.float32)
        beta = self.plain(self._generator.uniform(-0.3, 0.3, width), np.float32)
        return self.quantize(self.op("LayerNormalization", [x, gamma, beta], epsilon=1e-5), 0.025, 3)


def convolutional_net() -> onnx.ModelProto:
    """Return stem, inverted residual with a residual sum, pooling, flatten and classifier on (1, 3, 8, 8)."""
    net = _Net((1, 3, 8, 8))
    x = net.layer("Conv", net.input, (8, 3, 3, 3), (0.09, -128), pads=[1, 1, 1, 1], relu=True)
    x = net.moved("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
    y = net.layer("Conv", x, (16, 8, 1, 1), (0.1, -128), relu=True)
    y = net.layer("Conv", y, (16, 1, 3, 3), (0.1, -128), group=16, pads=[1, 1, 1, 1], relu=True)
    y = net.layer("Conv", y, (8, 16, 1, 1), (0.12, 4))
    x = net.quantize(net.op("Add", [x, y]), 0.15, -20)
    x = net.moved("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2])
    x = net.moved("Flatten", [x])
    return net.finish(net.layer("Gemm", x, (10, 32), (0.2, -5), transB=1))


def encoder_net(heads: int = 2) -> onnx.ModelProto:
    """Return patch embedding, one pre-norm encoder, sequence pooling and classifier on (1, 3, 8, 8)."""
    tokens, width = 16, 12
    net = _Net((1, 3, 8, 8))
    x = net.layer("Conv", net.input, (width, 3, 3, 3), (0.08, -6), strides=[2, 2], pads=[1, 1, 1, 1])
    x = net.moved("Reshape", [x, net.integers(1, width, tokens)])
    x = net.moved("Transpose", [x], perm=[0, 2, 1])
    y = net.norm(x, width)
    split, parts = net.integers(1, tokens, heads, width // heads), []
    for order in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]):
        part = net.linear(y, (width, width), tokens, (0.04, 2))
        parts.append(net.moved("Transpose", [net.moved("Reshape", [part, split])], perm=order))
    scores = net.quantize(net.op("MatMul", parts[:2]), 0.12, 5)
    weights = net.quantize(net.op("Softmax", [scores], axis=-1), 1 / 256, -128)
    y = net.quantize(net.op("MatMul", [weights, parts[2]]), 0.03, 1)
    y = net.moved("Transpose", [y], perm=[0, 2, 1, 3])
    y = net.moved("Reshape", [y, net.integers(1, tokens, width)])
    x = net.quantize(net.op("Add", [x, net.linear(y, (width, width), tokens, (0.03, 0))]), 0.09, -4)
    y = net.linear(net.norm(x, width), (2 * width, width), tokens, (0.03, -128), relu=True)
    x = net.quantize(net.op("Add", [x, net.linear(y, (width, 2 * width), tokens, (0.05, 9))]), 0.1, 0)
    pooling = net.linear(x, (1, width), tokens, (0.05, 7))
    pooling = net.quantize(net.op("Softmax", [pooling], axis=1), 1 / 256, -128)
    pooling = net.moved("Transpose", [pooling], perm=[0, 2, 1])
    x = net.quantize(net.op("MatMul", [pooling, x]), 0.05, 2)
    x = net.moved("Squeeze", [x, net.integers(1)])
    return net.finish(net.layer("Gemm", x, (10, width), (0.03, 8), transB=1))
