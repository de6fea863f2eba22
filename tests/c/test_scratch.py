"""The scratch sizes of kernels/scratch.py are those of the C functions."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinyformer.sparse_engine.kernels.scratch import SCRATCH_BYTES


@pytest.mark.parametrize("symbol", SCRATCH_BYTES)
@given(data=st.data())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_python_equals_c(symbol: str, data: st.DataObject, runtime: ctypes.CDLL, structs: Mapping[str, type]):
    struct = structs[_params_type(symbol)]
    params = {name: data.draw(st.integers(1, 40)) for name, _ in struct._fields_}
    if "groups" in params:
        params["input_channels"] *= params["groups"]
    asked = getattr(runtime, f"{symbol}_scratch_bytes")(ctypes.byref(struct(**params)))
    assert SCRATCH_BYTES[symbol](params) == asked


def test_every_kernel_with_scratch_is_there(runtime_directory: Path):
    header = (runtime_directory / "se_kernels.h").read_text()
    assert set(re.findall(r"(\w+)_scratch_bytes\(", header)) == set(SCRATCH_BYTES)


def _params_type(symbol: str) -> str:
    operator = re.sub(r"^se_(depthwise_)?|(_(rle4|bitmap))?_block\d|_lazy|_s8$", "", symbol)
    return f"se_{operator}_params"
