"""``import tinyformer`` gives the public names, and costs nothing."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

import tinyformer

ROOMS = ("pipeline", "quantization", "study", "training")


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


@pytest.mark.parametrize("name", ["tinyformer", *(f"tinyformer.{room}" for room in ROOMS)])
def test_every_name_is_found_in_its_home(name):
    """And none is a module's, which would take its place once the module is imported."""
    package = importlib.import_module(name)
    assert set(package._HOMES) == set(package.__all__)
    modules = {module.name for module in pkgutil.iter_modules(package.__path__)}
    assert not modules & set(package.__all__)
    for offered in package.__all__:
        assert getattr(package, offered).__class__.__name__ != "module"
