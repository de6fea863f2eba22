import gzip
import io
import subprocess
import tarfile
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest

from tinyformer import data
from tinyformer.data import cache, fashion_mnist
from tinyformer.errors import DataError


@pytest.fixture
def files(monkeypatch):
    """The four compressed IDX files of a small Fashion-MNIST, with its digests in place of the real ones."""
    generator = np.random.default_rng(6)
    arrays = {
        "x_train": generator.integers(0, 256, (40, 28, 28, 1), np.uint8),
        "y_train": np.tile(np.arange(10, dtype=np.uint8), 4),
        "x_test": generator.integers(0, 256, (10, 28, 28, 1), np.uint8),
        "y_test": np.arange(10, dtype=np.uint8),
    }
    monkeypatch.setattr(fashion_mnist, "DIGESTS", {name: cache.digest(array) for name, array in arrays.items()})
    return {fashion_mnist.FILES[name]: idx(array) for name, array in arrays.items()}


@pytest.fixture
def offline(monkeypatch):
    def no_network(*_, **__):
        raise URLError("no route to host")

    monkeypatch.setattr(cache, "urlopen", no_network)
    monkeypatch.setattr(fashion_mnist.shutil, "which", lambda _: None)
    monkeypatch.setattr(fashion_mnist, "DEBIAN_DIRECTORY", Path("/nowhere"))


def idx(array):
    squeezed = array[..., 0] if array.ndim == 4 else array
    header = bytes([0, 0, 8, squeezed.ndim]) + np.array(squeezed.shape, ">u4").tobytes()
    return gzip.compress(header + squeezed.tobytes(), mtime=0)


def write(directory, files):
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (directory / name).write_bytes(content)
    return directory


def debian_package(path, files):
    payload = io.BytesIO()
    with tarfile.open(fileobj=payload, mode="w:xz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"./usr/share/datasets/fashion-mnist/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    package = b"!<arch>\n"
    for name, content in (("debian-binary", b"2.0\n"), ("control.tar.xz", b"odd"), ("data.tar.xz", payload.getvalue())):
        package += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
        package += content + b"\n" * (len(content) % 2)
    path.write_bytes(package)
    return path


def test_idx_files_beside_the_cache_are_read(files, offline, tmp_path):
    write(tmp_path / "fashion_mnist", files)
    dataset = data.load("fashion_mnist", cache_dir=tmp_path)
    assert data.kind("fashion_mnist") == (dataset.input_shape, len(dataset.classes))
    assert dataset.x_train.shape == (30, 28, 28, 1)
    assert dataset.x_test.shape == (10, 28, 28, 1)
    assert dataset.classes[9] == "Ankle boot"


def test_the_installed_package_is_read(files, offline, monkeypatch, tmp_path):
    monkeypatch.setattr(fashion_mnist, "DEBIAN_DIRECTORY", write(tmp_path / "debian", files))
    assert data.fetch("fashion_mnist", cache_dir=tmp_path / "cache") == tmp_path / "cache" / "fashion_mnist"


def test_the_package_is_downloaded_and_unpacked(files, offline, monkeypatch, tmp_path):
    def download(command, cwd, **_):
        assert command == ["/bin/apt-get", "download", "-q", "dataset-fashion-mnist"]
        debian_package(cwd / "dataset-fashion-mnist_0_all.deb", files)

    monkeypatch.setattr(fashion_mnist.shutil, "which", lambda _: "/bin/apt-get")
    monkeypatch.setattr(fashion_mnist.subprocess, "run", download)
    assert len(data.load("fashion_mnist", cache_dir=tmp_path).x_test) == 10


def test_the_repository_is_the_last_resort(files, offline, monkeypatch, tmp_path):
    def serve(request, timeout):
        response = io.BytesIO(files[request.full_url.rpartition("/")[2]])
        response.headers = {}
        return response

    monkeypatch.setattr(cache, "urlopen", serve)
    assert len(data.load("fashion_mnist", cache_dir=tmp_path).x_test) == 10


def failure(tmp_path, **options):
    with pytest.raises(DataError) as caught:
        data.load("fashion_mnist", cache_dir=tmp_path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_without_a_network_the_error_names_all_sources_and_the_way_out(offline, tmp_path):
    message = failure(tmp_path)
    for part in ("IDX files in", "/nowhere", "apt-get is not installed", "no route to host", "or install dataset-"):
        assert part in message


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (subprocess.CalledProcessError(100, "apt-get", stderr="E: Unable to locate"), "E: Unable to locate"),
        (subprocess.TimeoutExpired("apt-get", 300), "took more than 300 s"),
        (None, "apt-get downloaded nothing"),
    ],
)
def test_apt_failures_are_told(offline, monkeypatch, tmp_path, error, expected):
    def fail(*_, **__):
        if error is not None:
            raise error

    monkeypatch.setattr(fashion_mnist.shutil, "which", lambda _: "/bin/apt-get")
    monkeypatch.setattr(fashion_mnist.subprocess, "run", fail)
    assert expected in failure(tmp_path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"odd", "is damaged"),
        (gzip.compress(b"\0\0", mtime=0), "is damaged"),
        (gzip.compress(b"\0\0\x08\x03" + b"\0" * 9, mtime=0), "is damaged"),
        (gzip.compress(b"\0\0\x0d\x01\0\0\0\x04abcd", mtime=0), "does not hold bytes"),
    ],
)
def test_damaged_files_are_refused(files, tmp_path, content, expected):
    files["train-images-idx3-ubyte.gz"] = content
    assert expected in failure(tmp_path, path=write(tmp_path / "own", files))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"odd", "not a Debian package"),
        (b"!<arch>\n", "has no data.tar"),
        (b"!<arch>\n" + b"x" * 60, "has no data.tar"),
    ],
)
def test_broken_packages_are_refused(offline, monkeypatch, tmp_path, content, expected):
    def download(_, cwd, **__):
        (cwd / "dataset-fashion-mnist_0_all.deb").write_bytes(content)

    monkeypatch.setattr(fashion_mnist.shutil, "which", lambda _: "/bin/apt-get")
    monkeypatch.setattr(fashion_mnist.subprocess, "run", download)
    assert expected in failure(tmp_path)
