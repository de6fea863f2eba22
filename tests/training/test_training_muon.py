from math import sqrt

import pytest
import torch
from torch import nn

from tinyformer.training import TrainingSettings, fit, optimizers
from tinyformer.training.muon import MUON, orthogonal
from tinyformer.training.settings import OPTIMIZERS

SCALE = {"mean": 100.0, "std": 60.0, "seed": 5}


def matrices(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 16, 4, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 3)
        )


@pytest.mark.parametrize("shape", [(32, 32), (24, 200), (200, 24)])
def test_an_orthogonal_matrix_points_where_the_gradient_points(shape):
    gradient = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    u, _, v = torch.linalg.svd(gradient, full_matrices=False)
    singular = (u.T @ orthogonal(gradient) @ v.T).diagonal()
    assert singular.min() > 0.3
    assert singular.max() < 1.3


def test_a_zero_gradient_moves_nothing():
    assert not orthogonal(torch.zeros(16, 16)).any()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_of_the_settings_can_be_built(name):
    model = matrices()
    optimizer = optimizers.build(name, model, 0.1, 0.5)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(model.parameters()))


def test_only_matrices_are_muons():
    model = matrices()
    model.append(nn.Conv2d(32, 32, 3, groups=32))
    optimizer = optimizers.build("muon", model, 0.1, 0.5)
    by_muon = {id(p) for group in optimizer.param_groups if group[MUON] for p in group["params"]}
    assert by_muon == {id(model[0].weight), id(model[3].weight)}
    assert not any(group[MUON] for group in optimizers.build("adamw", model, 0.1, 0.5).param_groups)


def test_the_first_step_follows_its_formula():
    model = matrices()
    weight = model[3].weight
    optimizer = optimizers.build("muon", model, 0.1, 0.5)
    before, gradient = weight.detach().clone(), torch.randn(24, 64, generator=torch.Generator().manual_seed(2))
    weight.grad = gradient.clone()
    optimizer.step()
    update = orthogonal(gradient) * 0.2 * sqrt(64)
    torch.testing.assert_close(weight.detach(), before * (1 - 0.1 * 0.5) - 0.1 * update, atol=1e-4, rtol=0)


def test_a_tiny_set_is_learnt_by_heart(bars):
    settings = TrainingSettings(epochs=12, batch_size=16, optimizer="muon", peak_lr=2e-2)
    assert fit(matrices(), *bars, settings, validation=bars, **SCALE).rows[-1].validation_accuracy == 1.0


def test_an_interrupted_run_resumes_to_the_same_weights(bars, tmp_path):
    class Crash:
        def on_start(self, state): ...
        def on_gradients(self, state): ...
        def on_step(self, state): ...
        def on_epoch(self, state):
            if state.epoch == 3:
                raise KeyboardInterrupt

    settings = TrainingSettings(epochs=4, batch_size=16, optimizer="muon", peak_lr=1e-2, ema_decay=0.9)
    arguments = {"checkpoint": tmp_path / "run.safetensors", "checkpoint_interval_s": 0.0, "resume": True, **SCALE}
    whole, resumed = matrices(), matrices(7)
    fit(whole, *bars, settings, **SCALE)
    with pytest.raises(KeyboardInterrupt):
        fit(matrices(), *bars, settings, callbacks=[Crash()], **arguments)
    fit(resumed, *bars, settings, **arguments)
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)
