import builtins

import numpy as np
import pytest

from tinyformer import data
from tinyformer.data.dataset import Dataset, statistics
from tinyformer.errors import ConfigError, DataError, MissingExtraError


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def test_the_names_are_those_of_the_design():
    assert data.names() == ("digits", "fashion_mnist", "cifar10", "npz", "folder")


def test_digits_are_bytes_in_three_splits(digits):
    assert digits.input_shape == (8, 8, 1)
    assert len(digits.classes) == 10
    assert len(digits.x_test) >= 360
    assert len(digits.x_train) + len(digits.x_val) + len(digits.x_test) == 1797
    assert (digits.x_train.min(), digits.x_train.max()) == (0, 255)
    assert digits.value_range == (0.0, 16.0)
    for labels in (digits.y_train, digits.y_val, digits.y_test):
        shares = np.bincount(labels, minlength=10) / len(labels)
        assert shares.min() > 0.08


def test_what_is_known_without_loading_is_what_is_loaded(digits):
    assert data.kind("digits") == (digits.input_shape, len(digits.classes))
    assert data.kind("folder") is data.kind("npz") is None
    with pytest.raises(ConfigError, match="dataset 'mnist' is unknown"):
        data.kind("mnist")


def test_the_seed_moves_validation_but_not_the_test_split(digits):
    other = data.load("digits", seed=1)
    assert np.array_equal(other.x_test, digits.x_test)
    assert not np.array_equal(other.x_val, digits.x_val)
    assert np.array_equal(data.load("digits").x_val, digits.x_val)


def test_validation_can_be_left_out():
    dataset = data.load("digits", validation_fraction=0)
    assert dataset.x_val.shape == (0, 8, 8, 1)


def test_statistics_are_those_of_the_training_split(digits):
    x = digits.x_train.astype(np.float64)
    assert digits.mean == np.rint(x.mean())
    assert digits.std == pytest.approx(np.sqrt(np.mean((x - digits.mean) ** 2)))
    assert statistics(np.full((1, 2, 2, 1), 9, np.uint8)) == (9.0, 1.0)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"name": "mnist"}, "dataset 'mnist' is unknown; allowed: digits, fashion_mnist"),
        ({"name": "digits", "path": "x"}, "digits: does not take 'path'"),
        ({"name": "npz", "size": (8, 8)}, "npz: does not take 'size'; allowed: path"),
        ({"name": "cifar10", "grayscale": True}, "cifar10: does not take 'grayscale'"),
        ({"name": "digits", "validation_fraction": 0.6}, "validation_fraction 0.6; allowed: 0 to 0.5"),
        ({"name": "folder", "path": "x", "size": (0, 8)}, r"size \(0, 8\); allowed"),
    ],
)
def test_wrong_arguments_are_refused(arguments, expected):
    with pytest.raises(ConfigError, match=expected):
        data.load(**arguments)


def test_fetch_knows_what_there_is_to_fetch():
    assert data.fetch("digits") is None
    for name in ("npz", "folder"):
        with pytest.raises(ConfigError, match=f"dataset {name} is your own"):
            data.fetch(name)


@pytest.mark.parametrize(("name", "package"), [("digits", "scikit-learn"), ("folder", "pillow")])
def test_a_missing_package_is_named_with_its_extra(monkeypatch, tmp_path, name, package):
    real = builtins.__import__

    def without(module, *args, **kwargs):
        if module.startswith(("sklearn", "PIL")):
            raise ImportError(module)
        return real(module, *args, **kwargs)

    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.png").touch()
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=rf"'{package}'.*tinyformer\[search\]"):
        data.load(name, path=tmp_path if name == "folder" else None)


def test_arrays_that_do_not_fit_are_refused():
    x, y = np.zeros((2, 4, 4, 1), np.uint8), np.zeros(2, np.int64)

    def build(x_val=x, y_val=y):
        return Dataset("toy", ("a",), x, y, x_val, y_val, x, y, 0.0, 1.0)

    build()
    with pytest.raises(DataError, match=r"val split: images are uint8\(2, 5, 4, 1\)"):
        build(x_val=np.zeros((2, 5, 4, 1), np.uint8))
    with pytest.raises(DataError, match="images are float64"):
        build(x_val=x / 2)
    with pytest.raises(DataError, match=r"labels are int64\(3,\) for 2 images"):
        build(y_val=np.zeros(3, np.int64))
    with pytest.raises(DataError, match=r"labels 1 .. 1; allowed: 0 .. 0"):
        build(y_val=y + 1)
