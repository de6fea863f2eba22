"""Single-operator QDQ models, one or more for every operator that the front end converts."""

from __future__ import annotations

import numpy as np

from qdq_models import A, B, C, N, OperatorCase, R, W

_IMAGE = A((1, 4, 6, 7))
_TOKENS = A((1, 5, 12))
_SMALL = {"output": (0.02, -20)}
_ROWS = np.random.default_rng(3)


def _conv(name: str, shape: tuple[int, ...], weight: tuple[int, ...], **attributes: object) -> OperatorCase:
    return OperatorCase(name, "Conv", (A(shape), W(weight), B(weight[0])), dict(attributes))


_CONVOLUTIONS = (
    _conv("conv_3x3", (1, 4, 6, 7), (5, 4, 3, 3), pads=[1, 1, 1, 1]),
    _conv("conv_stride_uneven_pads", (1, 4, 7, 9), (5, 4, 3, 2), pads=[0, 1, 2, 0], strides=[2, 3]),
    _conv("conv_dilated", (1, 3, 9, 9), (4, 3, 3, 3), dilations=[2, 3], pads=[2, 0, 2, 0]),
    _conv("conv_same_upper", (1, 3, 7, 6), (4, 3, 4, 3), auto_pad="SAME_UPPER", strides=[2, 2]),
    _conv("conv_same_lower", (1, 3, 7, 6), (4, 3, 4, 3), auto_pad="SAME_LOWER", strides=[2, 2]),
    _conv("conv_valid", (1, 3, 7, 6), (4, 3, 4, 3), auto_pad="VALID"),
    _conv("conv_1x1", (1, 6, 4, 4), (9, 6, 1, 1)),
    _conv("conv_1x1_stride", (1, 6, 5, 5), (9, 6, 1, 1), strides=[2, 2]),
    _conv("conv_groups", (1, 6, 5, 5), (4, 3, 3, 3), group=2),
    _conv("conv_groups_of_one", (1, 3, 5, 5), (6, 1, 3, 3), group=3),
    _conv("conv_1d", (1, 4, 11), (5, 4, 3), pads=[2, 0], strides=[2]),
    _conv("conv_1d_depthwise", (1, 4, 11), (4, 1, 3), group=4, dilations=[2]),
    _conv("depthwise", (1, 6, 7, 6), (6, 1, 3, 3), group=6, pads=[1, 1, 1, 1]),
    _conv("depthwise_stride_dilated", (1, 6, 9, 9), (6, 1, 3, 2), group=6, strides=[2, 1], dilations=[1, 2]),
    OperatorCase("conv_without_bias", "Conv", (_IMAGE, W((5, 4, 3, 3)))),
    OperatorCase("conv_per_tensor", "Conv", (_IMAGE, W((5, 4, 3, 3), None), B(5))),
    OperatorCase("conv_uint8_weights", "Conv", (_IMAGE, W((5, 4, 3, 3), None, "uint8"), B(5))),
    OperatorCase("conv_float_bias", "Conv", (_IMAGE, W((3, 4, 3, 3)), R([1.5, -2.25, 0.0]))),
    OperatorCase("conv_relu", "Conv", (_IMAGE, W((5, 4, 3, 3)), B(5)), clamp="Relu", output=(0.02, -100)),
    OperatorCase("conv_clip", "Conv", (_IMAGE, W((5, 4, 3, 3)), B(5)), clamp=(0.0, 6.0), output=(0.06, 3)),
    OperatorCase("conv_uint8_border", "Conv", (_IMAGE, W((5, 4, 3, 3)), B(5)), border="uint8"),
    OperatorCase("conv_int8_border", "Conv", (_IMAGE, W((5, 4, 3, 3)), B(5)), border="int8"),
    OperatorCase("conv_asymmetric", "Conv", (_IMAGE, W((5, 4, 3, 3), None, "uint8", -17), B(5)), {"pads": [1] * 4}),
    OperatorCase("conv_positive", "Conv", (_IMAGE, W((5, 4, 3, 3), None, "uint8", -128)), {"pads": [1] * 4}),
    OperatorCase("conv_asymmetric_channels", "Conv", (_IMAGE, W((5, 4, 3, 3), 0, "int8", 90), B(5))),
    OperatorCase("conv_asymmetric_groups", "Conv", (A((1, 6, 5, 5)), W((4, 3, 3, 3), 0, "int8", 40)), {"group": 2}),
    OperatorCase("depthwise_asymmetric", "Conv", (A((1, 6, 5, 5)), W((6, 1, 3, 3), 0, "int8", 40)), {"group": 6}),
    OperatorCase("conv_1d_asymmetric", "Conv", (A((1, 4, 11)), W((5, 4, 3), None, "uint8", 30), B(5))),
    OperatorCase(
        "conv_extreme_zero_point", "Conv", (A((1, 4, 5, 5), 0.05, -128), W((5, 4, 3, 3)), B(5)), {"pads": [1] * 4}
    ),
)

