"""Algorithm 3: which sparse single-path model is best, whatever interrupts the search."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search_fakes import Calls, FakeNet, Killed, fake_resources, sparsenas_actions
from tiny_search import SPACE as TINY
from tinyformer import boards
from tinyformer.errors import ConfigError, DoesNotFitError
from tinyformer.resources import Limits, resource_eval
from tinyformer.search_space import (
    path_from_dict,
    path_to_dict,
    preset,
    sample_supernet,
    sparsity_from_dict,
)
from tinyformer.sparsenas.actions import PruningRun
from tinyformer.sparsenas.search import SparsenasResult, SparsenasSettings, search
from tinyformer.study import (
    InProcessExecutor,
    Study,
    Tally,
    Trial,
    TrialState,
    load_arrays,
    open_storage,
    read_trials,
)

SPACE = preset("digits")
SUPERNET = sample_supernet(SPACE, np.random.default_rng(1))
WEIGHTS = {"value": np.array([0.25])}
LIMITS = Limits(66_000, 29_000)
SETTINGS = SparsenasSettings(candidates=12, seed=1)


@dataclass
class Run:
    """A run's folder: search in it, die in it, and look at what is stored."""

    folder: Path
    settings: SparsenasSettings = SETTINGS
    limits: Limits = LIMITS

    def search(
        self, calls: Calls | None = None, die_after: int | None = None, die_at: int | None = None, **rest: Any
    ) -> SparsenasResult:
        seen: list[Trial] = []

        def observe(name: str, trial: Trial) -> None:
            seen.append(trial)
            if len(seen) == die_after or trial.index == die_at:
                raise Killed(name)

        rest = {"actions": sparsenas_actions(calls or Calls()), **rest}
        space, supernet = rest.pop("space", SPACE), rest.pop("supernet", SUPERNET)
        evaluate = rest.pop("evaluate", fake_resources)
        with open_storage(self.folder / "study.jsonl") as storage:
            return search(
                space,
                supernet,
                WEIGHTS,
                self.limits,
                evaluate,
                settings=self.settings,
                storage=storage,
                directory=self.folder,
                observe=observe,
                **rest,
            )

    def trials(self) -> tuple[Trial, ...]:
        with open_storage(self.folder / "study.jsonl") as storage:
            return read_trials(storage)["sparsenas"]

    def state(self, result: SparsenasResult) -> tuple[object, ...]:
        files = {path.name: path.read_bytes() for path in self.folder.glob("*.safetensors")}
        names = replace(
            result,
            weights=Path(result.weights.name),
            trained_weights=Path(result.trained_weights.name),
            front=tuple(replace(member, weights=Path(member.weights.name)) for member in result.front),
        )
        return names, self.trials(), files


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "run")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    whole = Run(tmp_path_factory.mktemp("whole"))
    return whole.state(whole.search())


def test_the_best_candidate_has_the_best_int8_accuracy(run: Run) -> None:
    result = run.search()
    trials = run.trials()
    finished = {t.index: t for t in trials if t.objective is not None}
    assert 2 <= len(finished) < 12
    assert result.accuracies["int8"] == max(t.objective for t in finished.values() if t.objective is not None)
    best = finished[result.index]
    assert best.objective == result.accuracies["int8"]
    assert result.path == path_from_dict(SUPERNET, best.params)
    assert result.sparsity == sparsity_from_dict(SPACE, SUPERNET, best.params)
    assert result.candidates == Tally.of(trials)
    assert result.supernet == SUPERNET


def test_a_candidate_inherits_trains_prunes_and_is_quantised(run: Run) -> None:
    calls = Calls()
    seen: dict[str, Any] = {}
    actions = sparsenas_actions(calls)

    def train(net: FakeNet, epochs: int, seed: int, name: str) -> None:
        seen["train"] = (epochs, seed, name)
        actions.train(net, epochs, seed, name)

    def prune(net: FakeNet, sparsity: Any, how: PruningRun) -> None:
        seen["prune"] = (sparsity, how)
        actions.prune(net, sparsity, how)

    run.settings = replace(SETTINGS, candidates=1)
    run.limits = Limits(10**9, 10**9)
    result = run.search(actions=replace(actions, train=train, prune=prune))
    assert calls.names == [
        *("inherit", "train", "weights", "accuracy", "prune", "prune on", "accuracy", "int8_accuracy", "weights")
    ]
    epochs, seed, name = seen["train"]
    assert (epochs, name) == (10, "candidate-0000-training")
    pruning = PruningRun(ramp_epochs=7, epochs=10, seed=seed, name="candidate-0000-pruning")
    assert seen["prune"] == (result.sparsity, pruning)
    trained, _ = load_arrays(result.trained_weights)
    pruned, description = load_arrays(result.weights)
    assert trained["value"][0] == result.accuracies["float"]
    assert pruned["value"][0] == result.accuracies["pruned"] != result.accuracies["float"]
    assert description["path"] == list(result.path.choices)


