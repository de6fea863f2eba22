"""Trials, their storage, samplers and executors: what a search needs and no network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinyformer.lazy_imports import importer

if TYPE_CHECKING:
    from tinyformer.study.artifacts import Arrays, find_arrays, load_arrays, save_arrays
    from tinyformer.study.executors import Executor, InProcessExecutor, RayExecutor
    from tinyformer.study.front import pareto_front
    from tinyformer.study.identities import defaults, identity
    from tinyformer.study.locking import lock_file
    from tinyformer.study.loop import Observe, Outcome, Skip, conduct
    from tinyformer.study.names import SAMPLER_NAMES, Sampler
    from tinyformer.study.samplers import SAMPLERS
    from tinyformer.study.storage import Storage, open_storage
    from tinyformer.study.study import OpenTrial, Study, read_trials
    from tinyformer.study.trial import Choice, Json, Tally, Trial, TrialState

__all__ = [
    "SAMPLERS",
    "SAMPLER_NAMES",
    "Arrays",
    "Choice",
    "Executor",
    "InProcessExecutor",
    "Json",
    "Observe",
    "OpenTrial",
    "Outcome",
    "RayExecutor",
    "Sampler",
    "Skip",
    "Storage",
    "Study",
    "Tally",
    "Trial",
    "TrialState",
    "conduct",
    "defaults",
    "find_arrays",
    "identity",
    "load_arrays",
    "lock_file",
    "open_storage",
    "pareto_front",
    "read_trials",
    "save_arrays",
]

_HOMES = {
    "Arrays": "artifacts",
    "find_arrays": "artifacts",
    "load_arrays": "artifacts",
    "save_arrays": "artifacts",
    "Observe": "loop",
    "Outcome": "loop",
    "Skip": "loop",
    "conduct": "loop",
    "Executor": "executors",
    "InProcessExecutor": "executors",
    "RayExecutor": "executors",
    "pareto_front": "front",
    "defaults": "identities",
    "identity": "identities",
    "lock_file": "locking",
    "SAMPLER_NAMES": "names",
    "Sampler": "names",
    "SAMPLERS": "samplers",
    "Storage": "storage",
    "open_storage": "storage",
    "OpenTrial": "study",
    "Study": "study",
    "read_trials": "study",
    "Choice": "trial",
    "Json": "trial",
    "Tally": "trial",
    "Trial": "trial",
    "TrialState": "trial",
}

__getattr__ = importer(__name__, _HOMES)
