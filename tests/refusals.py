"""Files that the frontend refuses, and what every refusal says."""

from collections.abc import Callable

import onnx
import pytest

from qdq_models import QdqModel
from tinyformer.errors import UnsupportedModelError
from tinyformer.sparse_engine import frontend

X = (1, 4, 6, 6)


def refusal(path) -> str:
    with pytest.raises(UnsupportedModelError) as caught:
        frontend.load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert "; allowed: " in message
    assert message.count("; ") >= 2  # the remedy
    assert message.startswith(str(path))
    return message


def refusal_of(model: onnx.ModelProto, tmp_path) -> str:
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    return refusal(tmp_path / "model.onnx")


def identity_model(edit: Callable[[onnx.ModelProto], None]) -> onnx.ModelProto:
    model = QdqModel(X)
    proto = model.finish(model.quantize(model.op("Sigmoid", [model.input]), 0.01, -128))
    edit(proto)
    return proto
