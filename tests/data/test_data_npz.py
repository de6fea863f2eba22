import zipfile

import numpy as np
import pytest

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
    assert sorted(dataset.y_val.tolist()) == [0, 0, 1, 1]
    assert dataset.y_test.tolist() == [0, 1]


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


def test_other_whole_numbers_keep_bytes_or_are_scaled(tmp_path):
    bytes_ = load(tmp_path, x=np.tile([[3], [200]], (10, 1)), y=Y)
    assert set(bytes_.x_train.reshape(-1).tolist()) == {3, 200}
    wide = load(tmp_path, x=np.tile([[-300], [300]], (10, 1)), y=Y)
    assert wide.value_range == (-300.0, 300.0)
    assert set(wide.x_train.reshape(-1).tolist()) == {0, 255}


@pytest.mark.parametrize(
    ("shape", "image"),
    [((20, 49, 10), (49, 10, 1)), ((20, 128), (1, 128, 1)), ((20, 128, 6), (128, 6, 1)), ((20, 1, 64, 6), (1, 64, 6))],
)
def test_windows_of_sensors_and_spectrograms_are_accepted(tmp_path, shape, image):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    assert load(tmp_path, x=x, y=Y).input_shape == image


def test_a_given_range_is_that_of_the_bytes(tmp_path):
    x = np.tile([[-2.0], [0.5]], (10, 1))
    dataset = load(tmp_path, x=x, y=Y, range=[-1, 1])
    assert dataset.value_range == (-1.0, 1.0)
    assert set(dataset.x_train.reshape(-1).tolist()) == {0, 191}
    whole = load(tmp_path, x=np.tile([[0], [5]], (10, 1)), y=Y, range=np.array([0, 10]))
    assert set(whole.x_train.reshape(-1).tolist()) == {0, 128}


def test_other_whole_numbers_of_the_test_split_are_clipped(tmp_path):
    x = np.tile([[3], [200]], (10, 1))
    dataset = load(tmp_path, x_train=x, y_train=Y, x_test=x * 2 - 100, y_test=Y)
    assert set(dataset.x_test.reshape(-1).tolist()) == {0, 255}


def test_names_in_bytes_are_utf8(tmp_path):
    names = np.array(["ä", "b"])
    dataset = load(tmp_path, x=np.zeros((20, 2, 2), np.uint8), y=np.char.encode(names[Y], "utf-8"))
    assert dataset.classes == ("b", "ä")


def test_samples_sorted_by_class_are_shuffled(tmp_path):
    x = np.arange(200, dtype=np.uint8)[:, np.newaxis]
    dataset = load(tmp_path, x=x, y=np.repeat([0, 1], 100))
    for labels in (dataset.y_train, dataset.y_val):
        assert 0.2 < labels[: len(labels) // 2].mean() < 0.8
    assert ((dataset.x_train.reshape(-1) >= 100) == dataset.y_train).all()


def test_text_labels_name_the_classes(tmp_path):
    dataset = load(tmp_path, x=np.zeros((20, 2, 2), np.uint8), y=np.array(["b", "a"] * 10))
    assert dataset.classes == ("a", "b")


IMAGES = np.zeros((20, 2, 2), np.uint8)


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"images": IMAGES}, "found images; allowed: x and y"),
        ({"x": IMAGES, "y": Y[:5]}, r"y: 5 labels for 20 of x; allowed: \(N,\)"),
        ({"x": IMAGES, "y": Y - 1}, "label -1; allowed: whole numbers from 0"),
        ({"x": IMAGES, "y": Y + 0.5}, "labels are float64; allowed"),
        ({"x": IMAGES, "y": Y, "classes": ["one"]}, "y: label 1; allowed: 0 to 0"),
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
            r"x_test: uint8\(N, 3, 3\) where x_train is uint8\(N, 2, 2\); allowed: the same",
        ),
        (
            {"x_train": IMAGES, "y_train": Y, "x_test": IMAGES / 2, "y_test": Y},
            r"x_test: float64\(N, 2, 2\) where x_train is uint8\(N, 2, 2\)",
        ),
        ({"x_train": IMAGES, "y_train": Y, "x_test": IMAGES}, "no y_test, found x_test, x_train, y_train; allowed"),
        ({"x_train": IMAGES, "y_train": Y, "y_val": Y}, "no x_val"),
        ({"x": IMAGES, "y": Y, "labels": Y}, "unknown key 'labels'; allowed: x and y"),
        ({"x_train": IMAGES, "y_train": Y, "x": IMAGES}, "unknown key 'x'"),
        ({"x": np.zeros((20, 1, 8, 8), np.uint8), "y": Y}, "channels first"),
        ({"x": np.zeros((20, 3, 8, 6), np.uint8), "y": Y}, "channels first"),
        ({"x": IMAGES, "y": Y[:, np.newaxis]}, r"y: shape \(20, 1\); allowed: \(N,\)"),
        ({"x": IMAGES, "y": Y * 2}, "labels go to 2, none is 1; allowed: every number from 0"),
        ({"x": IMAGES, "y": Y.astype(np.int64) * 10**15}, "none is 1; allowed"),
        ({"x": IMAGES, "y": Y * 0}, "1 class; allowed: two or more"),
        ({"x": IMAGES, "y": Y, "classes": ["a", "b", "c"]}, "class 'c' has no training sample; allowed: one or more"),
        ({"x": IMAGES, "y": Y, "classes": ["a", "a"]}, "class 'a' is named twice"),
        ({"x": IMAGES, "y": Y, "classes": [b"a", b"\xff"]}, "classes: bytes that are no UTF-8"),
        ({"x": IMAGES[:2], "y": Y[:2]}, "the validation split is empty; give more samples"),
        ({"x_train": IMAGES, "y_train": Y, "x_val": IMAGES, "y_val": np.array(["a"] * 20)}, "y_val is <U1"),
        ({"x": IMAGES / 3, "y": Y, "range": [1, 1]}, "range 1 to 1; allowed: two different"),
        ({"x": IMAGES / 3, "y": Y, "range": [1, 2, 3]}, r"range: int64\(3,\); allowed: two numbers"),
        ({"x": np.tile([[-1e300], [1e300]], (10, 1)), "y": Y}, "single-precision numbers"),
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
