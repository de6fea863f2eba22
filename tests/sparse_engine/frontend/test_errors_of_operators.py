"""Operators outside what is supported: one line that says where, what, what is allowed and what to do."""

import numpy as np
import pytest

from qdq_models import A, C, N, OperatorCase, QdqModel, R, W
from refusals import X, refusal_of

TOKENS = A((1, 5, 12))


OPERATORS = [
    (OperatorCase("conv3d", "Conv", (A((1, 2, 4, 4, 4)), W((3, 2, 3, 3, 3)))), "(1, C, L) or (1, C, H, W)"),
    (OperatorCase("batches", "MatMul", (A((2, 5, 6)), A((3, 1, 6, 4)))), "equal leading axes"),
    (OperatorCase("weights_first", "MatMul", (W((7, 5), 0), TOKENS)), "input 0 is a constant"),
    (
        OperatorCase("float_row", "Add", (TOKENS, R(np.arange(60.0).reshape(5, 12)))),
        "is not quantised to int8 per tensor",
    ),
    (OperatorCase("two_tensors", "Div", (A((1, 5, 12)), A((1, 5, 12), 0.1, -128))), "it has two tensors"),
    (OperatorCase("slopes", "PRelu", (A((1, 5, 12)), R(np.arange(60.0).reshape(5, 12)))), "varies along several axes"),
    (
        OperatorCase("same", "Conv", (A(X), W((5, 4, 2, 2))), {"auto_pad": "SAME_UPPER", "strides": [6, 6]}),
        "skips pixels",
    ),
    (OperatorCase("few", "PRelu", (A(X), R([[[0.1]], [[0.2]], [[0.3]]]))), "3 values for 4 channels"),
    (OperatorCase("linear", "Resize", (A(X), None, R([1.0, 1, 2, 2])), {"mode": "linear"}), "its mode is 'linear'"),
    (
        OperatorCase(
            "scattered", "Gather", (A((1, 300)), N(tuple(i * 7 % 300 * 41 % 300 for i in range(300)))), {"axis": 1}
        ),
        "pieces",
    ),
    (OperatorCase("training", "BatchNormalization", (A(X), *(R(np.ones(4)),) * 3, R(-np.ones(4)))), "not finite"),
    (OperatorCase("batch_softmax", "Softmax", (TOKENS,), {"axis": 0}), "along the batch axis"),
    (OperatorCase("dilated", "MaxPool", (A(X),), {"kernel_shape": [2, 2], "dilations": [2, 2]}), "dilations"),
    (OperatorCase("empty", "MaxPool", (A(X),), {"kernel_shape": [2, 2], "pads": [3, 0, 0, 0]}), "holds whole windows"),
    (OperatorCase("table", "Gather", (TOKENS, N(((0, 1), (2, 3)))), {"axis": 1}), "not a number or a list"),
    (OperatorCase("vector", "MatMul", (TOKENS, W((12,), 0))), "it multiplies (1, 5, 12) by (12,)"),
    (OperatorCase("computed_slope", "PRelu", (A((1, 5, 12)), A((1, 5, 12)))), "input 1 is computed at run time"),
    (OperatorCase("computed_gamma", "LayerNormalization", (A((1, 12)), A((12,)))), "input 1 is computed at run time"),
    (OperatorCase("constant_concat", "Concat", (C((1, 1, 12)), C((1, 1, 12)), TOKENS), {"axis": 0}), ""),
]


@pytest.mark.parametrize(("case", "what"), OPERATORS, ids=[case.name for case, _ in OPERATORS])
def test_operator_outside_what_is_supported(tmp_path, case, what):
    quiet = OperatorCase(case.name, case.op, case.operands, case.attributes, (0.1, 0), opset=case.opset)
    assert what in refusal_of(quiet.model(), tmp_path)


@pytest.mark.parametrize("value", [[0, 1], [1], [1, 2**40], [0]])
def test_strides_that_make_no_sense(tmp_path, value):
    case = OperatorCase("", "Conv", (A(X), W((5, 4, 3, 3))), {"strides": value}, (0.1, 0))
    refusal_of(case.model(), tmp_path)


def test_layer_norm_with_weights_of_another_size(tmp_path):
    case = OperatorCase("", "LayerNormalization", (TOKENS, R(np.ones(7))), output=(0.1, 0))
    refusal_of(case.model(), tmp_path)


def test_layer_norm_that_is_not_finite(tmp_path):
    case = OperatorCase("", "LayerNormalization", (TOKENS, R(np.full(12, np.inf))), output=(0.1, 0))
    assert "finite" in refusal_of(case.model(), tmp_path)


def test_channels_torn_apart(tmp_path):
    model = QdqModel((1, 5, 6))
    weight = model.constant(np.ones((4, 6), np.int8), [0.01] * 4, 0, 0)
    torn = model.op("Reshape", [weight, model.integers(6, 4)])
    proto = model.finish(model.quantize(model.op("MatMul", [model.input, torn]), 0.3))
    assert "tears the channels of quantised weights apart" in refusal_of(proto, tmp_path)
