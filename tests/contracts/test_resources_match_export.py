"""A lowered path is what exporting, quantising, reading and lowering its model gives: operators, shapes and order."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from tinyformer import quantization
from tinyformer.resources import lower
from tinyformer.search_space import Path, SearchSpace, SupernetConfig, preset, sample_path, sample_supernet
from tinyformer.sparse_engine import frontend, passes
from tinyformer.sparse_engine.ir import Graph, Operator
from tinyformer.supernet import SinglePathModel

_GEOMETRY = ("stride", "padding", "dilation", "groups", "kernel", "transpose_b", "shape", "permutation")


def described(graph: Graph) -> list[tuple[Any, ...]]:
    """Return what selection, coding, cost and planning see of a graph."""
    order = {graph.input: "input"} | {node.output: f"node {i}" for i, node in enumerate(graph.nodes)}

    def tensor(name: str) -> tuple[Any, ...]:
        found = graph.tensors[name]
        return ("constant" if found.constant else order[name], found.shape, found.dtype.value)

    def geometry(op: Operator) -> dict[str, Any]:
        values = {field.name: getattr(op, field.name) for field in fields(op)}  # type: ignore[arg-type]
        inner = {name: geometry(value) for name, value in values.items() if isinstance(value, Operator)}
        return {name: value for name, value in values.items() if name in _GEOMETRY} | inner

    return [
        (node.op.kind, geometry(node.op), [tensor(name) for name in node.inputs], tensor(node.output))
        for node in graph.nodes
    ]


def compiled(config: SupernetConfig, path: Path, folder: FilePath) -> Graph:
    """Export, quantise, read and lower a path's model with random weights."""
    model = SinglePathModel(config, path, torch.Generator().manual_seed(0)).eval()
    height, width, channels = config.input_shape
    calibration = np.random.default_rng(0).normal(size=(2, channels, height, width)).astype(np.float32)
    settings = quantization.QuantizationSettings(
        quantization.CalibrationSettings(method="min_max", samples=2),
        quantization.InputQuantization.of_bytes(128, 60.0),
    )
    file = folder / "model.onnx"
    onnx.save_model(quantization.quantize_model(quantization.to_onnx(model), calibration, settings), file)
    return passes.run(frontend.load(file), passes.PIPELINE)


def assert_equal(config: SupernetConfig, path: Path, folder: FilePath) -> None:
    expected = compiled(config, path, folder)
    predicted = lower(config, path)
    assert described(predicted) == described(expected)
    assert predicted.tensors[predicted.input].shape == expected.tensors[expected.input].shape


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.slow
@pytest.mark.parametrize("index", range(3))
def test_every_candidate(index: int, tmp_path: FilePath) -> None:
    """Three paths invoke every candidate of every choice block."""
    space = preset("digits")
    config = sample_supernet(space, np.random.default_rng(index))
    path = Path(tuple((index + i) % len(block.candidates) for i, block in enumerate(config.blocks())))
    assert_equal(config, path, tmp_path)


def _spaces() -> list[tuple[SearchSpace, int]]:
    shapes = [(9, 7, 3), (12, 1, 1), (1, 50, 1), (1, 33, 6), (49, 10, 1)]
    spaces = [preset("digits"), preset("small"), *(preset("digits", shape, 4) for shape in shapes)]
    return [(space, seed) for space in spaces for seed in range(3)]


@pytest.mark.full
@pytest.mark.parametrize(("space", "seed"), _spaces(), ids=lambda value: getattr(value, "name", str(value)))
def test_sampled_paths(space: SearchSpace, seed: int, tmp_path: FilePath) -> None:
    rng = np.random.default_rng(seed)
    config = sample_supernet(space, rng)
    assert_equal(config, sample_path(config, rng), tmp_path)
