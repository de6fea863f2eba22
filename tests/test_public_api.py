"""``import tinyformer`` gives the public names, and costs nothing."""

import subprocess
import sys

import pytest

import tinyformer


def test_public_names():
    assert set(tinyformer.__all__) <= set(dir(tinyformer))
    for name in tinyformer.__all__:
        assert callable(getattr(tinyformer, name))
    with pytest.raises(AttributeError, match="no attribute 'frobnicate'"):
        _ = tinyformer.frobnicate


def test_import_is_lazy():
    program = "import sys, tinyformer; print(*(m for m in ('numpy', 'onnx', 'torch', 'jinja2') if m in sys.modules))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == ""


def test_compiling_needs_no_torch():
    program = "import sys, tinyformer; tinyformer.compile; tinyformer.load; print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
