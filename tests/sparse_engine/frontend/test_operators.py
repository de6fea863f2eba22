"""Every operator alone: integers against onnxruntime without optimisations, at most one step apart."""

import numpy as np
import onnx
import pytest

from qdq_cases import CASES
from qdq_models import OperatorCase, run_onnx
from tinyformer.sparse_engine import frontend, passes, reference


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_operator_equals_onnxruntime_within_one_step(case: OperatorCase, tmp_path):
    model = case.model()
    onnx.save(model, tmp_path / "model.onnx")
    graph = passes.run(frontend.load(tmp_path / "model.onnx"))
    source, output = graph.tensors[graph.input], graph.tensors[graph.output]
    differences = []
    for sample in case.inputs():
        expected = run_onnx(model, sample[np.newaxis], intermediates=True)[graph.output]
        integers = sample.astype(np.int16) - 128 if sample.dtype == np.uint8 else sample
        actual = reference.run(graph, source.from_model(integers[np.newaxis].astype(np.int8)))
        if expected.dtype == np.uint8:
            expected = expected.astype(np.int16) - 128
        batch = expected if expected.shape[0] == 1 and expected.ndim > 1 else expected[np.newaxis]
        differences.append(np.abs(output.from_model(batch.astype(np.int64)) - actual))
    assert max(d.max() for d in differences) <= 1
    assert np.mean([d.mean() for d in differences]) < 0.15  # halves are rounded up here, to even there


def test_every_supported_operator_has_a_case():
    assert set(frontend.SUPPORTED_OPERATORS) - {case.op for case in CASES} == set()
