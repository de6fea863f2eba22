"""ResourceEval: what a path takes is what the compiler's planner says of the model."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings

from search_space_strategies import Sample, samples
from tinyformer import boards
from tinyformer.errors import ConfigError
from tinyformer.resources import Limits, Resources, evaluate, lower, resource_eval
from tinyformer.search_space import (
    BlockSparsity,
    SparsityConfig,
    layer_sparsities,
    layers,
    preset,
    sample_path,
    sample_sparsity,
    sample_supernet,
)
from tinyformer.sparse_engine import memory, ops
from tinyformer.sparse_engine.ir import Graph, Node
from tinyformer.sparse_engine.layout import Budget, lay_out

BOARD = boards.load("stm32f746g-disco")
SPACE = preset("digits")
RNG = np.random.default_rng(4)
CONFIG = sample_supernet(SPACE, RNG)
PATH = sample_path(CONFIG, RNG)


_MOVEMENT = ("reshape", "transpose")


def _moves(node: Node) -> bool:
    return node.op.kind in _MOVEMENT


def with_weights(graph: Graph, sparsities: dict[str, BlockSparsity], seed: int = 0) -> Graph:
    """Give a lowered graph weights of which exactly the wanted share of blocks is zero."""
    generator = np.random.default_rng(seed)
    data = {}
    for name, tensor in graph.tensors.items():
        if tensor.constant:
            data[name] = generator.integers(1, 100, tensor.shape).astype(tensor.dtype.numpy)
    for node in graph.nodes:
        target = sparsities.get(node.name)
        if target is not None:
            weight = data[node.inputs[1]]
            blocks = -(-weight.shape[-1] // target.block)
            zero = np.zeros(weight[..., 0].size * blocks, bool)
            zero[generator.permutation(zero.size)[: round(target.sparsity * zero.size)]] = True
            mask = np.repeat(zero.reshape(*weight.shape[:-1], blocks), target.block, axis=-1)
            weight[mask[..., : weight.shape[-1]]] = 0
    return replace(graph, data=data)


@given(samples())
@settings(max_examples=40, deadline=None)
def test_a_lowered_path_is_a_valid_graph_of_its_layers(sample: Sample) -> None:
    graph = lower(sample.config, sample.path)
    graph.verify()
    assert not graph.data
    specs = {spec.name: spec for spec in layers(sample.config, sample.path)}
    shapes = {name: spec.output_shape for name, spec in specs.items()}
    for node in graph.nodes:  # what is fused stands under one name
        if isinstance(node.op, ops.Attention):
            del shapes[node.name.replace("context", "scores")], shapes[node.name.replace("context", "attention")]
        elif isinstance(node.op, ops.PooledConv2D):
            shapes[node.name] = shapes.pop(f"{specs[node.name].block}.max_pool")
    nodes = [node for node in graph.nodes if node.name in specs]
    assert {node.name: graph.tensors[node.output].shape for node in nodes} == shapes
    still = [name for name in specs if name in shapes and specs[name].kind not in _MOVEMENT]
    assert [node.name for node in nodes if not _moves(node)] == still
    assert graph.tensors[graph.output].shape == (sample.config.classes,)


def test_the_constants_of_a_lowered_path() -> None:
    graph = lower(CONFIG, PATH)
    for node in graph.nodes:
        constants = [graph.tensors[name] for name in node.inputs if graph.tensors[name].constant]
        if isinstance(node.op, ops.Conv2D | ops.PooledConv2D | ops.DepthwiseConv2D | ops.Linear):
            assert [tensor.dtype.value for tensor in constants] == ["int8", "int32", "int32"]
        elif isinstance(node.op, ops.LayerNorm):
            assert [tensor.dtype.value for tensor in constants] == ["int16", "int32"]
        elif not isinstance(node.op, ops.AvgPool2D):
            assert constants == []


@pytest.mark.parametrize("seed", range(6))
def test_arena_and_ram_are_those_of_the_model_to_the_byte(seed: int) -> None:
    rng = np.random.default_rng(seed)
    space = preset(("digits", "small")[seed % 2])
    config = sample_supernet(space, rng)
    path, sparsity = sample_path(config, rng), sample_sparsity(space, config, rng)
    predicted = evaluate(config, path, sparsity, BOARD)
    pruned = with_weights(lower(config, path), dict(layer_sparsities(config, path, sparsity)))
    layout = lay_out(pruned, BOARD, Budget.of(BOARD), "size")
    memory.verify(pruned, layout.calls, layout.plan)
    assert predicted.arena_bytes == layout.plan.arena_bytes
    assert predicted.ram_bytes == layout.ram_bytes
    weight_bytes = sum(call.encoding.nbytes for call in layout.calls if call.encoding is not None)
    assert abs(predicted.weight_bytes - weight_bytes) <= max(1024, 0.01 * weight_bytes)
    assert abs(predicted.flash_bytes - layout.flash_bytes) <= max(1024, 0.01 * layout.flash_bytes)


def test_sparsity_saves_flash_and_macs() -> None:
    found = [
        evaluate(CONFIG, PATH, SparsityConfig.uniform(CONFIG, sparsity, 4), BOARD) for sparsity in (0.0, 0.5, 0.7, 0.9)
    ]
    flash = [resources.flash_bytes for resources in found]
    work = [resources.effective_macs for resources in found]
    assert flash == sorted(flash, reverse=True)
    assert len(set(flash)) == 4
    assert work == sorted(work, reverse=True)
    assert len(set(work)) == 4
    assert work[0] == found[0].macs
    assert {resources.macs for resources in found} == {sum(spec.macs for spec in layers(CONFIG, PATH))}


def test_a_dense_path_takes_a_byte_for_each_weight_of_filters_in_whole_words() -> None:
    dense = evaluate(CONFIG, PATH, SparsityConfig.uniform(CONFIG, 0.0, 2), BOARD)
    specs = layers(CONFIG, PATH)
    filters = [spec.weight_shape for spec in specs if spec.kind in {"conv2d", "linear"}]
    depthwise = sum(spec.weights for spec in specs if spec.kind == "depthwise_conv2d")
    assert dense.weight_bytes == depthwise + sum(count * -(-prod(shape) // 4) * 4 for count, *shape in filters)
    assert dense.flash_bytes >= dense.weight_bytes
    borders = 64 + 10
    assert dense.ram_bytes >= dense.arena_bytes + borders + BOARD.stack_bytes


def test_a_model_that_does_not_fit_at_once_is_laid_out_smaller() -> None:
    rng = np.random.default_rng(2)
    config = sample_supernet(SPACE, rng)
    # depthwise filters that are so little sparse are smaller in blocks, and faster dense
    job = config, sample_path(config, rng), SparsityConfig.uniform(config, 0.4, 4)
    smallest = evaluate(*job, BOARD, objective="size")
    fast = evaluate(*job, BOARD, objective="speed")
    assert smallest.flash_bytes < fast.flash_bytes
    tight = Limits(smallest.flash_bytes, BOARD.ram.size_bytes)
    assert evaluate(*job, BOARD, limits=tight, objective="speed") == smallest
    too_tight = Limits(smallest.flash_bytes - 1, BOARD.ram.size_bytes)
    assert evaluate(*job, BOARD, limits=too_tight, objective="speed") == fast
    assert evaluate(*job, BOARD, limits=too_tight, objective="size") == smallest
    assert smallest.latency_ms is not None
    assert fast.latency_ms is not None
    assert smallest.latency_ms > fast.latency_ms
    hurried = Limits(BOARD.flash.size_bytes, BOARD.ram.size_bytes, (smallest.latency_ms + fast.latency_ms) / 2)
    assert evaluate(*job, BOARD, limits=hurried, objective="size") == fast
    too_hurried = replace(hurried, latency_ms=0.999 * fast.latency_ms)
    assert evaluate(*job, BOARD, limits=too_hurried, objective="size") == smallest


def test_ram_alone_is_saved_whatever_the_flash() -> None:
    rng = np.random.default_rng(2)
    config = sample_supernet(SPACE, rng)
    job = config, sample_path(config, rng), SparsityConfig.uniform(config, 0.0, 4)
    roomy = evaluate(*job, BOARD)
    small_ram = Limits(BOARD.flash.size_bytes, roomy.ram_bytes - 1)
    saved = evaluate(*job, BOARD, limits=small_ram)
    assert saved.ram_bytes < roomy.ram_bytes
    both = replace(small_ram, flash_bytes=roomy.flash_bytes // 2)
    assert evaluate(*job, BOARD, limits=both).ram_bytes == roomy.ram_bytes  # in vain, and not tried
    assert evaluate(*job, BOARD, limits=both, ram_alone=True) == saved


@pytest.mark.slow
def test_it_is_fast_enough_for_a_search() -> None:
    space, rng = preset("normal"), np.random.default_rng(0)
    jobs = []
    for _ in range(20):
        config = sample_supernet(space, rng)
        jobs.append((config, sample_path(config, rng), sample_sparsity(space, config, rng)))
    evaluate_on_board = resource_eval(BOARD, Limits(BOARD.flash.size_bytes, BOARD.ram.size_bytes))
    best = float("inf")
    for _ in range(2):  # the machine may be busy with other things
        lower.cache_clear()
        started_s = time.process_time()
        for config, path, sparsity in jobs:
            evaluate_on_board(config, path, sparsity)
        best = min(best, time.process_time() - started_s)
    assert len(jobs) / best >= 20  # on a core of its own it is three times as fast


def test_the_limits_that_a_model_breaks() -> None:
    resources = Resources(1000, 500, 300, 800, 10, 10, latency_ms=20.0)
    assert Limits(1000, 500).exceeded(resources) == ()
    assert Limits(999, 500).exceeded(resources) == ("flash",)
    assert Limits(999, 499, 19.9).exceeded(resources) == ("flash", "RAM", "latency")
    assert Limits(1000, 500, 20.0).exceeded(resources) == ()
    assert Limits(98304, 49152, 5).to_text() == "96 KB flash and 48 KB RAM within 5 ms"


@pytest.mark.parametrize("wrong", [(0, 1, None), (1, 0, None), (1, 1, 0.0)])
def test_limits_out_of_range(wrong: tuple[int, int, float | None]) -> None:
    with pytest.raises(ConfigError, match="allowed: more than 0"):
        Limits(*wrong)


def test_metrics_are_figures_by_name() -> None:
    resources = Resources(1000, 500, 300, 800, 10, 9)
    assert resources.metrics() == {
        "flash_bytes": 1000,
        "ram_bytes": 500,
        "arena_bytes": 300,
        "weight_bytes": 800,
        "macs": 10,
        "effective_macs": 9,
    }
    assert replace(resources, latency_ms=3.5).metrics()["latency_ms"] == 3.5


def test_it_needs_neither_torch_nor_optuna() -> None:
    code = "import sys, tinyformer.resources; assert not {'torch', 'optuna'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
