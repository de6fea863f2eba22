"""Algorithm 2: which supernet is best, whatever interrupts the search."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest

from search_fakes import Calls, FakeNet, Killed, fake_resources, supernas_actions
from tinyformer.errors import ConfigError, DoesNotFitError, TrainingError
from tinyformer.resources import Limits, Resources
from tinyformer.search_space import SPARSITIES, DotSpace, preset, supernet_from_dict
from tinyformer.study import (
    Executor,
    InProcessExecutor,
    RayExecutor,
    Tally,
    Trial,
    TrialState,
    load_arrays,
    open_storage,
    read_trials,
)
from tinyformer.supernas.search import SupernasResult, SupernasSettings, search

SPACE = replace(
    preset("digits"),
    dots=(
        DotSpace((16, 24), (16, 24), (1, 2), (24, 32), (24, 32), (1,)),
        DotSpace((32, 48), (32, 48), (1, 2), (48, 56), (32, 48), (1,)),
    ),
    sparsities=SPARSITIES,
)
LIMITS = Limits(60_000, 24_800)
LOOSE = Limits(70_000, 27_000)
SETTINGS = SupernasSettings(supernets=4, paths=2, sparsities=3, test_paths=20, seed=2)


@dataclass
class Run:
    """A run's folder: search in it, die in it, and look at what is stored."""

    folder: Path
    settings: SupernasSettings = SETTINGS
    limits: Limits = LIMITS

    def search(self, calls: Calls | None = None, die_after: int | None = None, **rest: Any) -> SupernasResult:
        seen: list[Trial] = []

        def observe(name: str, trial: Trial) -> None:
            seen.append(trial)
            if len(seen) == die_after:
                raise Killed(name)

        rest = {"actions": supernas_actions(calls or Calls()), **rest}
        with open_storage(self.folder / "study.jsonl") as storage:
            return search(
                SPACE,
                self.limits,
                fake_resources,
                settings=self.settings,
                storage=storage,
                directory=self.folder,
                observe=observe,
                **rest,
            )

    def state(self, result: SupernasResult) -> tuple[object, ...]:
        files = {path.name: path.read_bytes() for path in self.folder.glob("*.safetensors")}
        return replace(result, weights=Path(result.weights.name)), self.trials(), files

    def trials(self) -> dict[str, tuple[Trial, ...]]:
        with open_storage(self.folder / "study.jsonl") as storage:
            return read_trials(storage)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "run")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    whole = Run(tmp_path_factory.mktemp("whole"))
    return whole.state(whole.search())


