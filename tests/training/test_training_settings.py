from dataclasses import replace

import pytest

from tinyformer.errors import ConfigError
from tinyformer.training import PAPER, PRESETS, TrainingSettings, learning_rate


def test_the_paper_preset_is_the_papers_recipe():
    assert (PAPER.epochs, PAPER.batch_size, PAPER.optimizer) == (300, 128, "adamw")
    assert (PAPER.label_smoothing, PAPER.warmup_epochs) == (0.1, 10)
    rates = [learning_rate(PAPER, step, 390) for step in range(300 * 390)]
    assert rates[0] == pytest.approx(1e-5)
    assert max(rates) == rates[10 * 390] == pytest.approx(55e-5)
    assert rates[-1] == pytest.approx(5.5e-5)
    assert rates[: 10 * 390] == sorted(rates[: 10 * 390])
    assert rates[10 * 390 :] == sorted(rates[10 * 390 :], reverse=True)


def test_the_middle_of_warm_up_and_cosine():
    settings = TrainingSettings(epochs=3, initial_lr=0.1, peak_lr=0.5, warmup_epochs=1, final_lr_ratio=0.2)
    assert learning_rate(settings, 5, 10) == pytest.approx(0.3)
    assert learning_rate(settings, 10, 10) == pytest.approx(0.5)
    assert learning_rate(settings, 19, 10) == pytest.approx(0.3, abs=0.02)
    assert learning_rate(settings, 29, 10) == pytest.approx(0.1)


@pytest.mark.parametrize("warmup", [0, 0.25, 1])
def test_the_shortest_runs_have_a_rate(warmup):
    settings = TrainingSettings(epochs=1, peak_lr=0.5, warmup_epochs=warmup)
    assert 0 <= learning_rate(settings, 0, 1) <= 0.5
    assert learning_rate(replace(settings, warmup_epochs=0), 0, 1) == 0.5


def test_presets_have_names():
    assert set(PRESETS) == {"paper", "strong", "digits"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"optimizer": "adam"},
        {"peak_lr": 0.0},
        {"initial_lr": 1.0},
        {"warmup_epochs": 11},
        {"final_lr_ratio": 1.5},
        {"weight_decay": -1.0},
        {"label_smoothing": 1.0},
        {"ema_decay": 1.0},
        {"augmentation": "blur"},
        {"precision": "fp16"},
        {"gradient_clip": -1.0},
        {"distillation": 2.0},
        {"temperature": 0.0},
        {"validate_every": 0},
    ],
)
def test_values_out_of_range_are_named(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ConfigError, match=rf"training settings: {name} = {value}; allowed: "):
        TrainingSettings(**{"epochs": 10, **wrong})
