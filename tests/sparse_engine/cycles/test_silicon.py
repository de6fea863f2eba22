"""The recorded comparison with silicon: every case within its core's documented band, and the page that shows it."""

import json
from pathlib import Path

import pytest

from tinyformer import boards
from tinyformer.sparse_engine import cycles

ROOT = Path(__file__).parents[3]
RECORD = json.loads((ROOT / "benchmarks" / "silicon.json").read_text(encoding="utf-8"))
CASES = {case["name"]: case for case in RECORD["cases"]}
CLOCKS = {"nrf5340-dk": ("cortex-m33", 128_000_000)}


def core_and_clock(board: str) -> tuple[str, int]:
    if board in CLOCKS:
        return CLOCKS[board]
    found = boards.load(board)
    return found.isa.core, found.clock_hz


@pytest.mark.parametrize("name", CASES)
def test_totals_lie_in_the_band(name: str) -> None:
    case = CASES[name]
    core, clock_hz = core_and_clock(case["board"])
    band = cycles.accuracy(core).error_percent
    assert band is not None
    error = 1000 * case["cycles"] / clock_hz / case["measured_ms"] - 1
    assert abs(error) * 100 <= band


def test_layers_lie_within_25_percent() -> None:
    """But for one of 0.3 ms, which nothing explains yet (docs/cycles.md)."""
    outside = []
    for case in CASES.values():
        _, clock_hz = core_and_clock(case["board"])
        for layer in case["layers"]:
            if abs(1000 * layer["cycles"] / clock_hz / layer["measured_ms"] - 1) > 0.25:
                outside.append((layer["name"], layer["measured_ms"]))
    assert outside == [("max pool", 0.3)]


def test_every_core_with_a_band_was_compared() -> None:
    compared = {core_and_clock(case["board"])[0] for case in CASES.values()}
    assert compared == {name for name in cycles.names() if cycles.accuracy(name).error_percent is not None}


def test_page_shows_the_recorded_errors() -> None:
    page = (ROOT / "docs" / "cycles.md").read_text(encoding="utf-8")
    for case in CASES.values():
        _, clock_hz = core_and_clock(case["board"])
        error = 1000 * case["cycles"] / clock_hz / case["measured_ms"] - 1
        assert f"| {100 * error:+.1f} % |" in page, case["name"]
