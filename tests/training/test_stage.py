from dataclasses import replace

import pytest

from tinyformer.errors import ConfigError
from tinyformer.training import PAPER
from tinyformer.training.stage import stage_recipe


def test_a_stage_of_the_recipe_s_own_length_is_the_recipe() -> None:
    assert stage_recipe(PAPER, PAPER.epochs, PAPER.batch_size, PAPER.peak_lr) == PAPER


def test_warm_up_and_first_rate_keep_their_shares() -> None:
    stage = stage_recipe(PAPER, 30, 64, 11e-4)
    assert (stage.epochs, stage.batch_size, stage.peak_lr) == (30, 64, 11e-4)
    assert stage.warmup_epochs == pytest.approx(1.0)
    assert stage.initial_lr == pytest.approx(2e-5)
    assert replace(stage, epochs=300, batch_size=128, peak_lr=55e-5, warmup_epochs=10, initial_lr=1e-5) == PAPER


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="epochs = 0"):
        stage_recipe(PAPER, 0, 64, 1e-3)
