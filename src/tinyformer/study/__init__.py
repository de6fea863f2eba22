"""Trials, their storage, samplers and executors: what a search needs and no network."""

from tinyformer.study.artifacts import Arrays, find_arrays, load_arrays, save_arrays
from tinyformer.study.conduct import Observe, Outcome, Skip, conduct
from tinyformer.study.executors import Executor, InProcessExecutor, RayExecutor
from tinyformer.study.front import pareto_front
from tinyformer.study.identity import defaults, identity
from tinyformer.study.samplers import SAMPLERS
from tinyformer.study.storage import Storage, open_storage
from tinyformer.study.study import OpenTrial, Study, read_trials
from tinyformer.study.trial import Choice, Json, Tally, Trial, TrialState

__all__ = [
    "SAMPLERS",
    "Arrays",
    "Choice",
    "Executor",
    "InProcessExecutor",
    "Json",
    "Observe",
    "OpenTrial",
    "Outcome",
    "RayExecutor",
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
    "open_storage",
    "pareto_front",
    "read_trials",
    "save_arrays",
]
