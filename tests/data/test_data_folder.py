import os

import numpy as np
import pytest
from PIL import Image

from tinyformer import data
from tinyformer.data.images import read_image
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


def test_a_class_may_be_called_train(tmp_path):
    dataset = data.load("folder", path=paint(tmp_path, {"train": 5, "bus": 5}))
    assert dataset.classes == ("bus", "train")


def test_other_folders_beside_train_are_refused(tmp_path):
    paint(tmp_path / "train", {"a": 3, "b": 3})
    paint(tmp_path / "valid", {"a": 3, "b": 3})
    assert "valid: no split; allowed beside train: val and test" in fail(tmp_path)


def test_a_name_that_is_no_text_is_refused(tmp_path):
    paint(tmp_path, {"a": 3})
    (tmp_path / os.fsdecode(b"b\xff")).mkdir()
    assert r"class 'b\udcff' is no UTF-8" in fail(tmp_path)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I;16", "I"])
@pytest.mark.parametrize("grayscale", [False, True])
def test_images_of_every_mode_become_bytes(tmp_path, mode, grayscale):
    """A white left and a black right half, in whatever mode and bit depth."""
    pixels = np.zeros((4, 6), np.uint8)
    pixels[:, :3] = 255
    wide = mode.startswith("I")
    image = Image.fromarray(pixels.astype(np.uint16) << 8 if wide else pixels)
    image = image if mode == "I;16" else image.convert(mode)
    suffix = "tiff" if mode in {"CMYK", "YCbCr", "I"} else "png"
    if mode == "HSV":
        image = image.convert("RGB")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(3):
            image.convert("RGBA" if mode == "PA" else image.mode).save(tmp_path / name / f"{i}.{suffix}")
    dataset = data.load("folder", path=tmp_path, grayscale=grayscale)
    assert dataset.input_shape == (4, 6, 1 if grayscale else 3)
    assert dataset.x_test[0, :, :3].min() >= 250
    assert dataset.x_test[0, :, 3:].max() <= 5


def test_of_sixteen_bits_the_upper_eight_count(tmp_path):
    for name, value in (("a", 0x1234), ("b", 0xABCD)):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.fromarray(np.full((2, 2), value, np.uint16)).save(tmp_path / name / f"{i}.png")
    dataset = data.load("folder", path=tmp_path)
    assert set(dataset.x_train.reshape(-1).tolist()) == {0x12, 0xAB}


def test_floating_point_images_are_refused(tmp_path):
    root = paint(tmp_path, {"a": 3, "b": 3})
    Image.fromarray(np.full((4, 6), 0.5, np.float32)).save(root / "b" / "odd.tiff")
    assert "odd.tiff cannot be read: values of type F that are no bytes" in fail(root)


def test_images_are_turned_upright(tmp_path):
    root = paint(tmp_path, {"a": 3, "b": 3}, size=(4, 6), suffix=".jpg")
    image = Image.new("RGB", (6, 4))
    image.paste((255, 255, 255), (0, 0, 3, 4))  # the left half, which is the top half when turned
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(root / "b" / "0.jpg", exif=exif, quality=100)
    read = read_image(root / "b" / "0.jpg", None, grayscale=True)
    assert read.shape == (6, 4, 1)
    assert read[:3].min() > 200
    assert read[3:].max() < 50


@pytest.mark.parametrize(
    "content", [b"", b"text", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"\xff\xd8\xff\xe1\x00\x08Exif"]
)
def test_broken_images_are_named(tmp_path, content):
    root = paint(tmp_path, {"a": 3, "b": 3})
    (root / "b" / "broken.png").write_bytes(content)
    assert "broken.png cannot be read" in fail(root)


def test_links_to_nothing_and_folders_named_as_images_are_named(tmp_path):
    root = paint(tmp_path, {"a": 3, "b": 3})
    (root / "b" / "gone.png").symlink_to(tmp_path / "nowhere")
    assert "gone.png cannot be read" in fail(root)
    (root / "b" / "gone.png").unlink()
    (root / "a" / "album.png").mkdir()
    assert "album.png cannot be read" in fail(root)


def test_a_path_may_begin_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    paint(tmp_path / "photos", {"a": 5, "b": 5})
    assert data.load("folder", path="~/photos").classes == ("a", "b")


def test_a_path_is_needed():
    with pytest.raises(ConfigError, match="no path"):
        data.load("folder")
