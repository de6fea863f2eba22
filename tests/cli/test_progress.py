"""Bars of stages, and of trainings inside them that come and go."""

from tinyformer.cli.progress import TerminalProgress


def test_stages_after_a_training_begin_and_end() -> None:
    with TerminalProgress() as progress:
        progress.stage("search", 2)
        for _ in range(2):
            for step in range(1, 4):
                progress.training(step, 3, "epoch 1 of 1")
        progress.stage("fine-tuning")
        progress.training(1, 3, "ends early")
        progress.stage("proof", 1)
        progress.advance(1)
