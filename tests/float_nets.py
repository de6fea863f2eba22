"""Small float ONNX networks for quantisers: written node by node, seeded weights, no framework."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class FloatNet:
    """Builds a float model with one input; methods return tensor names."""

    def __init__(self, shape: Sequence[int | str], *, opset: int = 17, seed: int = 5) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.random = np.random.default_rng(seed)
        self._declared = helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))
        self._opset = opset

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        name = f"constant_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def integers(self, *values: int) -> str:
        return self.constant(values, np.int64)

    def weights(self, *shape: int) -> str:
        fan_in = int(np.prod(shape[1:])) or 1
        return self.constant(self.random.normal(0, fan_in**-0.5, shape))

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        names = [f"{kind.lower()}_{len(self.nodes)}_{index}" for index in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=f"node_{names[0]}", **attributes))
        return names[0] if outputs == 1 else names

    def conv(self, x: str, weight: tuple[int, ...], **attributes: Any) -> str:
        bias = self.constant(self.random.normal(0, 0.1, weight[0]))
        return self.op("Conv", x, self.weights(*weight), bias, **attributes)

    def linear(self, x: str, inputs: int, outputs: int) -> str:
        product = self.op("MatMul", x, self.weights(inputs, outputs))
        return self.op("Add", product, self.constant(self.random.normal(0, 0.1, outputs)))

    def gelu(self, x: str) -> str:
        """Return Gelu as torch exports it: x * 0.5 * (1 + erf(x / sqrt(2)))."""
        inner = self.op("Erf", self.op("Div", x, self.constant(np.sqrt(2))))
        one = self.op("Add", inner, self.constant(1.0))
        return self.op("Mul", self.op("Mul", x, one), self.constant(0.5))

    def silu(self, x: str) -> str:
        return self.op("Mul", x, self.op("Sigmoid", x))

    def layer_norm(self, x: str, width: int, *, power: bool = True, reciprocal: bool = False) -> str:
        """Return a LayerNormalization taken apart; the names of its nodes begin with part."""
        first = len(self.nodes)
        mean = self.op("ReduceMean", x, axes=[-1])
        centred = self.op("Sub", x, mean)
        squared = self.op("Pow", centred, self.constant(2.0)) if power else self.op("Mul", centred, centred)
        variance = self.op("Add", self.op("ReduceMean", squared, axes=[-1]), self.constant(1e-5))
        root = self.op("Sqrt", variance)
        normal = self.op("Mul", centred, self.op("Reciprocal", root)) if reciprocal else self.op("Div", centred, root)
        scaled = self.op("Mul", normal, self.constant(self.random.uniform(0.6, 1.4, width)))
        result = self.op("Add", scaled, self.constant(self.random.uniform(-0.3, 0.3, width)))
        for node in self.nodes[first:]:
            node.name = f"part_{node.name}"
        return str(result)

    def finish(self, output: str) -> onnx.ModelProto:
        result = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "net", [self._declared], [result], self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self._opset)])
        model.ir_version = 9
        return onnx.shape_inference.infer_shapes(model)


def hybrid_net() -> onnx.ModelProto:
    """Convolutions, a residual sum, an encoder and a classifier on (N, 3, 8, 8), channels first."""
    net = FloatNet(("N", 3, 8, 8))
    x = net.op("Relu", net.conv("x", (8, 3, 3, 3), pads=[1, 1, 1, 1]))
    y = net.silu(net.conv(x, (8, 1, 3, 3), group=8, pads=[1, 1, 1, 1]))
    x = net.op("Add", x, net.op("LeakyRelu", net.conv(y, (8, 8, 1, 1)), alpha=0.1))
    x = net.op("Concat", net.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]), net.op(
        "AveragePool", x, kernel_shape=[2, 2], strides=[2, 2]
    ), axis=1)  # fmt: skip
    x = net.op("Transpose", net.op("Reshape", x, net.integers(1, 16, 16)), perm=[0, 2, 1])
    y = net.linear(x, 16, 16)
    keys = net.op("Transpose", y, perm=[0, 2, 1])
    weights = net.op("Softmax", net.op("Mul", net.op("MatMul", y, keys), net.constant(0.25)), axis=-1)
    x = net.op("Add", x, net.op("MatMul", weights, y))
    x = net.op("Reshape", net.op("Transpose", x, perm=[0, 2, 1]), net.integers(1, 16, 4, 4))
    scales = net.constant([1, 1, 2, 2])
    x = net.op(
        "Resize", x, "", scales, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
    )
    x = net.op("Flatten", net.op("GlobalAveragePool", x))
    bias = net.constant(net.random.normal(0, 0.1, 10))
    return net.finish(net.op("Gemm", x, net.weights(10, 16), bias, transB=1))


def norm_net(**how: bool) -> onnx.ModelProto:
    """Tokens of 12 through two decomposed normalisations and a Gelu in parts, on (1, 7, 12)."""
    net = FloatNet((1, 7, 12))
    x = net.op("Add", "x", net.constant(net.random.normal(0, 1, (1, 7, 12))))
    x = net.op("Add", x, net.gelu(net.linear(net.layer_norm(x, 12, **how), 12, 12)))
    return net.finish(net.linear(net.layer_norm(x, 12, **how), 12, 5))


def channels_last_net() -> onnx.ModelProto:
    """As tf2onnx writes a Keras model: (N, 8, 8, 3) channels last, transposes around what needs channels first."""
    net = FloatNet(("N", 8, 8, 3), opset=13)

    def first(x: str) -> str:
        return str(net.op("Transpose", x, perm=[0, 3, 1, 2]))

    def last(x: str) -> str:
        return str(net.op("Transpose", x, perm=[0, 2, 3, 1]))

    x = last(net.op("Clip", net.conv(first("x"), (8, 3, 3, 3), auto_pad="SAME_UPPER", strides=[2, 2]), *(
        net.constant(bound) for bound in (0.0, 6.0)
    )))  # fmt: skip
    y = last(net.op("Relu", net.conv(first(x), (8, 1, 3, 3), group=8, auto_pad="SAME_UPPER")))
    y = net.op("Add", net.op("MatMul", y, net.weights(8, 8)), net.constant(net.random.normal(0, 0.1, 8)))
    gate = net.op("ReduceMean", y, axes=[1, 2], keepdims=1)
    gate = net.op("Sigmoid", last(net.conv(first(gate), (8, 8, 1, 1))))
    x = net.op("Add", x, net.op("Mul", y, gate))
    x = net.op("Pad", x, net.integers(0, 1, 1, 0, 0, 0, 0, 0))
    x = last(net.op("MaxPool", first(x), kernel_shape=[2, 2], strides=[2, 2]))
    x = net.op("Squeeze", net.op("ReduceMean", x, axes=[1, 2], keepdims=1), net.integers(1, 2))
    return net.finish(net.op("Softmax", net.linear(x, 8, 5)))
