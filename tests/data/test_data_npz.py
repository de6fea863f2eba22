import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinyformer import data
from tinyformer.data import npz
from tinyformer.errors import ConfigError, DataError

Y = np.tile(np.arange(2), 10)


def load(tmp_path, **arrays):
    path = tmp_path / "own.npz"
    np.savez(path, **arrays)
    return data.load("npz", path=path)


@pytest.mark.parametrize(
    ("shape", "image"), [((20, 4, 5), (4, 5, 1)), ((20, 4, 5, 3), (4, 5, 3)), ((20, 7), (1, 7, 1))]
)
def test_images_and_features_become_images(tmp_path, shape, image):
    x = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    dataset = load(tmp_path, x=x, y=Y)
    assert dataset.input_shape == image
    assert (len(dataset.x_train), len(dataset.x_val), len(dataset.x_test)) == (14, 2, 4)
    assert dataset.value_range == (0.0, 255.0)
    rows = {row.tobytes() for part in (dataset.x_train, dataset.x_val, dataset.x_test) for row in part}
    assert rows == {row.tobytes() for row in x}


def test_given_splits_are_kept(tmp_path):
    splits = {name: np.full((n, 2, 2), n, np.uint8) for name, n in (("train", 6), ("val", 4), ("test", 2))}
    labels = {f"y_{name}": np.arange(len(x)) % 2 for name, x in splits.items()}
    dataset = load(tmp_path, **{f"x_{name}": x for name, x in splits.items()}, **labels, classes=["no", "yes"])
    assert (len(dataset.x_train), len(dataset.x_val), len(dataset.x_test)) == (6, 4, 2)
    assert dataset.classes == ("no", "yes")
    assert dataset.y_val.tolist() == [0, 1, 0, 1]


def test_floats_are_scaled_by_the_training_split_alone(tmp_path):
    x_train = np.linspace(-1.0, 3.0, 20).reshape(20, 1)
    x_test = np.array([[-9.0], [1.0], [9.0]])
    dataset = load(tmp_path, x_train=x_train, y_train=Y, x_test=x_test, y_test=np.array([0, 1, 0]))
    assert dataset.value_range == (-1.0, 3.0)
    assert dataset.x_test.reshape(-1).tolist() == [0, 128, 255]


def test_a_held_out_test_split_has_no_say_in_the_range(tmp_path):
    held = npz.hold_out_test(Y)[1]
    x = np.linspace(0.0, 1.0, 20).reshape(20, 1)
    x[held[0]] = 1000.0
    assert load(tmp_path, x=x, y=Y).value_range[1] <= 1.0


@given(hnp.arrays(np.float64, (4, 3), elements=st.floats(-1e6, 1e6)).filter(lambda a: np.ptp(a) > 1e-3))
def test_scaled_values_are_within_half_a_step(values):
    low, high = float(values.min()), float(values.max())
    scaled = npz._to_bytes(values, (low, high))
    assert scaled.dtype == np.uint8
    step = (high - low) / 255
    assert np.abs(low + scaled * step - values).max() <= step * 0.5000001


def test_other_whole_numbers_keep_bytes_or_are_scaled(tmp_path):
    bytes_ = load(tmp_path, x=np.tile([[3], [200]], (10, 1)), y=Y)
    assert set(bytes_.x_train.reshape(-1).tolist()) == {3, 200}
    wide = load(tmp_path, x=np.tile([[-300], [300]], (10, 1)), y=Y)
    assert wide.value_range == (-300.0, 300.0)
    assert set(wide.x_train.reshape(-1).tolist()) == {0, 255}


def test_text_labels_name_the_classes(tmp_path):
    dataset = load(tmp_path, x=np.zeros((20, 2, 2), np.uint8), y=np.array(["b", "a"] * 10))
    assert dataset.classes == ("a", "b")


IMAGES = np.zeros((20, 2, 2), np.uint8)


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"images": IMAGES}, "found images; allowed: x and y"),
        ({"x": IMAGES, "y": Y[:5]}, r"y is \(5,\) for 20 of x"),
        ({"x": IMAGES, "y": Y - 1}, "label -1; allowed: whole numbers from 0"),
        ({"x": IMAGES, "y": Y + 0.5}, "labels are float64; allowed"),
        ({"x": IMAGES, "y": Y, "classes": ["one"]}, r"labels 0 .. 1; allowed: 0 .. 0"),
        ({"x": IMAGES, "y": np.array(["a", "b"] * 10), "classes": ["a"]}, "label 'b' is no class; allowed: a"),
        ({"x": np.zeros((20, 3, 8, 8), np.uint8), "y": Y}, "channels first"),
        ({"x": np.zeros(20), "y": Y}, r"shape \(20,\); allowed"),
        ({"x": np.zeros((0, 2)), "y": Y[:0]}, "not empty"),
        ({"x": np.full((20, 2), np.nan), "y": Y}, "not all values are finite"),
        ({"x": np.full((20, 2), 1.5), "y": Y}, "all training values are 1.5"),
        ({"x": np.zeros((20, 2), np.complex64), "y": Y}, "complex64; allowed"),
        ({"x": IMAGES, "y": np.array([object()] * 20)}, "without objects"),
        (
            {"x_train": IMAGES, "y_train": Y, "x_test": np.zeros((2, 3, 3), np.uint8), "y_test": Y[:2]},
            r"test split: images are uint8\(2, 3, 3, 1\)",
        ),
    ],
)
def test_wrong_arrays_are_refused(tmp_path, arrays, expected):
    with pytest.raises(DataError, match=expected) as caught:
        load(tmp_path, **arrays)
    assert "\n" not in str(caught.value)


def test_wrong_files_are_refused(tmp_path):
    path = tmp_path / "own.npz"
    with pytest.raises(DataError, match="no such file"):
        data.load("npz", path=path)
    path.write_bytes(b"odd")
    with pytest.raises(DataError, match="cannot be read"):
        data.load("npz", path=path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", b"odd")
    with pytest.raises(DataError, match="x is no array"):
        data.load("npz", path=path)
    np.save(tmp_path / "single.npy", IMAGES)
    with pytest.raises(DataError, match="a single array"):
        data.load("npz", path=tmp_path / "single.npy")
    with pytest.raises(ConfigError, match="no path"):
        data.load("npz")
