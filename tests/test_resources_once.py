"""ResourceEval evaluates what returns once, and says the same as if it evaluated everything anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from inspect import unwrap
from typing import Any

import numpy as np
import pytest

from tinyformer import boards
from tinyformer.resources import Limits, Resources, evaluate, evaluation, lower, lowering
from tinyformer.search_space import (
    BlockSparsity,
    Path,
    SparsityConfig,
    SupernetConfig,
    layer_sparsities,
    layers,
    preset,
    sample_path,
    sample_sparsity,
    sample_supernet,
)
from tinyformer.sparse_engine import arrangement, cost, layout, memory, ops
from tinyformer.sparse_engine.coding import BlockDensity, choice, stored_blocks
from tinyformer.sparse_engine.cost import model as cost_model
from tinyformer.sparse_engine.ir import Graph, Node, Tensor
from tinyformer.sparse_engine.kernels import KernelCall, row_blocks, selection
from tinyformer.sparse_engine.kernels.alike import Ways, once_for_layers_alike
from tinyformer.sparse_engine.passes.fuse_attention import fuse_attention
from tinyformer.sparse_engine.passes.fuse_pooling import fuse_pooling
from tinyformer.sparse_engine.passes.place_movement import place_movement

DISCO = boards.load("stm32f746g-disco")
SLOW_ARENA = replace(DISCO, stack_bytes=0x1_0000)  # the tightly coupled 64 KB are the stack's
Candidate = tuple[SupernetConfig, Path, SparsityConfig]


def candidates(name: str, count: int, seed: int = 5) -> list[Candidate]:
    """Paths and sparsities of two supernets of a preset."""
    space, rng = preset(name), np.random.default_rng(seed)
    configs = [sample_supernet(space, rng) for _ in range(2)]
    return [
        (config, sample_path(config, rng), sample_sparsity(space, config, rng)) for config in configs * (count // 2)
    ]


@pytest.fixture
def anew(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Make everything that is kept be found again, for the rest of a test."""

    def arrange(graph: Graph, calls: Sequence[KernelCall]) -> tuple[tuple[KernelCall, ...], memory.MemoryPlan]:
        found = arrangement._arrangement(graph, calls)
        return found.of(calls), found.plan

    def calls(*layer: Any) -> Ways:
        return once_for_layers_alike(selection._find_calls)(*layer)

    def forget() -> None:
        monkeypatch.setattr(selection, "_calls", calls)
        monkeypatch.setattr(selection, "_chosen", selection._chosen.__wrapped__)
        monkeypatch.setattr(selection, "_ranks", selection._ranks.__wrapped__)
        monkeypatch.setattr(selection, "_instead", selection._instead.__wrapped__)
        monkeypatch.setattr(selection, "_filled", unwrap(selection._filled))
        monkeypatch.setattr(choice, "_expected_options", choice._expected_options.__wrapped__)
        monkeypatch.setattr(cost, "of_image", cost.of_image.__wrapped__)
        monkeypatch.setattr(cost, "predictor", cost.predictor.__wrapped__)
        monkeypatch.setattr(cost_model, "_counts", cost_model._counts.__wrapped__)
        monkeypatch.setattr(cost_model, "_call_cost", cost_model._call_cost.__wrapped__)
        monkeypatch.setattr(stored_blocks, "expected_count", stored_blocks.expected_count.__wrapped__)
        monkeypatch.setattr(layout, "arrange", arrange)
        monkeypatch.setattr(evaluation, "lower", plainly_lowered)

    return forget


def plainly_lowered(config: SupernetConfig, path: Path) -> Graph:
    """Lower a path as one graph, not block by block."""
    nodes, tensors = lowering._image(config)
    image = next(reversed(tensors))
    for spec in layers(config, path):
        op = lowering._OPERATORS[spec.kind](spec)
        constants = lowering._constants(spec, op)
        inputs = (image if name == "input" else name for name in spec.inputs)
        tensors |= {tensor.name: tensor for tensor in constants}
        tensors[spec.name] = Tensor(spec.name, spec.output_shape)
        nodes.append(Node(spec.name, op, (*inputs, *(tensor.name for tensor in constants)), spec.name))
    whole = Graph("path", tensors, tuple(nodes), "input", nodes[-1].output)
    return fuse_attention(fuse_pooling(place_movement(whole)))


