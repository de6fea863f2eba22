"""Predicted costs: tables, features, struct sizes, agreement with the emulated core."""

import ctypes
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from engine_models import OPERATOR_CASES, encodings_of, transformer_net, zoo
from tinyformer import boards
from tinyformer.boards import Isa
from tinyformer.errors import ConfigError
from tinyformer.sparse_engine import coding, cost, deployment, kernels, layout, memory, toolchain
from tinyformer.sparse_engine.compiler import analyze_graph, compile_graph
from tinyformer.sparse_engine.cost import features, model
from tinyformer.sparse_engine.cost.features import UNALIGNED
from tinyformer.sparse_engine.passes.fuse_attention import fuse_attention

BOARD = boards.load("stm32f746g-disco")
SYMBOLS = {kernel.symbol for rows in kernels.CATALOGUE.values() for kernel in rows} | {"se_fill_s8"}
ISAS = sorted({boards.load(name).isa for name in boards.names()} | {Isa("cortex-m33", dsp=False, fpu="none")}, key=repr)


@pytest.mark.parametrize("isa", ISAS, ids=lambda isa: isa.core)
def test_every_core_of_a_board_has_a_table(isa):
    table = cost.load(isa)
    assert table is not None
    assert set(table.instructions) >= SYMBOLS
    assert set(table.cycles) >= SYMBOLS
    assert set(table.loads) == {"flash", "tensors", "scratch"}
    assert all(set(fitted) >= SYMBOLS for fitted in (*table.loads.values(), *table.fetched_lines.values()))
    assert set(table.functions) >= SYMBOLS
    assert set(table.node_bytes) >= SYMBOLS
    assert {"command", "toolchain", "emulator", "runtime_sha256", "cycle_rules_sha256"} <= set(table.provenance)


def test_every_memory_system_of_a_board_is_in_its_table():
    for name in boards.names():
        board = boards.load(name)
        assert board.memory_system is None or board.memory_system in cost.load(board.isa).fetched_lines, name


def test_alignment_costs_cycles_and_no_instructions():
    instructions = cost.load(BOARD.isa).instructions
    named = {(s, name): each for s, found in instructions.items() for name, each in found.items() if UNALIGNED in name}
    assert named
    assert not any(named.values())


def test_every_startup_of_a_board_is_in_its_table():
    for name in boards.names():
        board = boards.load(name)
        assert board.startup in cost.load(board.isa).startups, name


def test_every_kernel_has_features():
    assert set(features.FEATURES) == SYMBOLS


def calls_of(graph, objective="size", board=BOARD, encodings=None, **options):
    return kernels.select(graph, coding.prescribe(coding.options(graph), encodings or {}), board, objective, **options)


@pytest.mark.parametrize("isa", ISAS, ids=lambda isa: isa.core)
def test_tables_know_what_features_count(isa):
    """A count that is new or renamed in features.py has no coefficient: fit again."""
    instructions = cost.load(isa).instructions
    graph, outputs = zoo()
    board = replace(BOARD, isa=isa, qemu_machine=None)
    for call in calls_of(graph, board=board, encodings=encodings_of(graph, outputs)):
        for c_call in call.calls:
            counted = {name for name, count in model.counts(c_call, call.encoding).items() if count}
            assert counted <= set(instructions[c_call.symbol]), c_call.symbol


def test_table_round_trip(tmp_path):
    table = cost.load(BOARD.isa)
    table.save(tmp_path / "table.json")
    assert asdict(cost.CostTable.parse((tmp_path / "table.json").read_text())) == asdict(table)


def test_a_table_of_another_version_is_refused(tmp_path):
    cost.load(BOARD.isa).save(tmp_path / "table.json")
    record = json.loads((tmp_path / "table.json").read_text())
    del record["cycles"]
    with pytest.raises(ConfigError, match=r"fit it again \(python benchmarks/fit_cost.py --core cortex-m7\)"):
        cost.CostTable.parse(json.dumps(record))


def test_struct_bytes_are_those_of_the_compiler(tmp_path):
    runtime = Path(toolchain.__file__).parents[1] / "runtime"
    names = sorted(model.STRUCT_BYTES)
    sizes = ", ".join(f"sizeof({name})" for name in names)
    (tmp_path / "sizes.c").write_text(f'#include "se_kernels.h"\nconst int32_t sizes[] = {{{sizes}}};\n')
    toolchain.find("zig").build_host([tmp_path / "sizes.c"], [tmp_path, runtime], tmp_path / "sizes.so")
    found = (ctypes.c_int32 * len(names)).in_dll(ctypes.CDLL(str(tmp_path / "sizes.so")), "sizes")
    assert dict(zip(names, found, strict=True)) == model.STRUCT_BYTES


def test_a_core_without_table(monkeypatch):
    monkeypatch.setattr(model, "load", lambda isa: None)
    cost.predictor.cache_clear()
    with pytest.raises(ConfigError, match="no cost table"):
        cost.predictor(BOARD)
    assert cost.of_image.__wrapped__(BOARD) is None


def test_a_memory_system_that_the_table_does_not_know_is_an_error():
    graph, _ = zoo(("linear",))
    with pytest.raises(ConfigError, match="memory system 'stm32l4r5' adds on a cortex-m7, only for stm32f746"):
        analyze_graph(graph, replace(BOARD, memory_system="stm32l4r5"))


def test_latency_limit_without_a_table(monkeypatch):
    monkeypatch.setattr(cost, "load", lambda isa: None)
    with pytest.raises(ConfigError, match="no cost table for cortex-m7"):
        layout.Budget.of(BOARD, latency_ms=1.0)


def test_what_runs_in_a_loop_counts_at_every_turn():
    table = cost.load(BOARD.isa)
    calls = calls_of(fuse_attention(transformer_net()))
    assert any(c_call.times > 1 for call in calls for c_call in call.calls)
    for call in calls:
        found = cost.node_cost(call, table)
        assert found.instructions == pytest.approx(cost.instructions(call, table))
        assert found.cycles > 0
        assert min((*found.loads.values(), *found.fetched_lines.values())) >= 0


@pytest.mark.slow
@pytest.mark.emulator
def test_predictions_of_every_operator(tmp_path):
    """Small odd shapes are the worst case; whole models come within 5 % (test_compiler)."""
    graph, outputs = zoo()
    big = boards.load("mps2-an500")
    encodings = encodings_of(graph, outputs)
    compile_graph(graph, big, tmp_path / "b", objective="size", encodings=encodings)
    figures = deployment.profile(tmp_path / "b")
    calls = layout.lay_out(graph, big, layout.Budget.of(big), "size", encodings=encodings).calls
    arena_bytes, free = memory.plan(graph, calls).arena_bytes, (0,) * len(calls)  # the board's memory counts so
    predicted = cost.of_image(big).predict(graph, calls, arena_bytes, free)
    errors = {
        call.node.output: said / layer.instructions - 1
        for call, said, layer in zip(calls, predicted.layer_instructions, figures.layers, strict=True)
    }
    worst = {case: errors[tensor] for case, tensor in outputs.items()}
    assert max(map(abs, worst.values())) < 0.25, worst
    assert np.mean(np.abs(list(worst.values()))) < 0.06, worst
    assert abs(predicted.instructions / figures.instructions - 1) < 0.05
    assert abs(predicted.cycles / figures.cycles_estimated - 1) < 0.05
    assert abs(predicted.flash_bytes - figures.flash_bytes) <= max(1024, figures.flash_bytes // 100)
    assert len(worst) == len(OPERATOR_CASES)
