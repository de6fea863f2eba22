"""The report page: what a board measured beside what was estimated, and what an estimate leaves out."""

from pathlib import Path

import pytest

from engine_models import convolutional_net
from tinyformer import boards, report
from tinyformer.sparse_engine.bundle import Manifest
from tinyformer.sparse_engine.compiler import analyze_graph, compile_graph
from tinyformer.sparse_engine.figures import Figures
from tinyformer.sparse_engine.measurement import Measurement

BOARD = boards.load("stm32f746g-disco")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return compile_graph(convolutional_net(), BOARD, tmp_path_factory.mktemp("page") / "b", toolchain=None).manifest


@pytest.fixture(scope="module")
def figures() -> Figures:
    return analyze_graph(convolutional_net(), BOARD).figures


def test_measured_cycles_stand_beside_the_estimated(manifest: Manifest, figures: Figures) -> None:
    measured = Measurement(tuple(1000 * (index + 1) + 7 for index in range(len(figures.layers))), BOARD.clock_hz)
    page = report.render(manifest, measured.beside(figures))
    assert "Latency, measured on the board" in page
    assert f"{measured.cycles:,} cycles" in page
    assert figures.cycles_estimated is not None
    assert f"off by {figures.cycles_estimated / measured.cycles - 1:+.1%}" in page
    assert "cycles, measured" in page
    for layer, cycles in zip(figures.layers, measured.layer_cycles, strict=True):
        assert f"{cycles:,}" in page
        assert layer.cycles_estimated is not None
        assert f"{layer.cycles_estimated / cycles - 1:+.1%}" in page


def test_a_run_shows_what_was_measured_later(manifest: Manifest, figures: Figures, tmp_path: Path) -> None:
    """``profile --port`` writes into the bundle; the run's own result stays as it is."""
    bundle = tmp_path / "bundle"
    compile_graph(convolutional_net(), BOARD, bundle, toolchain=None)
    measured = Measurement(tuple(2003 for _ in figures.layers), BOARD.clock_hz)
    assert "Latency, measured on the board" not in report.write(bundle).read_text()
    report.write_profile(bundle, measured.beside(figures))
    assert "Latency, measured on the board" in report.write(tmp_path).read_text()


def test_without_a_measurement_there_are_no_columns_for_it(manifest: Manifest, figures: Figures) -> None:
    page = report.render(manifest, figures.to_dict())
    assert "measured" not in page
    assert f"{figures.latency_ms_estimated:.4g} ms" in page


def test_before_an_image_is_profiled_the_prediction_is_shown(manifest: Manifest, figures: Figures) -> None:
    page = report.render(manifest)
    assert "Latency, predicted" in page
    assert f"{figures.latency_ms_estimated:.4g} ms" in page


def test_memory_that_counts_as_free_is_said(manifest: Manifest, figures: Figures) -> None:
    assert "for the core alone" not in report.render(manifest, figures.to_dict())
    free = manifest.model_copy(update={"board": boards.load("nucleo-h743zi2")})
    assert "for the core alone" in report.render(free, figures.to_dict())
