"""Bars of stages, and of trainings inside them that come and go; lines where there is no terminal."""

import re

import pytest
from rich.console import Console

from tinyformer.cli.progress import LineProgress, TerminalProgress, progress_display


def test_stages_after_a_training_begin_and_end() -> None:
    with TerminalProgress(Console(force_terminal=True, stderr=True)) as progress:
        progress.stage("search", 2)
        for _ in range(2):
            for step in range(1, 4):
                progress.training(step, 3, "epoch 1 of 1")
        progress.stage("fine-tuning")
        progress.training(1, 3, "ends early")
        progress.stage("proof", 1)
        progress.advance(1)


def test_without_a_terminal_stages_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_display() as progress:
        progress.stage("search", 2)
        progress.advance(1, note="soon after")
        progress.stage("proof")
    captured = capsys.readouterr()
    assert not captured.out
    assert [line.split(" ", 1)[1] for line in captured.err.splitlines()] == ["search", "proof"]
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in captured.err.splitlines())


def test_a_stage_that_lasts_says_so_once_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    progress = LineProgress(every_s=60, clock=lambda: now)
    progress.stage("sparse search", 3)
    for second in range(1, 131):
        now = float(second)
        progress.training(second, 1000, "epoch 1 of 2")
        if second == 100:
            progress.advance(1, note="accuracy 71.0%")
    lines = [line.split(" ", 1)[1] for line in capsys.readouterr().err.splitlines()]
    assert lines == [
        "sparse search",
        "sparse search; training 60 of 1000, epoch 1 of 2",
        "sparse search 1 of 3, accuracy 71.0%; training 120 of 1000, epoch 1 of 2",
    ]
