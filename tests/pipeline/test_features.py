"""The features header gives C the bytes that the training data had."""

import ctypes
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tinyformer import config
from tinyformer.data import Dataset
from tinyformer.data.scaling import ByteScaling
from tinyformer.pipeline import features
from tinyformer.pipeline.context import RunContext, Silent

_WRAPPER = """
#include "kws_features.h"
void convert(const float *values, int8_t *bytes, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        bytes[i] = kws_feature(values[i]);
}
"""


def test_literals_read_back_as_the_same_number() -> None:
    for value in np.random.default_rng(0).normal(size=100).astype(np.float32) * np.float32(1e5):
        literal = features._literal(float(value)).strip("()")
        assert literal.endswith("f")
        assert np.float32(literal[:-1]) == value
        assert "." in literal or "e" in literal
    assert features._literal(-16.0) == "(-16.0f)"


@pytest.mark.slow
@pytest.mark.parametrize("contraction", ["off", "fast"])
def test_c_gives_the_bytes_of_the_training_data(tmp_path: Path, contraction: str) -> None:
    scaling = ByteScaling.of(-51.24191, 33.7518)
    (tmp_path / "kws_features.h").write_text(features.header("kws", scaling))
    (tmp_path / "wrapper.c").write_text(_WRAPPER)
    flags = ["-std=c99", "-O2", f"-ffp-contract={contraction}", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion"]
    command = [
        sys.executable,
        "-m",
        "ziglang",
        "cc",
        "-shared",
        "-fPIC",
        *flags,
        "-Werror",
        "-o",
        "lib.so",
        "wrapper.c",
    ]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    halves = (np.arange(511) + 0.5) / scaling.gain + scaling.low  # where a rounding would show
    values = np.concatenate([np.random.default_rng(0).uniform(-60, 40, 100_000), halves, [-3e38, 3e38, -0.0]])
    values = values.astype(np.float32)
    found = np.zeros(len(values), np.int8)
    ctypes.CDLL(str(tmp_path / "lib.so")).convert(
        values.ctypes.data_as(ctypes.c_void_p), found.ctypes.data_as(ctypes.c_void_p), len(values)
    )
    expected = scaling.to_bytes(values).astype(np.int16) - 128
    assert np.array_equal(found, expected)
    assert len(np.unique(found)) == 256


def test_bytes_need_no_header(tmp_path: Path) -> None:
    settings = config.parse({"name": "kws"})
    context = RunContext(settings, tmp_path, Silent())
    images, labels = np.zeros((2, 1, 1, 1), np.uint8), np.array([0, 1])
    parts = (images, labels, images, labels, images, labels)
    vars(context)["dataset"] = Dataset("npz", ("a", "b"), *parts, mean=0.0, std=1.0)
    assert features.write_header(context) is None
    vars(context)["dataset"] = Dataset("npz", ("a", "b"), *parts, mean=0.0, std=1.0, value_range=(-1.0, 1.0))
    target = features.write_header(context)
    assert target == tmp_path / "kws_features.h"
    assert "#define KWS_FEATURE_LOW (-1.0f)" in target.read_text()
    assert features.input_summary(context.dataset)["value_range"] == [-1.0, 1.0]
