from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tinyformer.errors import ConfigError
from tinyformer.pruning import GradualPruning, one_shot, scheduled_sparsity, sparsity_report
from tinyformer.search_space import BlockSparsity
from tinyformer.training import TrainingSettings, fit

torch.set_num_threads(1)

TARGETS = {"0": BlockSparsity(0.5, 2), "2": BlockSparsity(0.75, 3), "5": BlockSparsity(0.8, 4)}
SETTINGS = TrainingSettings(epochs=5, batch_size=8, peak_lr=1e-2, ema_decay=0.9)
SCALE = {"mean": 128.0, "std": 60.0}


def network(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(6, 6, 3, padding=1, groups=6),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(24, 4),
        )


@pytest.fixture
def images():
    generator = np.random.default_rng(1)
    return generator.integers(0, 256, (32, 6, 6, 3), np.uint8), generator.integers(0, 4, 32)


@dataclass
class Run:
    model: nn.Module
    average: nn.Module | None = None
    step: int = 0
    total_steps: int = 20


class Recorder:
    """A callback that keeps the zero blocks of every layer after each step, of the model and of the average."""

    def __init__(self, crash_at=None):
        self.blocks, self.average_blocks, self.crash_at = [], [], crash_at

    def on_start(self, state):
        pass

    def on_gradients(self, state):
        pass

    def on_step(self, state):
        for target, model in ((self.blocks, state.model), (self.average_blocks, state.average)):
            target.append([layer.zero_blocks for layer in sparsity_report(model, TARGETS).layers])

    def on_epoch(self, state):
        if state.epoch == self.crash_at:
            raise KeyboardInterrupt


def test_the_schedule_is_cubic():
    assert [scheduled_sparsity(step, 10, 20, 0.8) for step in (0, 10, 15, 20, 99)] == pytest.approx(
        [0.0, 0.0, 0.8 * (1 - 0.5**3), 0.8, 0.8]
    )
    assert scheduled_sparsity(15, 10, 20, 0.8, initial=0.4) == pytest.approx(0.8 - 0.4 * 0.5**3)
    assert scheduled_sparsity(0, 0, 0, 0.8) == 0.8


@given(first=st.integers(0, 50), length=st.integers(0, 50), final=st.floats(0, 0.95))
def test_the_schedule_never_falls(first, length, final):
    values = [scheduled_sparsity(step, first, first + length, final) for step in range(first + length + 2)]
    assert values == sorted(values)
    assert values[-1] == final


def test_training_prunes_by_the_schedule_and_holds_it(images):
    model, recorder = network(), Recorder()
    pruning = GradualPruning(TARGETS, begin=0.2, end=0.6, every=3)
    fit(model, *images, SETTINGS, seed=0, callbacks=[pruning, recorder], **SCALE)
    totals = [layer.blocks for layer in sparsity_report(model, TARGETS).layers]
    for step, zeros in enumerate(recorder.blocks, start=1):
        latest = 0 if step < 4 else 12 if step >= 12 else step - (step - 4) % 3
        for zero, total, target in zip(zeros, totals, TARGETS.values(), strict=True):
            sparsity = scheduled_sparsity(latest, 4, 12, target.sparsity)
            assert zero == int(sparsity * total + 0.5), (step, total)
    assert recorder.average_blocks == recorder.blocks
    report = sparsity_report(model, TARGETS)
    assert [layer.zero_blocks for layer in report.layers] == recorder.blocks[-1]


def test_pruned_blocks_stay_pruned(images):
    model, zeros = network(), []

    class Keep(Recorder):
        def on_step(self, state):
            zeros.append(state.model[5].weight == 0)

    pruning = GradualPruning(TARGETS, begin=0.0, end=1.0, every=2)
    fit(model, *images, SETTINGS, seed=0, callbacks=[pruning, Keep()], **SCALE)
    assert all(bool((later | ~earlier).all()) for earlier, later in pairwise(zeros))


def test_pruning_at_once_is_one_shot_and_then_holds(images):
    model, reference = network(), network()
    masks = one_shot(reference, TARGETS)
    fit(model, *images, SETTINGS, seed=0, callbacks=[GradualPruning(TARGETS, begin=0.0, end=0.0)], **SCALE)
    for name, mask in masks.items():
        weight = model.get_submodule(name).weight
        assert torch.equal(weight != 0, mask != 0)
        assert not torch.equal(weight, reference.get_submodule(name).weight)


@pytest.mark.parametrize("crash_at", [2, 3, 5])
def test_an_interrupted_run_resumes_to_the_same_weights(images, tmp_path, crash_at):
    def callbacks(*more):
        return [GradualPruning(TARGETS, begin=0.1, end=0.7, every=3), *more]

    whole, resumed = network(), network(seed=7)
    fit(whole, *images, SETTINGS, seed=0, callbacks=callbacks(), **SCALE)
    arguments = {"seed": 0, "checkpoint": tmp_path / "run.safetensors", **SCALE}
    with pytest.raises(KeyboardInterrupt):
        fit(
            network(),
            *images,
            SETTINGS,
            callbacks=callbacks(Recorder(crash_at)),
            checkpoint_interval_s=0,
            **arguments,
        )
    fit(resumed, *images, SETTINGS, callbacks=callbacks(), resume=True, **arguments)
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in whole.state_dict().items())


def test_pruned_weights_have_no_gradient(images):
    shares = []

    class Watch(Recorder):
        def on_gradients(self, state):
            for name in TARGETS:
                weight = state.model.get_submodule(name).weight
                assert not weight.grad[weight == 0].any()
            shares.append(float((weight.grad == 0).float().mean()))  # of the last layer

    fit(network(), *images, SETTINGS, seed=0, callbacks=[GradualPruning(TARGETS, end=0.5), Watch()], **SCALE)
    assert shares[0] == 0
    assert shares[-1] == pytest.approx(0.8, abs=0.1)


def test_nothing_is_pruned_before_the_beginning():
    run = Run(network())
    pruning = GradualPruning(TARGETS, begin=0.5, end=0.5)
    before = run.model[5].weight.clone()
    pruning.on_start(run)
    for run.step in range(1, 10):
        pruning.on_step(run)
        assert torch.equal(run.model[5].weight, before)
    run.step = 10
    pruning.on_step(run)
    assert sparsity_report(run.model, TARGETS).layers[2].block_sparsity == pytest.approx(0.8, abs=0.02)


def test_a_run_without_an_average_can_be_pruned():
    run = Run(network())
    GradualPruning(TARGETS, end=0.0).on_start(run)
    assert sparsity_report(run.model, TARGETS).weight_sparsity > 0.5


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"begin": 0.5, "end": 0.2}, "begin = 0.5, end = 0.2; allowed: 0 <= begin <= end <= 1"),
        ({"end": 1.5}, "end = 1.5"),
        ({"begin": -0.1}, "begin = -0.1"),
        ({"every": 0}, "every = 0; allowed: 1 or more steps"),
    ],
)
def test_values_out_of_range_are_refused(arguments, expected):
    with pytest.raises(ConfigError, match=expected):
        GradualPruning(TARGETS, **arguments)


def test_wrong_targets_are_refused_at_the_start():
    with pytest.raises(ConfigError, match="the model has no layer 'x'"):
        GradualPruning({"x": BlockSparsity(0.5, 2)}).on_start(Run(network()))
