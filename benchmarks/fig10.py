"""The paper's Fig. 10(a): which share of each search space suits 1 MB of flash and 320 KB of RAM.

    python benchmarks/fig10.py [--samples 500]

Algorithm 1 on the presets small, normal and large, for an STM32F746; writes fig10.json and fig10.svg beside itself.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import charts

from tinyformer import boards
from tinyformer.resources import Limits, resource_eval
from tinyformer.search_space import preset
from tinyformer.supernas.space_analysis import AnalysisSettings, SpaceAnalysis, analyze

BOARD = "stm32f746g-disco"
PRESETS = ("small", "normal", "large")
BIN = 0.25  # million parameters
HERE = Path(__file__).parent


def analyze_presets(samples: int) -> dict[str, SpaceAnalysis]:
    """Run Algorithm 1 on every preset, within all that the board has."""
    board = boards.load(BOARD)
    limits = Limits(board.flash.size_bytes, board.ram.size_bytes)
    evaluate = resource_eval(board, limits)
    return {name: analyze(preset(name), limits, evaluate, AnalysisSettings(samples=samples)) for name in PRESETS}


def record(found: dict[str, SpaceAnalysis]) -> dict[str, object]:
    """Return what is written as JSON."""
    spaces = {
        name: {
            "acceptance": analysis.probability,
            "samples": analysis.samples,
            "fit": analysis.evaluated,
            "within_bounds": analysis.accepted,
            "too_small": analysis.too_small,
            "too_large": analysis.too_large,
            "parameters_of_those_that_fit": list(analysis.parameters),
        }
        for name, analysis in found.items()
    }
    bounds = next(iter(found.values())).bounds
    return {
        "command": "python benchmarks/fig10.py",
        "board": BOARD,
        "bounds": list(bounds),
        "spaces": spaces,
        "paper": {"normal": "above 0.9", "small": "below 0.3", "large": "below 0.3"},
        "versions": {"tinyformer": version("tinyformer"), "numpy": version("numpy")},
    }


def histogram(analysis: SpaceAnalysis) -> list[tuple[float, float]]:
    """Return the share of models in each bin of dense parameters, in millions; one empty bin at either end."""
    bins = Counter(round(count / 1e6 / BIN) for count in analysis.parameters)
    first, last = min(bins), max(bins)
    return [(i * BIN, bins[i] / analysis.evaluated) for i in range(first - 1, last + 2)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=500, help="models sampled from each space")
    found = analyze_presets(parser.parse_args().samples)
    for analysis in found.values():
        print(analysis.to_text())
    (HERE / "fig10.json").write_text(json.dumps(record(found), indent=1) + "\n", encoding="utf-8")
    low, high = (bound / 1e6 for bound in next(iter(found.values())).bounds)
    charts.lines(
        HERE / "fig10.svg",
        f"Dense parameters of the sparse models that fit; {low:.1f} to {high:.1f} million are accepted",
        "million parameters",
        "share of the models",
        {f"{name}: {analysis.probability:.0%} accepted": histogram(analysis) for name, analysis in found.items()},
    )


if __name__ == "__main__":
    main()
