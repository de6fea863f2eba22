"""The paper's Fig. 10(a): which share of each search space suits 1 MB of flash and 320 KB of RAM.

    python benchmarks/fig10.py [--samples 500]

Algorithm 1 on the presets small, normal and large, for an STM32F746; writes fig10.json and fig10.svg beside itself.
"""

from __future__ import annotations

import argparse
import json
from importlib.metadata import version
from pathlib import Path

from matplotlib import rcParams
from matplotlib.figure import Figure

from tinyformer import boards
from tinyformer.resources import Limits, resource_eval
from tinyformer.search_space import preset
from tinyformer.supernas.space_analysis import AnalysisSettings, SpaceAnalysis, analyze

BOARD = "stm32f746g-disco"
PRESETS = ("small", "normal", "large")
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


def draw(found: dict[str, SpaceAnalysis]) -> Figure:
    """Return the distribution of dense parameters in each space, with the bounds."""
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.subplots()
    for name, analysis in found.items():
        millions = [count / 1e6 for count in analysis.parameters]
        axes.hist(millions, bins=[i * 0.25 for i in range(33)], alpha=0.6, label=f"{name}: {analysis.probability:.0%}")
    for bound in next(iter(found.values())).bounds:
        axes.axvline(bound / 1e6, color="black", linewidth=0.8, linestyle="--")
    axes.set_xlabel("dense parameters of the sparse models that fit, millions")
    axes.set_ylabel("models")
    axes.legend(title="acceptance", frameon=False)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=500, help="models sampled from each space")
    found = analyze_presets(parser.parse_args().samples)
    for analysis in found.values():
        print(analysis.to_text())
    (HERE / "fig10.json").write_text(json.dumps(record(found), indent=1) + "\n", encoding="utf-8")
    rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "fig10"})
    draw(found).savefig(HERE / "fig10.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
