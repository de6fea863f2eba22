from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import parser, reference

from tinyformer.errors import UnsupportedModelError
from tinyformer.quantization import canonicalize, predict

HEADER = '<ir_version: 8, opset_import: ["" : 17]>'


def _model(body: str) -> onnx.ModelProto:
    model = parser.parse_model(f"{HEADER}\n{body}")
    onnx.checker.check_model(model)
    return model


def _operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def _assert_equal(model: onnx.ModelProto, canonical: onnx.ModelProto, shape: tuple[int, ...]):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    onnx.checker.check_model(canonical, full_check=True)
    np.testing.assert_allclose(predict(canonical, x), predict(model, x), rtol=1e-5, atol=1e-6)


LINEAR = """
g (float[{batch}, 3, 4] x) => (float[{batch}, 3, 2] y)
<float[4, 2] w = {{1, 2, 3, 4, 5, 6, 7, 8}}, float[2] b = {{1, -1}}>
{{
    product = MatMul(x, w)
    {tail}
}}
"""


@pytest.mark.parametrize("tail", ["y = Add(product, b)", "y = Add(b, product)"])
def test_a_linear_layer_over_tokens_becomes_a_gemm(tail: str):
    model = _model(LINEAR.format(batch=1, tail=tail))
    canonical = canonicalize(model)
    assert _operators(canonical) == ["Reshape", "Gemm", "Reshape"]
    assert [output.name for output in canonical.graph.output] == ["y"]
    _assert_equal(model, canonical, (1, 3, 4))


def test_a_relu_moves_to_its_gemm():
    model = _model(LINEAR.format(batch=1, tail="sum = Add(product, b)\n y = Relu(sum)"))
    canonical = canonicalize(model)
    assert _operators(canonical) == ["Reshape", "Gemm", "Relu", "Reshape"]
    _assert_equal(model, canonical, (1, 3, 4))


def test_a_product_with_two_readers_stays():
    canonical = canonicalize(_model(LINEAR.format(batch=1, tail="sum = Add(product, b)\n y = Add(sum, product)")))
    assert _operators(canonical) == ["MatMul", "Add", "Add"]


def test_a_symbolic_batch_becomes_one():
    canonical = canonicalize(_model(LINEAR.format(batch="N", tail="y = Add(product, b)")))
    shapes = {
        value.name: [d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*canonical.graph.input, *canonical.graph.output)
    }
    assert shapes == {"x": [1, 3, 4], "y": [1, 3, 2]}


def test_other_symbolic_axes_are_refused():
    model = _model("g (float[1, T] x) => (float[1, T] y) { y = Relu(x) }")
    with pytest.raises(UnsupportedModelError, match="'x' has shape"):
        canonicalize(model)


@pytest.mark.parametrize("operator", ["MaxPool", "AveragePool"])
def test_ceil_mode_becomes_padding(operator: str):
    model = _model(
        "g (float[1, 1, 7, 8] x) => (float[1, 1, 4, 4] y) "
        f"{{ y = {operator} <kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1> (x) }}"
    )
    canonical = canonicalize(model)
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in canonical.graph.node[0].attribute}
    assert (attributes["ceil_mode"], attributes["pads"]) == (0, [0, 0, 1, 0])
    _assert_equal(model, canonical, (1, 1, 7, 8))


def test_constants_are_lifted_and_parameters_own():
    model = _model("""
        g (float[1, 2] x) => (float[1, 2] y)
        <float[2, 2] w = {1, 2, 3, 4}>
        {
            b = Constant <value = float[2] {1, 2}> ()
            middle = Gemm(x, w, b)
            y = Gemm(middle, w, b)
        }
    """)
    canonical = canonicalize(model)
    assert _operators(canonical) == ["Gemm", "Gemm"]
    readers = Counter(name for node in canonical.graph.node for name in node.input[1:])
    assert set(readers.values()) == {1}
    assert len({node.name for node in canonical.graph.node} - {""}) == 2
    _assert_equal(model, canonical, (1, 2))


def test_canonical_models_stay_as_they_are():
    once = canonicalize(_model(LINEAR.format(batch=1, tail="sum = Add(product, b)\n y = Relu(sum)")))
    assert canonicalize(once).SerializeToString() == once.SerializeToString()


GEMM = """
g (float[1, 3] x) => (float[1, 2] y)
<float[{rows}] w = {{1, 2, 3, 4, 5, 6}}, float[{shape}] b = {{{values}}}>
{{
    y = Gemm {attributes} (x, w, b)
}}
"""


@pytest.mark.parametrize(
    ("rows", "shape", "values", "attributes"),
    [
        ("3, 2", "2", "7, 8", "<alpha = 0.5, beta = 2.0>"),
        ("2, 3", "2", "7, 8", "<alpha = -1.5, transB = 1>"),
        ("3, 2", "1, 2", "7, 8", ""),
        ("3, 2", "1", "7", "<beta = 3.0>"),
    ],
)
def test_a_gemm_has_factors_of_one_and_a_bias_for_each_output(rows: str, shape: str, values: str, attributes: str):
    model = _model(GEMM.format(rows=rows, shape=shape, values=values, attributes=attributes))
    canonical = canonicalize(model)
    (node,) = canonical.graph.node
    assert not {attribute.name for attribute in node.attribute} & {"alpha", "beta"}
    shapes = {tensor.name: tuple(tensor.dims) for tensor in canonical.graph.initializer}
    assert shapes[node.input[2]] == (2,)
    _assert_equal(model, canonical, (1, 3))


@pytest.mark.parametrize("rows", [2, 3])
def test_a_bias_of_each_row_is_not_taken_for_one_of_each_output(rows: int):
    """Not even where there are as many rows as outputs."""
    values = ", ".join(str(7 + row) for row in range(rows))
    model = _model(f"""
g (float[{rows}, 3] x) => (float[{rows}, 2] y)
<float[3, 2] w = {{1, 2, 3, 4, 5, 6}}, float[{rows}, 1] b = {{{values}}}>
{{
    y = Gemm <alpha = 0.5, beta = 2.0> (x, w, b)
}}
""")
    x = np.random.default_rng(0).normal(size=(1, rows, 3)).astype(np.float32)[0]
    plain, canonical = (reference.ReferenceEvaluator(m).run(None, {"x": x})[0] for m in (model, canonicalize(model)))
    np.testing.assert_allclose(canonical, plain, rtol=1e-5)


def test_a_computed_bias_keeps_its_factor():
    model = _model("""
g (float[1, 3] x) => (float[1, 3] y)
<float[3, 3] w = {1, 2, 3, 4, 5, 6, 7, 8, 9}>
{
    y = Gemm <alpha = 0.5, beta = 2.0> (x, w, x)
}
""")
    _assert_equal(model, canonicalize(model), (1, 3))


def test_a_bias_of_one_element_reaches_every_output():
    model = _model(
        LINEAR.format(batch=1, tail="y = Add(product, b)").replace("float[2] b = {1, -1}", "float[1] b = {5}")
    )
    canonical = canonicalize(model)
    assert _operators(canonical) == ["Reshape", "Gemm", "Reshape"]
    _assert_equal(model, canonical, (1, 3, 4))


def test_a_product_added_to_itself_stays():
    model = _model(LINEAR.format(batch=1, tail="y = Add(product, product)"))
    assert _operators(canonicalize(model)) == ["MatMul", "Add"]
