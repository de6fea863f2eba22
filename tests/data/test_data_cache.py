import hashlib
from io import BytesIO
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest

from tinyformer.data import cache
from tinyformer.data.cache import Origin, UnavailableError
from tinyformer.errors import DataError

ARRAYS = {"x": np.arange(12, dtype=np.uint8).reshape(3, 4), "y": np.array([1, 2, 3], np.uint8)}
DIGESTS = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in ARRAYS.items()}


def nothing(reason):
    def fail(_):
        raise UnavailableError(reason)

    return Origin(f"origin of {reason}", fail)


def good(calls=None):
    def give(work):
        if calls is not None:
            calls.append(work)
        return ARRAYS

    return Origin("good origin", give)


def obtain(directory, *origins):
    return cache.obtain("toy", directory, DIGESTS, origins, "Do this.")


def test_the_first_origin_with_the_right_digests_fills_the_cache(tmp_path):
    wrong = Origin("wrong", lambda _: {**ARRAYS, "y": np.zeros(3, np.uint8)})
    arrays = obtain(tmp_path / "toy", nothing("snow"), wrong, good())
    assert all(np.array_equal(arrays[name], ARRAYS[name]) for name in ARRAYS)
    assert sorted(path.name for path in (tmp_path / "toy").iterdir()) == ["x.npy", "y.npy"]


def test_a_full_cache_asks_no_origin(tmp_path):
    calls = []
    obtain(tmp_path, good(calls))
    obtain(tmp_path, good(calls))
    assert len(calls) == 1
    assert not calls[0].exists()


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"not an array"])
def test_a_damaged_cache_is_replaced(tmp_path, damage):
    obtain(tmp_path, good())
    (tmp_path / "x.npy").write_bytes(damage)
    assert np.array_equal(obtain(tmp_path, good())["x"], ARRAYS["x"])


def test_changed_data_in_the_cache_is_replaced(tmp_path):
    obtain(tmp_path, good())
    np.save(tmp_path / "x.npy", np.zeros((3, 4), np.uint8))
    with pytest.raises(DataError, match=r"x does not have the SHA-256"):
        obtain(tmp_path, nothing("rain"))
    assert np.array_equal(obtain(tmp_path, good())["x"], ARRAYS["x"])


def test_objects_in_the_cache_are_not_unpickled(tmp_path):
    np.save(tmp_path / "x.npy", np.array([object()]), allow_pickle=True)
    with pytest.raises(DataError, match="allow_pickle"):
        obtain(tmp_path, nothing("rain"))


def test_all_failures_are_named_in_one_line(tmp_path):
    broken = Origin("broken", lambda _: (_ for _ in ()).throw(OSError("line one\nline two")))
    with pytest.raises(DataError) as caught:
        obtain(tmp_path, nothing("rain"), broken)
    message = str(caught.value)
    assert "\n" not in message
    for part in (
        "toy is not available",
        str(tmp_path),
        "origin of rain (rain)",
        "broken (line one line two)",
        "Do this.",
    ):
        assert part in message


def test_a_cache_that_cannot_be_written_is_named(tmp_path):
    blocker = tmp_path / "file"
    blocker.touch()
    with pytest.raises(DataError, match="cannot write the cache"):
        obtain(blocker / "toy", good())


def test_the_cache_is_under_xdg(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.root() == tmp_path / "tinyformer"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.root() == Path.home() / ".cache" / "tinyformer"
    assert cache.root(Path("elsewhere")) == Path("elsewhere")


class Response(BytesIO):
    def __init__(self, data, length):
        super().__init__(data)
        self.headers = {} if length is None else {"Content-Length": str(length)}


def test_a_download_reports_its_progress(monkeypatch, tmp_path):
    monkeypatch.setattr(cache, "urlopen", lambda *_, **__: Response(b"abc", 3))
    seen = []
    path = cache.download("https://example.org/f", tmp_path / "f", lambda *args: seen.append(args))
    assert path.read_bytes() == b"abc"
    assert seen == [("https://example.org/f", 3, 3)]


def test_a_short_download_fails(monkeypatch, tmp_path):
    monkeypatch.setattr(cache, "urlopen", lambda *_, **__: Response(b"abc", 4))
    with pytest.raises(OSError, match="3 of 4 bytes"):
        cache.download("https://example.org/f", tmp_path / "f")


def test_no_network_is_an_os_error(monkeypatch, tmp_path):
    def offline(*_, **__):
        raise URLError("no route")

    monkeypatch.setattr(cache, "urlopen", offline)
    with pytest.raises(OSError, match="no route"):
        cache.download("https://example.org/f", tmp_path / "f")
