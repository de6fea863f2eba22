"""Arrays that trials leave behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tinyformer.errors import DataError
from tinyformer.study import find_arrays, load_arrays, save_arrays

ARRAYS = {
    "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a.transposed": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "steps": np.array(7, dtype=np.int64),
}


def test_arrays_and_description_come_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "w.safetensors"
    save_arrays(path, ARRAYS, {"index": 3, "dots": (1, 2)})
    arrays, description = load_arrays(path)
    assert description == {"index": 3, "dots": [1, 2]}
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_arrays_are_found_by_description(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    assert find_arrays(path, {"index": 3}) is None
    save_arrays(path, ARRAYS, {"index": (3, 4)})
    assert find_arrays(path, {"index": (3, 5)}) is None
    found = find_arrays(path, {"index": (3, 4)})
    assert found is not None
    np.testing.assert_array_equal(found["steps"], 7)


def test_a_file_that_is_not_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"abc")
    for broken in (path, tmp_path / "missing"):
        with pytest.raises(DataError, match="remove it and resume"):
            load_arrays(broken)