def test_what_does_not_fit_is_skipped_untrained(run: Run) -> None:
    calls = Calls()
    run.search(calls)
    skipped = [t for t in run.trials() if t.state is TrialState.SKIPPED]
    assert calls.names.count("train") == 12 - len(skipped)
    assert {t.reason for t in skipped} <= {"over flash", "over RAM", "over flash and RAM"}
    for trial in run.trials():
        fits = trial.metrics["flash_bytes"] <= LIMITS.flash_bytes and trial.metrics["ram_bytes"] <= LIMITS.ram_bytes
        assert fits == (trial.state is TrialState.FINISHED)


def test_only_the_fronts_weights_are_kept(run: Run) -> None:
    result = run.search()
    assert len(result.front) < len([t for t in run.trials() if t.objective is not None])
    assert {p.name for p in run.folder.glob("*.safetensors")} == {
        f"candidate-{member.index:04d}-{stage}.safetensors"
        for member in result.front
        for stage in ("trained", "pruned")
    }
    assert not list(run.folder.glob("*.tmp"))


def test_the_front_starts_with_the_best_and_trades_accuracy_for_resources(run: Run) -> None:
    result = run.search()
    first = result.front[0]
    assert (first.index, first.accuracy, first.path) == (result.index, result.accuracies["int8"], result.path)
    for better, worse in pairwise(result.front):
        assert worse.accuracy <= better.accuracy
        assert any(worse.metrics[cost] < better.metrics[cost] for cost in ("flash_bytes", "ram_bytes"))


def test_a_latency_limit_on_the_digits_space(run: Run) -> None:
    """Half of the candidates are too slow in their fastest encodings: skipped untrained, and absent from the front."""
    board = boards.load("stm32f746g-disco")
    free = Limits(board.flash.size_bytes, board.ram.size_bytes)
    run.limits = free
    run.search(evaluate=resource_eval(board, free, "speed"))
    latencies = sorted(trial.metrics["latency_ms"] for trial in run.trials())
    limit_ms = (latencies[5] + latencies[6]) / 2
    assert latencies[5] < limit_ms < latencies[6]

    run.folder = run.folder.with_name("limited")
    run.limits = replace(free, latency_ms=limit_ms)
    calls = Calls()
    result = run.search(calls, evaluate=resource_eval(board, run.limits, "speed"))
    skipped = [trial for trial in run.trials() if trial.state is TrialState.SKIPPED]
    assert skipped
    assert calls.names.count("train") == 12 - len(skipped)
    for trial in run.trials():
        assert (trial.metrics["latency_ms"] > limit_ms) == (trial.reason == "over latency")
    assert all(member.metrics["latency_ms"] <= limit_ms for member in result.front)


def test_nothing_that_fits_is_an_error_with_the_reason(run: Run) -> None:
    run.limits = Limits(66_000, 1_000)
    with pytest.raises(DoesNotFitError, match=r"none of 12 candidates .* over (flash and )?RAM"):
        run.search()


def test_a_candidate_whose_training_diverges_is_skipped(run: Run) -> None:
    def diverges(path: Any) -> bool:
        return path_to_dict(SUPERNET, path)["pooling"] == "sequence"

    result = run.search(actions=sparsenas_actions(Calls(), diverges))
    diverged = [t for t in run.trials() if t.reason == "training diverged"]
    assert len(diverged) == result.candidates.skipped["training diverged"] > 0
    assert all(t.params["pooling"] == "sequence" for t in diverged)
    assert path_to_dict(SUPERNET, result.path)["pooling"] == "average"


def test_a_candidate_that_is_sampled_again_is_not_trained_again(run: Run) -> None:
    dense = replace(SPACE, sparsities=(0.0,), block_sizes=(2, 4))  # a dense block's size means nothing
    run.settings, run.limits, calls = replace(SETTINGS, candidates=80), Limits(10**9, 10**9), Calls()
    result = run.search(calls, space=dense)
    trials = run.trials()
    repeats = {t.index: t.details["repeats"] for t in trials if "repeats" in t.details}
    assert len(repeats) == 80 - calls.names.count("train") > 0
    models = {t.index: path_from_dict(SUPERNET, t.params) for t in trials}
    for index, earlier in repeats.items():
        assert models[index] == models[earlier]
        assert (trials[index].objective, trials[index].metrics) == (trials[earlier].objective, trials[earlier].metrics)
    assert len(set(models.values())) == calls.names.count("train")
    assert all(member.index not in repeats and member.weights.exists() for member in result.front)


