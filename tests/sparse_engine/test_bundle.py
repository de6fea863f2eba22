"""The manifest, layouts of the borders, writing all or nothing, graph files."""

import json
import shutil

import numpy as np
import pytest

from engine_models import convolutional_net, random_inputs, zoo
from tinyformer.errors import ConfigError, DataError, UnsupportedModelError
from tinyformer.sparse_engine import graph_file, reference
from tinyformer.sparse_engine.bundle import Border, Manifest, describe, staged
from tinyformer.sparse_engine.ir import DType, Graph, QuantParams, Tensor


def test_manifest_round_trip(convolutional_bundle, tmp_path):
    manifest = convolutional_bundle.manifest
    assert Manifest.load(convolutional_bundle.directory) == manifest
    manifest.save(tmp_path)
    saved = (tmp_path / "manifest.json").read_text()
    assert saved == (convolutional_bundle.directory / "manifest.json").read_text()
    assert json.loads(saved)["board"]["isa"]["core"] == "cortex-m7"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda text: "", "manifest.json"),
        (lambda text: text[:100], "manifest.json"),
        (lambda text: text.replace('"format_version": 1', '"format_version": 2'), "format_version"),
        (lambda text: text.replace('"nbytes": 192', '"nbytes": "many"'), "input.nbytes"),
        (lambda text: text.replace('"labels"', '"lables"'), "labels"),
    ],
)
def test_damaged_manifest(damage, words, convolutional_bundle, tmp_path):
    text = (convolutional_bundle.directory / "manifest.json").read_text()
    (tmp_path / "manifest.json").write_text(damage(text))
    with pytest.raises(DataError, match=words) as error:
        Manifest.load(tmp_path)
    assert "\n" not in str(error.value)


def test_no_manifest(tmp_path):
    with pytest.raises(DataError, match="not a bundle"):
        Manifest.load(tmp_path)


def border(shape=(4, 5, 3), file_shape=(3, 4, 5), axis_order=(1, 2, 0), scale=0.5, zero_point=-3):
    return Border(
        name="x",
        shape=shape,
        file_shape=file_shape,
        axis_order=axis_order,
        dtype="int8",
        scale=scale,
        zero_point=zero_point,
        nbytes=60,
    )


def test_channels_first_arrays_are_transposed():
    batch = np.arange(120, dtype=np.int8).reshape(2, 3, 4, 5)
    taken = border().from_file_layout(batch)
    np.testing.assert_array_equal(taken, batch.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(border().to_file_layout(taken), batch)


def test_reshaped_borders():
    flat = border(shape=(60,), file_shape=(3, 4, 5))
    batch = np.arange(120, dtype=np.int8).reshape(2, 3, 4, 5)
    taken = flat.from_file_layout(batch)
    np.testing.assert_array_equal(taken, batch.transpose(0, 2, 3, 1).reshape(2, 60))
    np.testing.assert_array_equal(flat.to_file_layout(taken), batch)


def test_real_values_are_rounded_half_to_even_and_saturate():
    values = np.array([[0.25, 0.75, -0.25, 1.25, 1000, -1000, np.nan, np.inf, 0.3, -0.26]], np.float64)
    expected = [-3, -1, -3, -1, 127, -128, -128, 127, -2, -4]
    assert border().quantize(values).tolist() == [expected]


def test_bytes_of_a_camera():
    assert border().quantize(np.array([0, 128, 255], np.uint8)).tolist() == [-128, 0, 127]


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (np.zeros((2, 4, 5, 3), np.int8), r"expected \(N, 3, 4, 5\)"),
        (np.zeros((3, 4, 5), np.int8), r"expected \(N, 3, 4, 5\)"),
        (np.zeros((1, 3, 4, 5), np.int32), "int32 is not accepted"),
    ],
)
def test_wrong_inputs(batch, words):
    with pytest.raises(DataError, match=words):
        border().from_file_layout(batch)


def test_border_of_a_channels_last_tensor_names_the_files_shape():
    tensor = Tensor("x", (4, 5, 3), quant=QuantParams((0.1,), 2), axis_order=(1, 2, 0))
    graph = Graph("g", {"x": tensor}, (), "x", "x")
    assert describe.border(graph, "x").file_shape == (3, 4, 5)


@pytest.mark.parametrize(
    "tensor", [Tensor("x", (3,), DType.INT16, QuantParams((0.1,))), Tensor("x", (3,)), Tensor("x", (1,), quant=None)]
)
def test_borders_must_be_int8_with_one_scale(tensor):
    with pytest.raises(UnsupportedModelError, match="int8 with one scale"):
        describe.border(Graph("g", {"x": tensor}, (), "x", "x"), "x")


def test_staged_directory_vanishes_on_failure(tmp_path):
    target = tmp_path / "sub" / "bundle"

    def write():
        with staged(target) as directory:
            (directory / "half").write_text("written")
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        write()
    assert list((tmp_path / "sub").iterdir()) == []


def test_failure_keeps_the_earlier_bundle(tmp_path, convolutional_bundle):
    target = tmp_path / "bundle"
    shutil.copytree(convolutional_bundle.directory, target)

    def write():
        with staged(target):
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        write()
    assert Manifest.load(target) == convolutional_bundle.manifest
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_full_disk_is_an_error_of_one_line(tmp_path):
    def write():
        with staged(tmp_path / "bundle"):
            raise OSError(28, "No space left on device")

    with pytest.raises(ConfigError, match="No space left on device"):
        write()
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigError), staged(place):
            pass


def test_graph_file_round_trip(tmp_path):
    for graph in (zoo()[0], convolutional_net()):
        graph_file.save(graph, tmp_path / "g.npz")
        loaded = graph_file.load(tmp_path / "g.npz")
        assert loaded.to_text() == graph.to_text()
        assert loaded.tensors == graph.tensors
        inputs = random_inputs(graph, 2)
        np.testing.assert_array_equal(reference.run(loaded, inputs), reference.run(graph, inputs))


def test_graph_files_are_deterministic(tmp_path):
    for name in ("a", "b"):
        graph_file.save(zoo(("conv2d", "add"))[0], tmp_path / f"{name}.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04" + b"\0" * 40])
def test_damaged_graph_file(content, tmp_path):
    (tmp_path / "g.npz").write_bytes(content)
    with pytest.raises(DataError, match="not a graph file"):
        graph_file.load(tmp_path / "g.npz")
    np.savez(tmp_path / "h.npz", graph=np.zeros(3))
    with pytest.raises(DataError, match="not a graph file"):
        graph_file.load(tmp_path / "h.npz")
    with pytest.raises(DataError, match="not a graph file"):
        graph_file.load(tmp_path / "missing.npz")
