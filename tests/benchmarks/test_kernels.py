"""The speed table: what is measured, and that no kernel gets slower than benchmarks/kernels.json says."""

import json
import shutil
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyformer.benchmarks import baseline, kernels
from tinyformer.benchmarks.layers import LAYERS
from tinyformer.errors import ConfigError, EmulatorError
from tinyformer.sparse_engine import deployment, toolchain

RECORD = Path(__file__).parents[2] / "benchmarks" / "kernels.json"
WORSE = 1.03
QUICK = ("conv3x3-75-b4", "linear-44-dense", "softmax-1500", "add", "maxpool")
"""Layers small enough for every run of the tests; they use each of the sparse, dense, table and row loops once."""


def recorded() -> dict[str, Any]:
    result: dict[str, Any] = json.loads(RECORD.read_text())
    return result


def rows(compiler: str) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in recorded()["kernels"] if row["toolchain"] == compiler}


def slower(figures: kernels.KernelFigures, row: dict[str, Any]) -> str:
    """Return in words by how much a layer got worse; empty when it did not by more than 3 %."""
    words = []
    for name in ("instructions_per_unit", "instructions_per_unit_at_0_sparsity", "cycles_per_unit"):
        now, then = getattr(figures, name), row[name]
        if then is not None and now > WORSE * then:
            words.append(f"{figures.id} with {figures.toolchain}: {name} {now} was {then}")
    return "; ".join(words)


def test_record_holds_every_layer_with_both_toolchains_and_the_versions() -> None:
    assert set(recorded()["versions"]) == {"tinyformer", "unicorn", "ziglang", "gcc"}
    for compiler in toolchain.TOOLCHAINS:
        assert list(rows(compiler)) == list(LAYERS)


def test_every_layer_of_the_record_holds() -> None:
    assert [row["id"] for row in recorded()["kernels"] if not kernels.KernelFigures(**row).holds] == []


def test_both_limits_count() -> None:
    row = rows("zig")["attention-values"]
    assert not kernels.KernelFigures(**row | {"instructions_per_unit": 1.51}).holds
    assert not kernels.KernelFigures(**row | {"cycles_per_unit": 1.01}).holds


def test_ratios_of_the_record_follow_from_its_counts() -> None:
    for row in recorded()["kernels"]:
        layer = LAYERS[row["id"]]
        assert row["instructions_per_unit"] == pytest.approx(row["instructions"] / row["effective_work"], abs=1e-4)
        assert (row["ratio"] is None) == (layer.baseline == "")
        if row["ratio"] is not None:
            assert row["ratio"] == pytest.approx(row["cmsis_nn_instructions"] / row["instructions"], abs=1e-3)
        assert (row["instructions_per_unit_at_0_sparsity"] is None) == (not layer.is_sparse)


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_layer_has_the_shape_of_its_baseline(layer: Any) -> None:
    graph = kernels.graph(layer, layer.sparsity)
    node = graph.nodes[-1]
    work = graph.macs(node) or graph.tensors[node.output].elements
    if layer.baseline:
        assert work == baseline.load().work[layer.baseline]
    if layer.encoding is not None:
        weights = graph.data[node.inputs[1]]
        assert np.count_nonzero(weights == 0) / weights.size == pytest.approx(layer.sparsity, abs=0.002)


@pytest.mark.slow
@pytest.mark.emulator
@pytest.mark.parametrize("layer", QUICK)
def test_quick_layers_are_no_slower_than_recorded(layer: str) -> None:
    _skip_other_versions("zig", "ziglang", version("ziglang"))
    (figures,) = kernels.measure(kernels.select([layer]), "zig")
    assert not slower(figures, rows("zig")[layer])


@pytest.mark.full
@pytest.mark.emulator
@pytest.mark.parametrize("compiler", list(toolchain.TOOLCHAINS))
def test_no_layer_is_slower_than_recorded(compiler: str) -> None:
    if compiler == "gcc" and shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("arm-none-eabi-gcc is not on the PATH")
    _skip_other_versions(compiler, {"zig": "ziglang"}.get(compiler, compiler), toolchain.find(compiler).version())
    row = rows(compiler)
    assert [
        words for figures in kernels.measure(kernels.select(), compiler) if (words := slower(figures, row[figures.id]))
    ] == []


def _skip_other_versions(compiler: str, name: str, present: str) -> None:
    then = recorded()["versions"][name]
    if then != present:
        pytest.skip(f"benchmarks/kernels.json was recorded with {compiler} {then}, this is {present}")


def test_three_per_cent_is_the_limit() -> None:
    row = rows("zig")["conv3x3-75-b4"]
    names = kernels.KernelFigures.__dataclass_fields__
    for factor, words in ((1.029, ""), (1.031, "instructions_per_unit "), (0.5, "")):
        changed = row | {"instructions_per_unit": row["instructions_per_unit"] * factor}
        found = slower(kernels.KernelFigures(**{name: changed[name] for name in names}), row)
        assert (words in found) if words else found == ""


def test_wrong_outputs_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    run = deployment.run

    def spoilt(*arguments: Any, **options: Any) -> Any:
        emulation = run(*arguments, **options)
        emulation.outputs[0, 0] ^= 1
        return emulation

    monkeypatch.setattr(deployment, "run", spoilt)
    with pytest.raises(EmulatorError, match=r"add.*reference"):
        _first(kernels.measure(kernels.select(["add"])))


def test_prescribed_encoding_wins_over_the_objective() -> None:
    (figures,) = kernels.measure(kernels.select(["depthwise-75-b3"]))
    assert figures.instructions_per_unit_at_0_sparsity is not None, "block code without zeros is larger than dense"
    dense = _first(kernels.measure(kernels.select(["depthwise-dense"])))
    assert figures.instructions_per_unit_at_0_sparsity != dense.instructions_per_unit


def test_unknown_id_lists_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"'conv9x9'.*conv3x3-dense"):
        kernels.select(["conv9x9"])


def _first(figures: Iterator[kernels.KernelFigures]) -> kernels.KernelFigures:
    return next(figures)