_PRODUCTS = (
    OperatorCase("gemm", "Gemm", (A((1, 12)), W((12, 7), 1), B(7))),
    OperatorCase("gemm_transposed", "Gemm", (A((1, 12)), W((7, 12), 0), B(7)), {"transB": 1}),
    OperatorCase(
        "gemm_rows",
        "Gemm",
        (A((5, 12)), W((7, 12), 0), B(7)),
        {"transB": 1},
    ),
    OperatorCase("gemm_scaled", "Gemm", (A((1, 12)), W((12, 7), 1), B(7)), {"alpha": -0.75, "beta": 0.5}),
    OperatorCase("gemm_transposed_rows", "Gemm", (A((12, 5)), W((7, 12), 0), B(7)), {"transA": 1, "transB": 1}),
    OperatorCase("gemm_asymmetric", "Gemm", (A((1, 12)), W((7, 12), None, "uint8", 20), B(7)), {"transB": 1}),
    OperatorCase("matmul_asymmetric", "MatMul", (_TOKENS, W((12, 7), None, "uint8", -60))),
    OperatorCase("gemm_activations", "Gemm", (A((3, 8)), A((5, 8), 0.04, 9)), {"transB": 1}),
    OperatorCase("matmul_weights", "MatMul", (_TOKENS, W((12, 7), 1))),
    OperatorCase("matmul_weights_relu", "MatMul", (_TOKENS, W((1, 12, 7), 2)), clamp="Relu"),
    OperatorCase("matmul_activations", "MatMul", (A((1, 2, 5, 6)), A((1, 2, 6, 4), 0.03, 20))),
    OperatorCase("matmul_one_matrix", "MatMul", (A((1, 2, 5, 6)), A((6, 4), 0.03, 20))),
    OperatorCase("matmul_constant_batch", "MatMul", (A((1, 2, 5, 6)), C((1, 2, 6, 4)))),
)

