"""The whole way: dataset and board in, a proven image and a report out.

A run lives in one folder: ``run.toml`` (resolved), ``search.log`` (trials, unless a database has them; then
``search.database``), ``supernas/`` and ``sparsenas/`` (weights), ``model.onnx``, ``bundle/``, ``result.json``,
``report.html``, ``tensorboard/`` when asked for, and ``<name>_features.h`` where the data are no bytes.
Every stage keeps there what it finished, so that a run killed at any moment goes on with ``resume``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinyformer.lazy_imports import importer

if TYPE_CHECKING:
    from tinyformer.pipeline.commands import run, search
    from tinyformer.pipeline.context import Progress
    from tinyformer.pipeline.machines import Machines
    from tinyformer.pipeline.space import analyze_space

__all__ = ["Machines", "Progress", "analyze_space", "run", "search"]

_HOMES = {
    "run": "commands",
    "search": "commands",
    "Progress": "context",
    "Machines": "machines",
    "analyze_space": "space",
}

__getattr__ = importer(__name__, _HOMES)