@pytest.mark.parametrize("name", ["digits", "small", "normal", "large"])
def test_blocks_are_lowered_as_the_whole_is(name: str) -> None:
    for config, path, _ in candidates(name, 8):
        graph, whole = lower(config, path), plainly_lowered(config, path)
        assert (graph.nodes, dict(graph.tensors)) == (whole.nodes, dict(whole.tensors))
        assert (graph.input, graph.output) == (whole.input, whole.output)


def everywhere(jobs: list[Candidate]) -> list[Resources]:
    found = []
    for index, job in enumerate(jobs):
        board = (DISCO, boards.load("rpi-pico"), SLOW_ARENA)[index % 3]
        limits = Limits(300 * 1024, 90 * 1024) if index % 4 == 0 else None
        found.append(evaluate(*job, board, limits=limits, objective="balanced" if index % 4 == 1 else "size"))
    return found


def test_what_memory_adds_follows_the_places() -> None:
    """What a call takes in the core is kept; the same call on memory that stalls takes longer."""
    candidate, _ = candidates("normal", 2)
    near, far, again = (evaluate(*candidate, board).latency_ms for board in (DISCO, SLOW_ARENA, DISCO))
    free = evaluate(*candidate, replace(DISCO, memory_system=None)).latency_ms
    assert near is not None
    assert far is not None
    assert free is not None
    assert free < near == again < far


@pytest.mark.parametrize("name", ["digits", "normal"])
def test_results_are_those_of_evaluating_anew(name: str, anew: Callable[[], None]) -> None:
    drawn = candidates(name, 16)
    others = zip(drawn, drawn[2:], strict=False)  # of the same supernet
    jobs = [*drawn, *((config, path, sparsity) for (config, path, _), (_, _, sparsity) in others)]
    first, again = everywhere(jobs), everywhere(jobs)
    anew()
    assert first == again == everywhere(jobs)


def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count plans, and kernels found for a layer; layers are forgotten first."""
    counts: Counter[str] = Counter()

    def counting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            counts[name] += 1
            return function(*arguments, **options)

        return wrapped

    find = once_for_layers_alike(counting("layers", selection._find_calls))
    monkeypatch.setattr(selection, "_calls", find)
    monkeypatch.setattr(memory, "plan", counting("plans", memory.plan))
    monkeypatch.setitem(row_blocks.BUILDERS, ops.Attention, counting("attention", row_blocks.attention))  # type: ignore[arg-type]
    monkeypatch.setattr(arrangement, "_KNOWN", {})
    return counts


def uniform(config: SupernetConfig, sparsity: float) -> SparsityConfig:
    return SparsityConfig(tuple(BlockSparsity(sparsity, 4) for _ in config.blocks()))


def test_models_that_differ_in_sparsity_alone_are_planned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ((config, path, _), _) = candidates("normal", 2)
    counts = counted(monkeypatch)
    evaluated = [evaluate(config, path, uniform(config, 0.7), DISCO, objective="speed")]
    plans, layers_found = counts["plans"], counts["layers"]
    assert plans >= 1
    evaluated.append(evaluate(config, path, uniform(config, 0.8), DISCO, objective="speed"))  # same encodings
    assert counts["plans"] == plans
    assert layers_found < counts["layers"] < 2 * layers_found  # those without weights were known
    layers_found = counts["layers"]
    evaluated.append(evaluate(config, path, uniform(config, 0.7), DISCO, objective="speed"))
    assert (counts["plans"], counts["layers"]) == (plans, layers_found)
    assert evaluated[0] == evaluated[2] != evaluated[1]
    assert evaluated[0].arena_bytes == evaluated[1].arena_bytes


def test_encoders_that_repeat_are_evaluated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ((config, path, _), _) = candidates("normal", 2)
    attentions = [node for node in lower(config, path).nodes if isinstance(node.op, ops.Attention)]
    assert len(attentions) >= 4  # two or three in each of two transformer blocks
    counts = counted(monkeypatch)
    evaluate(config, path, uniform(config, 0.7), DISCO)
    assert counts["attention"] == 2  # one for each block's number of tokens and their size


def test_an_arrangement_is_right_for_every_model_that_gets_it() -> None:
    ((config, path, _), _) = candidates("normal", 2)
    graph = lower(config, path)
    for board in (DISCO, boards.load("rpi-pico")):  # strips of eight outputs, and of four
        for block in (0, 2, 4):
            sparse = layer_sparsities(config, path, uniform(config, 0.8))
            densities = {name: BlockDensity(each.sparsity, block) for name, each in sparse.items()} if block else {}
            found = layout.lay_out(graph, board, layout.Budget.of(board), "size", densities=densities)
            memory.verify(graph, found.calls, found.plan)