_ELEMENTWISE = (
    OperatorCase("add", "Add", (A((1, 3, 4, 4)), A((1, 3, 4, 4), 0.02, 40))),
    OperatorCase("add_relu", "Add", (A((1, 5, 6)), A((1, 5, 6), 0.02, 40)), clamp="Relu"),
    OperatorCase("add_row", "Add", (_TOKENS, C((12,)))),
    OperatorCase("add_positions", "Add", (_TOKENS, C((1, 5, 12)))),
    OperatorCase("add_row_first", "Add", (C((12,)), _TOKENS)),
    OperatorCase("add_channels", "Add", (_IMAGE, C((1, 4, 1, 1)))),
    OperatorCase("add_number", "Add", (_TOKENS, C((1,)))),
    OperatorCase("add_unequal_scales", "Add", (A((1, 5, 6), 0.5, 0), A((1, 5, 6), 0.001, 100))),
    OperatorCase("add_real_channels", "Add", (_IMAGE, R([[[1.5]], [[-2.0]], [[0.0]], [[100.0]]]))),
    OperatorCase("add_outer", "Add", (A((1, 5, 1)), A((1, 1, 12), 0.02, 40))),
    OperatorCase("add_many", "Add", (A((1, 2, 1, 3)), A((1, 1, 19, 1), 0.02, 40))),
    OperatorCase("sub_outer", "Sub", (A((1, 1, 12)), A((1, 5, 1), 0.02, 40))),
    OperatorCase("sub_real_channels", "Sub", (R([[[1.5]], [[-2.0]], [[0.0]], [[1.0]]]), _IMAGE)),
    OperatorCase("sub", "Sub", (A((1, 5, 6)), A((1, 5, 6), 0.02, 40))),
    OperatorCase("sub_from_row", "Sub", (C((12,)), _TOKENS)),
    OperatorCase("sub_number", "Sub", (R(1.5), _TOKENS)),
    OperatorCase("mul", "Mul", (A((1, 5, 6)), A((1, 5, 6), 0.02, 40))),
    OperatorCase("mul_outer", "Mul", (A((1, 5, 1)), A((1, 1, 12), 0.02, 40))),
    OperatorCase("mul_real_channels", "Mul", (_IMAGE, R([[[1.5]], [[-2.0]], [[0.0]], [[0.01]]]))),
    OperatorCase("mul_square", "Mul", (A((1, 5, 6)), A((1, 5, 6), 0.02, 40)), clamp=(0.0, 1.0)),
    OperatorCase("mul_channels", "Mul", (_IMAGE, A((1, 4, 1, 1), 0.02, 40))),
    OperatorCase("mul_tokens", "Mul", (_TOKENS, A((1, 5, 1), 0.02, 40))),
    OperatorCase("mul_row", "Mul", (_TOKENS, C((1, 1, 12)))),
    OperatorCase("mul_number", "Mul", (_TOKENS, R([0.125]))),
    OperatorCase("div_number", "Div", (_TOKENS, R(3.0))),
    OperatorCase("pow_number", "Pow", (_TOKENS, R(2.0))),
    OperatorCase("min_number", "Min", (_TOKENS, R(1.0))),
    OperatorCase("max_number", "Max", (_TOKENS, R(-1.0))),
)


def _unary(op: str, opset: int = 20, **attributes: float | str) -> OperatorCase:
    name = "_".join([op.lower(), *(str(value) for value in attributes.values())])
    return OperatorCase(name, op, (_TOKENS,), attributes, opset=opset)


