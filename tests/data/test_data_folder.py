import numpy as np
import pytest
from PIL import Image

from tinyformer import data
from tinyformer.errors import ConfigError, DataError


def paint(root, counts, size=(6, 4), suffix=".png"):
    for index, (folder, count) in enumerate(counts.items()):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            Image.new("RGB", size, (index * 100, i, 7)).save(root / folder / f"{i}{suffix}")
    return root


def test_class_folders_become_classes(tmp_path):
    dataset = data.load("folder", path=paint(tmp_path, {"dog": 10, "cat": 10}))
    assert dataset.classes == ("cat", "dog")
    assert dataset.input_shape == (4, 6, 3)
    assert (len(dataset.x_train), len(dataset.x_val), len(dataset.x_test)) == (14, 2, 4)
    assert all(
        image[0, 0, 0] == (0, 100)[1 - label] for image, label in zip(dataset.x_test, dataset.y_test, strict=True)
    )


def test_given_splits_are_kept(tmp_path):
    for split, count in (("train", 5), ("val", 3), ("test", 2)):
        paint(tmp_path / split, {"a": count, "b": count})
    dataset = data.load("folder", path=tmp_path)
    assert (len(dataset.x_train), len(dataset.x_val), len(dataset.x_test)) == (10, 6, 4)


def test_images_are_resized_and_turned_grey(tmp_path):
    root = paint(tmp_path, {"a": 3}, size=(6, 4), suffix=".jpg")
    paint(root, {"b": 3}, size=(9, 9), suffix=".bmp")
    dataset = data.load("folder", path=root, size=(8, 5), grayscale=True)
    assert dataset.input_shape == (8, 5, 1)


def test_other_and_hidden_files_are_left_out(tmp_path):
    root = paint(tmp_path, {"a": 4, "b": 4})
    (root / "a" / "notes.txt").write_text("odd")
    (root / "a" / ".hidden.png").write_text("odd")
    (root / ".git").mkdir()
    dataset = data.load("folder", path=root)
    assert sum(map(len, (dataset.x_train, dataset.x_val, dataset.x_test))) == 8


def fail(root, **options):
    with pytest.raises(DataError) as caught:
        data.load("folder", path=root, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_wrong_folders_are_refused(tmp_path):
    assert "no such directory" in fail(tmp_path / "none")
    assert "0 class folders; allowed: two or more" in fail(tmp_path)
    paint(tmp_path, {"a": 2})
    assert "1 class folders" in fail(tmp_path)
    (tmp_path / "b").mkdir()
    assert f"folder {tmp_path / 'b'}: no images" in fail(tmp_path)
    paint(tmp_path, {"b": 1}, size=(3, 3))
    assert "is 3 x 3, others are 4 x 6; give the size" in fail(tmp_path)
    (tmp_path / "b" / "0.png").write_bytes(b"odd")
    assert "0.png cannot be read" in fail(tmp_path)


def test_a_truncated_image_is_named(tmp_path):
    root = paint(tmp_path, {"a": 2, "b": 2}, size=(64, 64))
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(root / "b" / "1.png")
    whole = (root / "b" / "1.png").read_bytes()
    (root / "b" / "1.png").write_bytes(whole[: len(whole) // 2])
    assert "1.png cannot be read" in fail(root)


def test_wrong_splits_are_refused(tmp_path):
    paint(tmp_path / "train", {"a": 3, "b": 3})
    paint(tmp_path / "test", {"c": 3})
    assert "no such class in train; allowed: a, b" in fail(tmp_path)
    (tmp_path / "val").mkdir()
    assert "val: no images" in fail(tmp_path)


def test_a_path_is_needed():
    with pytest.raises(ConfigError, match="no path"):
        data.load("folder")
