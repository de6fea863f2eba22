"""A model from elsewhere: torch exports it, onnxruntime quantises it, then the commands' functions take it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from torch import nn

from tinyformer import quantization
from tinyformer.errors import UnsupportedModelError
from tinyformer.sparse_engine import compiler, deployment, validation

SAMPLES = np.random.default_rng(0).normal(size=(24, 3, 16, 16)).astype(np.float32)


class Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self) -> None:
        self._left: Iterator[np.ndarray] = iter(SAMPLES)

    def get_next(self) -> dict[str, np.ndarray] | None:
        sample = next(self._left, None)
        return None if sample is None else {"image": sample[None]}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    directory = tmp_path_factory.mktemp("foreign")
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),  # exported as ReduceMean, which onnxruntime leaves without a QuantizeLinear of its own
        nn.Flatten(),
        nn.Linear(16, 10),
    ).eval()
    in_float, in_int8 = directory / "cnn.onnx", directory / "cnn_int8.onnx"
    torch.onnx.export(
        network,
        (torch.zeros(1, 3, 16, 16),),
        in_float,
        dynamo=True,
        external_data=False,
        input_names=["image"],
        verbose=False,
    )
    quantize_static(
        in_float, in_int8, Reader(), per_channel=True, activation_type=QuantType.QInt8, weight_type=QuantType.QInt8
    )
    return in_float, in_int8


@pytest.mark.slow
@pytest.mark.emulator
def test_a_cnn_of_torch_and_onnxruntime_compiles_runs_and_validates(models: tuple[Path, Path], tmp_path: Path) -> None:
    _, in_int8 = models
    bundle = compiler.compile(in_int8, "stm32f746g-disco", tmp_path / "bundle", name="cnn").directory
    emulated = deployment.emulate(bundle, SAMPLES)
    found = validation.validate(bundle, SAMPLES, model=in_int8)
    assert emulated.outputs.shape == (24, 10)
    assert found.bit_exact
    assert found.onnx_max_steps is not None
    assert found.onnx_max_steps <= 1
    assert found.top1_agreement == 1.0
    assert emulated.figures.instructions == emulated.figures.to_dict()["instructions"] > 0


@pytest.mark.slow
def test_the_float_model_is_refused_and_says_what_to_do(models: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="tinyformer quantize"):
        compiler.compile(models[0], "stm32f746g-disco", tmp_path / "bundle")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_quantising_twice_is_refused(models: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModelError, match="quantised already"):
        quantization.quantize(models[1], SAMPLES, tmp_path / "twice.onnx")
    assert not list(tmp_path.iterdir())