def test_the_best_supernet_has_the_best_mean_of_path_means(run: Run) -> None:
    run.limits = LOOSE
    result = run.search()
    trials = run.trials()
    finished = {t.index: t.objective for t in trials["supernas"] if t.objective is not None}
    assert len(finished) >= 2
    several_paths = 0
    for index, objective in finished.items():
        candidates = trials[f"supernas/{index}"]
        assert [c.index for c in candidates] == list(range(6))
        paths = [[c.objective for c in candidates if c.index // 3 == j and c.objective is not None] for j in range(2)]
        several_paths += all(paths)
        assert objective == pytest.approx(fmean(fmean(path) for path in paths if path))
    assert several_paths
    assert result.accuracy == max(finished.values())
    assert finished[result.index] == result.accuracy
    best = next(t for t in trials["supernas"] if t.index == result.index)
    assert result.supernet == supernet_from_dict(SPACE, best.params)
    everything = [c for name, found in trials.items() if name != "supernas" for c in found]
    assert result.candidates == Tally.of(everything)
    assert result.supernets == Tally.of(trials["supernas"])


def test_weights_of_every_trained_supernet_are_kept(run: Run) -> None:
    result = run.search()
    arrays, description = load_arrays(result.weights)
    assert description["supernet"] == dict(next(t for t in run.trials()["supernas"] if t.index == result.index).params)
    assert description["training"]["epochs"] == 10
    assert arrays.keys() == {"value"}
    trained = {t.index for t in run.trials()["supernas"] if t.objective is not None}
    assert {p.name for p in run.folder.glob("*.safetensors")} == {f"supernet-{i:04d}.safetensors" for i in trained}


def test_sparse_models_that_do_not_fit_are_skipped_with_their_figures(run: Run) -> None:
    run.search()
    skipped = [c for name, found in run.trials().items() if "/" in name for c in found if c.state is TrialState.SKIPPED]
    assert skipped
    for candidate in skipped:
        assert candidate.reason in {"over flash", "over RAM", "over flash and RAM"}
        over_flash = candidate.metrics["flash_bytes"] > LIMITS.flash_bytes
        assert ("flash" in candidate.reason) == over_flash
        assert "pooling" in candidate.details
        assert "pooling.sparsity" in candidate.details


def test_the_candidates_of_a_path_share_it(run: Run) -> None:
    run.search()
    for name, found in run.trials().items():
        if "/" in name:
            paths = [{k: v for k, v in c.details.items() if not k.endswith((".sparsity", ".block"))} for c in found]
            assert paths[0] == paths[1] == paths[2]
            assert paths[3] == paths[4] == paths[5]
            assert len({str(c.details) for c in found}) > 2


def test_a_supernet_with_most_paths_over_memory_is_skipped_untrained(run: Run) -> None:
    run.settings = replace(SETTINGS, supernets=12)
    calls = Calls()
    run.search(calls)
    supernets = run.trials()["supernas"]
    skipped = [t for t in supernets if t.reason == "most paths over RAM"]
    assert 0 < len(skipped) < 12
    assert all(t.metrics["share_over_memory"] > 0.5 for t in skipped)
    assert calls.names.count("train") == sum(t.objective is not None for t in supernets) > 0
    assert not any(f"supernas/{t.index}" in run.trials() for t in skipped)


def test_half_of_the_paths_over_memory_is_still_searched(run: Run) -> None:
    one = replace(SETTINGS, supernets=1, test_paths=20, test_share=0.0)
    run.settings = one
    with pytest.raises(DoesNotFitError):
        run.search()
    share = run.trials()["supernas"][0].metrics["share_over_memory"]
    assert 0 < share < 1
    for limit, searched in ((share, True), (share - 0.01, False)):
        other = Run(run.folder / str(limit), replace(one, test_share=limit))
        calls = Calls()
        if searched:
            other.search(calls)
        else:
            with pytest.raises(DoesNotFitError):
                other.search(calls)
        assert ("train" in calls.names) == searched


def test_no_usable_supernet_is_an_error_with_the_reason(run: Run) -> None:
    run.limits = Limits(60_000, 5_000)
    with pytest.raises(DoesNotFitError, match=r"none of 4 supernets .* most paths over RAM \(4 supernets\)"):
        run.search()


def test_no_sparse_model_that_fits_is_an_error_with_the_reason(run: Run) -> None:
    run.limits = Limits(9_000, 10**6)
    calls = Calls()
    with pytest.raises(DoesNotFitError, match=r"no sparse model fits \(4 supernets\)"):
        run.search(calls)
    assert calls.names == []  # no supernet was trained in vain
    trials = run.trials()
    assert [len(trials[f"supernas/{i}"]) for i in range(4)] == [6] * 4
    assert all(t.details["candidates"]["skipped"] == {"over flash": 6} for t in trials["supernas"])


def test_a_supernet_whose_training_diverges_is_skipped(run: Run) -> None:
    actions = supernas_actions(Calls())
    count = iter(range(100))

    def train(net: FakeNet, epochs: int, seed: int, name: str) -> None:
        if next(count) == 0:
            raise TrainingError("training diverged in epoch 1: the loss is nan")
        actions.train(net, epochs, seed, name)

    result = run.search(actions=replace(actions, train=train))
    assert result.supernets.skipped["training diverged"] == 1


def test_killed_after_every_trial_it_ends_as_uninterrupted(run: Run, uninterrupted: tuple[object, ...]) -> None:
    for _ in range(100):
        try:
            result = run.search(die_after=1)
        except Killed:
            continue
        break
    assert run.state(result) == uninterrupted


@pytest.mark.slow
def test_killed_in_any_action_it_ends_as_uninterrupted(tmp_path: Path) -> None:
    settings = replace(SETTINGS, supernets=3, paths=1, test_paths=4)
    whole, calls = Run(tmp_path / "whole", settings, LOOSE), Calls()
    expected = whole.state(whole.search(calls))
    assert set(calls.names) == {"build", "train", "weights", "restore", "extract", "prune", "accuracy"}
    for kill_at in range(len(calls.names)):
        run = Run(tmp_path / str(kill_at), settings, LOOSE)
        with pytest.raises(Killed):
            run.search(Calls(kill_at))
        assert run.state(run.search()) == expected


def test_a_trained_supernet_is_not_trained_again(run: Run) -> None:
    whole = Calls()
    run.search(whole)
    other = Run(run.folder / "other")
    first, second = Calls(whole.names.index("restore") + 1), Calls()
    with pytest.raises(Killed):
        other.search(first)
    other.search(second)
    assert first.names.count("train") + second.names.count("train") == whole.names.count("train")


def test_a_finished_search_does_nothing_again(run: Run) -> None:
    first = run.search()
    calls = Calls()
    assert run.search(calls) == first
    assert calls.names == []


def test_more_supernets_extend_a_search(run: Run, uninterrupted: tuple[object, ...]) -> None:
    run.settings = replace(SETTINGS, supernets=2)
    run.search()
    run.settings = SETTINGS
    assert run.state(run.search()) == uninterrupted


def test_other_settings_are_refused(run: Run) -> None:
    run.search()
    run.settings = replace(SETTINGS, epochs=11)
    with pytest.raises(ConfigError, match="made with epochs = 10, now 11"):
        run.search()
    run.settings = SETTINGS
    run.limits = Limits(50_000, 24_800)
    with pytest.raises(ConfigError, match="study 'supernas'"):
        run.search()


def test_supernets_differ_and_depend_on_the_seed(tmp_path: Path) -> None:
    def sampled(seed: int) -> list[Any]:
        run = Run(tmp_path / str(seed), replace(SETTINGS, seed=seed))
        run.search()
        return [t.params for t in run.trials()["supernas"]]

    first = sampled(2)
    assert len({str(params) for params in first}) > 1
    assert first != sampled(3)


class Backwards(InProcessExecutor):
    """Two slots whose results come last first."""

    slots = 2


def test_with_an_executor_of_several_slots_the_result_is_the_same(run: Run, uninterrupted: tuple[object, ...]) -> None:
    executor: Executor = Backwards()
    result, trials, files = run.state(run.search(executor=executor))
    assert (result, trials, files) == uninterrupted


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_adaptive_samplers_resume_too(sampler: str, tmp_path: Path) -> None:
    settings = replace(SETTINGS, supernets=3, paths=1, sparsities=1, sampler=sampler)
    whole, parts = (Run(tmp_path / name, settings, LOOSE) for name in ("whole", "parts"))
    expected = whole.state(whole.search())
    for _ in range(100):
        try:
            result = parts.search(die_after=1)
        except Killed:
            continue
        break
    assert parts.state(result) == expected


@pytest.mark.parametrize("name", ["supernets", "paths", "sparsities", "epochs", "batch_size", "test_paths"])
def test_settings_out_of_range(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} = 0; allowed: 1 or more"):
        SupernasSettings(**{name: 0})


@pytest.mark.parametrize(
    "wrong", [{"learning_rate": -1.0}, {"test_share": -0.5}, {"test_share": 1.5}, {"sampler": "x"}]
)
def test_values_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"supernas: {next(iter(wrong))} = .*; allowed"):
        SupernasSettings(**wrong)


def test_the_dense_paths_of_a_supernet_are_held_against_the_ram_alone(run: Run) -> None:
    """They need not fit the flash, and what fits it not may still be laid out for the RAM."""
    run.limits = LOOSE

    def too_large(*candidate: Any) -> Resources:
        return replace(fake_resources(*candidate), ram_bytes=LOOSE.ram_bytes + 1)

    with pytest.raises(DoesNotFitError, match="most paths over RAM"):
        run.search(evaluate_ram=too_large)
    Run(run.folder / "other", limits=LOOSE).search(evaluate_ram=fake_resources)


def test_training_is_seeded_counted_and_named_as_the_settings_say(run: Run) -> None:
    seen: list[tuple[int, int, str]] = []
    actions = supernas_actions(Calls())

    def train(net: FakeNet, epochs: int, seed: int, name: str) -> None:
        seen.append((epochs, seed, name))
        actions.train(net, epochs, seed, name)

    run.settings = replace(SETTINGS, epochs=3)
    run.search(actions=replace(actions, train=train))
    assert {epochs for epochs, _, _ in seen} == {3}
    assert len({seed for _, seed, _ in seen}) == len({name for _, _, name in seen}) == len(seen)
    assert {f"{name}.safetensors" for _, _, name in seen} == {file.name for file in run.folder.glob("*.safetensors")}
    assert np.all(np.array([seed for _, seed, _ in seen]) >= 0)


@pytest.mark.full
def test_on_ray_the_result_is_the_same(
    run: Run, uninterrupted: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))  # where the workers find the fakes
    with RayExecutor("local") as executor:
        assert run.state(run.search(executor=executor)) == uninterrupted
