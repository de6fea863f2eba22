"""Predicted costs: tables, features, struct sizes, agreement with the emulated core."""

import ctypes
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine_models import OPERATOR_CASES, encodings_of, zoo
from tinyformer import boards
from tinyformer.boards import Isa
from tinyformer.errors import ConfigError
from tinyformer.sparse_engine import coding, cost, deployment, kernels, layout, memory, toolchain
from tinyformer.sparse_engine.compiler import compile_graph
from tinyformer.sparse_engine.cost import features, model

BOARD = boards.load("stm32f746g-disco")
SYMBOLS = {kernel.symbol for rows in kernels.CATALOGUE.values() for kernel in rows} | {"se_fill_s8"}
ISAS = sorted({boards.load(name).isa for name in boards.names()}, key=repr)


@pytest.mark.parametrize("isa", ISAS, ids=lambda isa: isa.core)
def test_every_core_of_a_board_has_a_table(isa):
    table = cost.load(isa)
    assert table is not None
    assert set(table.instructions) >= SYMBOLS
    assert set(table.functions) >= SYMBOLS
    assert set(table.node_bytes) >= SYMBOLS
    assert {"command", "toolchain", "emulator", "runtime_sha256"} <= set(table.provenance)


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
    assert cost.CostTable.parse((tmp_path / "table.json").read_text()) == table


def test_struct_bytes_are_those_of_the_compiler(tmp_path):
    runtime = Path(toolchain.__file__).parents[1] / "runtime"
    names = sorted(model.STRUCT_BYTES)
    sizes = ", ".join(f"sizeof({name})" for name in names)
    (tmp_path / "sizes.c").write_text(f'#include "se_kernels.h"\nconst int32_t sizes[] = {{{sizes}}};\n')
    toolchain.find("zig").build_host([tmp_path / "sizes.c"], [tmp_path, runtime], tmp_path / "sizes.so")
    found = (ctypes.c_int32 * len(names)).in_dll(ctypes.CDLL(str(tmp_path / "sizes.so")), "sizes")
    assert dict(zip(names, found, strict=True)) == model.STRUCT_BYTES


def test_a_core_without_table(monkeypatch):
    assert cost.load(Isa("cortex-m33", dsp=False, fpu="none")) is cost.load(boards.load("nucleo-f103rb").isa)
    monkeypatch.setattr(model, "load", lambda isa: None)
    cost.predictor.cache_clear()
    with pytest.raises(ConfigError, match="no cost table"):
        cost.predictor(BOARD)
    graph, _ = zoo(("linear",))
    assert cost.predict(graph, calls_of(graph), 0, BOARD) is None


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
    predicted = cost.predict(graph, calls, memory.plan(graph, calls).arena_bytes, big)
    errors = {
        call.node.output: said / layer.instructions - 1
        for call, said, layer in zip(calls, predicted.layer_instructions, figures.layers, strict=True)
    }
    worst = {case: errors[tensor] for case, tensor in outputs.items()}
    assert max(map(abs, worst.values())) < 0.25, worst
    assert np.mean(np.abs(list(worst.values()))) < 0.06, worst
    assert abs(predicted.instructions / figures.instructions - 1) < 0.05
    assert abs(predicted.flash_bytes - figures.flash_bytes) <= max(1024, figures.flash_bytes // 100)
    assert len(worst) == len(OPERATOR_CASES)