_UNARY = (
    *(_unary(op) for op in ("Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish")),
    *(_unary(op) for op in ("LeakyRelu", "Mish", "Neg", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Sin")),
    *(_unary(op) for op in ("Elu", "Celu", "Softplus", "Softsign", "Tanh", "ThresholdedRelu")),
    _unary("Swish", opset=24),
    _unary("Gelu", approximate="tanh"),
    _unary("LeakyRelu", alpha=0.3),
    _unary("Elu", alpha=0.5),
    _unary("HardSigmoid", alpha=0.3, beta=0.4),
    OperatorCase("sqrt", "Sqrt", (A((1, 9), 0.05, -128),), **_SMALL),
    OperatorCase("log", "Log", (A((1, 9), 0.05, -129 + 1),), output=(0.05, 0)),
    OperatorCase("reciprocal", "Reciprocal", (A((1, 9), 0.05, -128),), output=(0.1, -100)),
    OperatorCase("prelu", "PRelu", (_IMAGE, R([[[0.2]]]))),
    OperatorCase("prelu_channels", "PRelu", (_IMAGE, R([[[0.2]], [[-0.5]], [[0.0]], [[1.5]]]))),
    OperatorCase("prelu_features", "PRelu", (_TOKENS, R(np.linspace(-1, 1, 12))), clamp=(-1.0, 1.0)),
    OperatorCase("clip", "Clip", (_TOKENS, R(-1.0), R(2.0))),
    OperatorCase("clip_max", "Clip", (_TOKENS, None, R(2.0))),
)

_NORMALIZATIONS = (
    OperatorCase("softmax", "Softmax", (A((1, 2, 6, 9), 0.1, 4),), output=(1 / 256, -128)),
    OperatorCase("softmax_first_axis", "Softmax", (A((1, 6, 9), 0.1, 4),), {"axis": 1}, output=(1 / 256, -128)),
    OperatorCase("softmax_old", "Softmax", (A((1, 9), 0.1, 4),), output=(1 / 256, -128), opset=11),
    OperatorCase("softmax_flat", "Softmax", (A((1, 3, 2, 4), 0.1, 4),), output=(1 / 256, -128), opset=11),
    OperatorCase(
        "batch_normalization",
        "BatchNormalization",
        (
            _IMAGE,
            R([1.5, -0.5, 0.0, 1e-3]),
            R([0.1, 0.2, -1.0, 3.0]),
            R([0.1, -1.0, 0.0, 0.5]),
            R([1.0, 0.2, 3.0, 0.5]),
        ),
    ),
    OperatorCase(
        "batch_normalization_rows",
        "BatchNormalization",
        (A((5, 4)), R([1.5, -0.5, 0.7, 1e-3]), R([0.1, 0.2, -1.0, 3.0]), R([0.1, -1.0, 0.0, 0.5]), R([1.0] * 4)),
        {"epsilon": 1e-3},
        clamp="Relu",
    ),
    OperatorCase(
        "layer_norm",
        "LayerNormalization",
        (_TOKENS, R(_ROWS.uniform(0.5, 1.5, 12)), R(_ROWS.uniform(-0.5, 0.5, 12))),
        {"epsilon": 1e-5},
    ),
    OperatorCase("layer_norm_no_bias", "LayerNormalization", (_TOKENS, R(_ROWS.uniform(-2.0, 1.5, 12)))),
    OperatorCase(
        "layer_norm_quantized",
        "LayerNormalization",
        (_TOKENS, C((12,), 0.01, 0), C((12,), 0.02, 0)),
    ),
    OperatorCase(
        "layer_norm_large_bias",
        "LayerNormalization",
        (_TOKENS, R(np.full(12, 1e-3)), R(np.linspace(-50, 50, 12))),
    ),
    OperatorCase("layer_norm_two_axes", "LayerNormalization", (A((1, 3, 4)), R(np.ones((3, 4)))), {"axis": 1}),
)

_POOLS = (
    OperatorCase("max_pool", "MaxPool", (_IMAGE,), {"kernel_shape": [2, 2], "strides": [2, 2]}, output="input"),
    OperatorCase(
        "max_pool_requantized", "MaxPool", (_IMAGE,), {"kernel_shape": [2, 3], "pads": [1, 1, 0, 1]}, output=(0.06, 9)
    ),
    OperatorCase(
        "max_pool_ceil",
        "MaxPool",
        (_IMAGE,),
        {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
        output="input",
    ),
    OperatorCase("max_pool_1d", "MaxPool", (A((1, 4, 11)),), {"kernel_shape": [3], "strides": [2]}, output="input"),
    OperatorCase("max_pool_relu", "MaxPool", (_IMAGE,), {"kernel_shape": [2, 2]}, clamp="Relu", output="input"),
    OperatorCase("average_pool", "AveragePool", (_IMAGE,), {"kernel_shape": [2, 2], "strides": [2, 2]}),
    OperatorCase("average_pool_padded", "AveragePool", (_IMAGE,), {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    OperatorCase(
        "average_pool_counted",
        "AveragePool",
        (_IMAGE,),
        {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1},
    ),
    OperatorCase(
        "average_pool_ceil", "AveragePool", (_IMAGE,), {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}
    ),
    OperatorCase("global_average_pool", "GlobalAveragePool", (_IMAGE,)),
    OperatorCase("global_average_pool_1d", "GlobalAveragePool", (A((1, 4, 11)),)),
    OperatorCase("global_max_pool", "GlobalMaxPool", (_IMAGE,), output="input"),
    OperatorCase("reduce_mean_spatial", "ReduceMean", (_IMAGE, N((2, 3))), {"keepdims": 0}),
    OperatorCase("reduce_mean_spatial_kept", "ReduceMean", (_IMAGE, N((-1, -2)))),
    OperatorCase("reduce_mean_tokens", "ReduceMean", (_TOKENS, N((1,))), {"keepdims": 0}),
    OperatorCase("reduce_mean_features", "ReduceMean", (_TOKENS, N((2,)))),
    OperatorCase("reduce_mean_old", "ReduceMean", (_TOKENS,), {"axes": [1], "keepdims": 0}, opset=13),
)


def _resize(name: str, scales: tuple[float, ...], **attributes: object) -> OperatorCase:
    return OperatorCase(name, "Resize", (_IMAGE, None, R(scales)), dict(attributes), output="input")


_MOVEMENT = (
    OperatorCase("reshape", "Reshape", (_TOKENS, N((1, 60))), output="input"),
    OperatorCase("reshape_requantized", "Reshape", (_TOKENS, N((1, -1, 4))), output=(0.07, 5)),
    OperatorCase("flatten", "Flatten", (_IMAGE,), output="input"),
    OperatorCase("transpose", "Transpose", (_IMAGE,), {"perm": [0, 3, 1, 2]}, output="input"),
    OperatorCase("transpose_batch", "Transpose", (_IMAGE,), {"perm": [2, 0, 1, 3]}, output="input"),
    OperatorCase("squeeze", "Squeeze", (A((1, 5, 1, 4)), N((2,))), output="input"),
    OperatorCase("unsqueeze", "Unsqueeze", (_TOKENS, N((2,))), output="input"),
    OperatorCase("slice", "Slice", (_IMAGE, N((1, -3)), N((4, 99)), N((1, 3)), N((2, 1))), output="input"),
    OperatorCase("slice_relu", "Slice", (_TOKENS, N((1,)), N((4,)), N((1,))), clamp="Relu", output="input"),
    OperatorCase(
        "slice_backwards", "Slice", (_TOKENS, N((-1, 10)), N((-99, 1)), N((1, 2)), N((-2, -3))), output="input"
    ),
    OperatorCase("split", "Split", (A((1, 3, 8)),), {"axis": 2, "num_outputs": 3}, output="input", outputs=3),
    OperatorCase("gather_token", "Gather", (_TOKENS, N(2)), {"axis": 1}, output="input"),
    OperatorCase("gather_shuffled", "Gather", (_TOKENS, N((4, 0, 0, -1, 2))), {"axis": 1}, output="input"),
    OperatorCase("concat", "Concat", (A((1, 3, 4)), A((1, 2, 4), 0.02, 40)), {"axis": 1}),
    OperatorCase("concat_constant", "Concat", (C((1, 1, 12)), _TOKENS), {"axis": 1}, output="input"),
    OperatorCase("pad", "Pad", (_IMAGE, N((0, 0, 1, 2, 0, 1, 0, 3))), output="input"),
    OperatorCase("pad_value", "Pad", (_TOKENS, N((0, 1, 0, 0, 0, 2)), R(1.3)), output="input"),
    OperatorCase("pad_reflect", "Pad", (_IMAGE, N((0, 0, 1, 2, 0, 1, 0, 3))), {"mode": "reflect"}, output="input"),
    OperatorCase("pad_edge", "Pad", (_IMAGE, N((0, 0, 1, 2, 0, 1, 0, 3))), {"mode": "edge"}, output="input"),
    OperatorCase("expand_repeated", "Expand", (A((1, 5, 1)), N((1, 2, 5, 19))), output="input"),
    _resize("resize_doubled", (1, 1, 2, 2)),
    _resize("resize_uneven", (1, 1, 1.5, 0.6)),
    _resize("resize_floor", (1, 1, 2.5, 3), coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
    _resize("resize_corners", (1, 1, 2, 1.3), coordinate_transformation_mode="align_corners", nearest_mode="ceil"),
    _resize("resize_torch", (1, 1, 0.25, 2), coordinate_transformation_mode="pytorch_half_pixel"),
    OperatorCase("resize_sizes", "Resize", (_IMAGE, None, None, N((1, 4, 9, 3))), clamp="Relu", output="input"),
    OperatorCase("resize_old", "Resize", (_IMAGE, R([1.0, 1.0, 2.0, 3.0])), output="input", opset=10),
    OperatorCase("resize_1d", "Resize", (A((1, 4, 11)), None, R([1.0, 1.0, 3.0])), output=(0.06, 3)),
    OperatorCase("identity", "Identity", (_TOKENS,), output=(0.07, 5)),
    OperatorCase("dropout", "Dropout", (_TOKENS,), output=(0.07, 5)),
    OperatorCase("expand", "Expand", (_TOKENS, N((1, 5, 12))), output=(0.07, 5)),
)

CASES = (*_CONVOLUTIONS, *_PRODUCTS, *_ELEMENTWISE, *_UNARY, *_NORMALIZATIONS, *_POOLS, *_MOVEMENT)
