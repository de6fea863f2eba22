"""Algorithm 1 for a run file: whether its search space suits its board. It needs neither torch nor the images."""

from __future__ import annotations

from typing import Any

from tinyformer import boards
from tinyformer.config import RunConfig
from tinyformer.resources import resource_eval
from tinyformer.supernas.space_analysis import SpaceAnalysis, analyze


def analyze_space(config: RunConfig) -> dict[str, Any]:
    """Run Algorithm 1 for a run file's space and board.

    Returns:
        ``acceptance`` (the probability), ``accepted`` (whether it reaches the threshold), the counts, ``verdict``.

    Raises:
        DoesNotFitError: no sampled model meets the limits.
    """
    board = boards.load(config.board)
    limits = config.limits.limits(board)
    space = config.space.space(*config.data.kind(config.seed))
    evaluate = resource_eval(board, limits, config.compile.objective)
    return summary(analyze(space, limits, evaluate, config.analysis))


def summary(analysis: SpaceAnalysis) -> dict[str, Any]:
    """Return what JSON shows of Algorithm 1."""
    return {
        "space": analysis.space,
        "acceptance": analysis.probability,
        "accepted": analysis.acceptable,
        "samples": analysis.samples,
        "evaluated": analysis.evaluated,
        "too_small": analysis.too_small,
        "too_large": analysis.too_large,
        "unfit": dict(analysis.unfit),
        "bounds": list(analysis.bounds),
        "verdict": analysis.to_text(),
    }