class FourSlots(InProcessExecutor):
    """Like a cluster: evaluates the other jobs while one hangs."""

    slots = 4

    def __init__(self, hangs: int) -> None:
        self.hangs = hangs

    def submit(self, function: Any, argument: Any) -> Any:
        return Future() if argument.index == self.hangs else super().submit(function, argument)


def test_a_trial_that_repeats_a_later_one_does_not_take_its_place(run: Run, tmp_path: Path) -> None:
    """Killed while one of several trials hung, the search resumes with it, after others that sampled the same model."""
    dense = replace(TINY, sparsities=(0.0,), block_sizes=(2,))  # of few models, which return soon
    of = {"space": dense, "supernet": sample_supernet(dense, np.random.default_rng(1))}
    settings, limits = replace(SETTINGS, seed=38), Limits(10**9, 10**9)
    run.settings, run.limits = settings, limits
    run.search(**of)
    pairs = [(t.details["repeats"], t.index) for t in run.trials() if "repeats" in t.details]
    near = [(first, second) for first, second in pairs if 0 < second - first < FourSlots.slots]
    assert near
    for first, second in near:
        killed = Run(tmp_path / str(first), settings, limits)
        with pytest.raises(Killed):
            killed.search(**of, executor=FourSlots(first), die_at=second)
        result = killed.search(**of)
        assert {t.index: t.details.get("repeats") for t in killed.trials()}[first] == second
        assert all(member.weights.exists() for member in result.front)
        assert result.trained_weights.exists()


@pytest.mark.parametrize("objective", ["accuracy", "front"])
@pytest.mark.parametrize("sampler", ["random", "tpe", "nsga2"])
def test_killed_after_every_trial_it_ends_as_uninterrupted(sampler: str, objective: str, tmp_path: Path) -> None:
    settings = replace(SETTINGS, sampler=sampler, objective=objective)
    whole, parts = Run(tmp_path / "whole", settings), Run(tmp_path / "parts", settings)
    expected = whole.state(whole.search())
    for _ in range(100):
        try:
            result = parts.search(die_after=1)
        except Killed:
            continue
        break
    assert parts.state(result) == expected


@pytest.mark.slow
def test_killed_in_any_action_it_ends_as_uninterrupted(tmp_path: Path) -> None:
    settings = replace(SETTINGS, candidates=6)
    whole, calls = Run(tmp_path / "whole", settings), Calls()
    expected = whole.state(whole.search(calls))
    assert calls.names.count("train") >= 2
    for kill_at in range(len(calls.names)):
        run = Run(tmp_path / str(kill_at), settings)
        with pytest.raises(Killed):
            run.search(Calls(kill_at))
        assert run.state(run.search()) == expected


def test_killed_between_weights_and_result_it_ends_as_uninterrupted(
    run: Run, uninterrupted: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    end = Study._end

    def die(self: Any, trial: Any, objective: float | None, *rest: Any) -> Trial:
        if objective is not None:
            raise Killed
        return end(self, trial, objective, *rest)

    monkeypatch.setattr(Study, "_end", die)
    with pytest.raises(Killed):
        run.search()
    monkeypatch.undo()
    assert list(run.folder.glob("*.safetensors"))
    assert run.state(run.search()) == uninterrupted


def test_a_finished_search_does_nothing_again(run: Run) -> None:
    first = run.search()
    calls = Calls()
    assert run.search(calls) == first
    assert calls.names == []


def test_more_candidates_extend_a_search(run: Run, uninterrupted: tuple[object, ...]) -> None:
    run.settings = replace(SETTINGS, candidates=5)
    run.search()
    run.settings = SETTINGS
    assert run.state(run.search()) == uninterrupted


def test_another_objective_is_refused(run: Run) -> None:
    run.search()
    run.settings = replace(SETTINGS, objective="front")
    with pytest.raises(ConfigError, match='made with objective = "accuracy", now "front"'):
        run.search()
    with pytest.raises(ConfigError, match="objective = 'flash'; allowed: accuracy, front"):
        replace(SETTINGS, objective="flash")


def test_other_settings_are_refused(run: Run) -> None:
    run.search()
    run.settings = replace(SETTINGS, prune_epochs=20)
    with pytest.raises(ConfigError, match="made with prune_epochs = 10, now 20"):
        run.search()


class TwoSlots(InProcessExecutor):
    """Takes a second candidate before it gives the first result."""

    slots = 2


def test_with_an_executor_of_several_slots_the_result_is_the_same(run: Run, uninterrupted: tuple[object, ...]) -> None:
    assert run.state(run.search(executor=TwoSlots())) == uninterrupted


@pytest.mark.parametrize(
    "wrong",
    [
        {"candidates": 0},
        {"epochs": 0},
        {"prune_epochs": 3, "ramp_epochs": 4},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"sampler": "cmaes"},
    ],
)
def test_settings_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="allowed"):
        SparsenasSettings(**wrong)
