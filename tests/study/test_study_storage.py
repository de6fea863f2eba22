"""Where studies are kept: locks, damage, databases, and processes that die."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from tinyformer.errors import ConfigError
from tinyformer.study import Study, open_storage, read_trials
from tinyformer.study import study as study_module


def finish(study: Study, count: int, objective: float = 1.0) -> None:
    trial = study.ask(count)
    assert trial is not None
    trial.choose("x", range(100))
    study.finish(trial, objective)


def test_a_journal_is_used_by_one_search_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "run" / "study.jsonl"
    with open_storage(path), pytest.raises(ConfigError, match="in use by another process"):
        open_storage(path)
    open_storage(path).close()


@pytest.mark.parametrize("damage", ['{"op_code":4,"worker', "\x00\x00\x00"])
def test_an_unfinished_last_line_is_cut_off(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "study.jsonl"
    with open_storage(path) as storage, Study(storage, "s") as study:
        finish(study, 3)
    whole = path.read_bytes()
    path.write_bytes(whole + damage.encode())
    with open_storage(path) as storage, Study(storage, "s") as study:
        assert path.read_bytes().startswith(whole)
        finish(study, 3)
    with open_storage(path) as storage, Study(storage, "s") as study:
        assert [trial.index for trial in study.trials()] == [0, 1]


def test_a_journal_cut_anywhere_resumes_to_the_same_end(tmp_path: Path) -> None:
    def run(path: Path) -> list[object]:
        with open_storage(path) as storage, Study(storage, "s", seed=4) as study:
            for _ in range(3):
                if not study.ended(3):
                    finish(study, 3)
            return [(trial.index, trial.params, trial.objective) for trial in study.trials()]

    path = tmp_path / "study.jsonl"
    expected = run(path)
    whole = path.read_bytes()
    for size in range(0, len(whole), 41):
        path.write_bytes(whole[:size])
        assert run(path) == expected


def test_trials_are_read_without_resuming(tmp_path: Path) -> None:
    with open_storage(tmp_path / "study.jsonl") as storage:
        with Study(storage, "a", seed=1) as study:
            finish(study, 3)
            assert study.ask(3) is not None
            expected = study.trials()
            assert read_trials(storage) == {"a": expected}
        Study(storage, "b").close()
        assert read_trials(storage) == {"a": expected[:1], "b": ()}


@pytest.mark.parametrize("text", ["epoch,accuracy\n1,0.5", "x"])
def test_another_file_is_refused_and_left_alone(text: str, tmp_path: Path) -> None:
    path = tmp_path / "study.jsonl"
    path.write_text(text)
    for _ in range(2):
        with pytest.raises(ConfigError, match="not a study journal"):
            open_storage(path)
    assert path.read_text() == text


def test_a_journal_damaged_inside_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.jsonl"
    with open_storage(path) as storage, Study(storage, "s") as study:
        finish(study, 3)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], lines[3][:20] + b"\n", *lines[4:]]))
    with pytest.raises(ConfigError, match="damaged study journal"):
        open_storage(path)


def test_a_database_is_shared(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    with (
        open_storage(url) as one,
        open_storage(url) as two,
        Study(one, "s", seed=1) as a,
        Study(two, "s", seed=1) as b,
    ):
        first, second = a.ask(2), b.ask(2)
        assert first is not None
        assert second is not None
        assert (first.index, second.index) == (0, 1)
        assert a.ask(2) is None
        b.finish(second, 1.0)
        assert not a.ended(2)
        a.finish(first, 2.0)
        assert b.ended(2)
        assert b.trials() == a.trials()


def test_in_a_database_a_silent_process_is_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    monkeypatch.setattr(study_module, "BEAT_S", 3600)
    with open_storage(url) as storage:
        silent = Study(storage, "s")
        assert silent.ask(1) is not None
        with Study(storage, "s") as study:
            assert study.ask(1) is None
            monkeypatch.setattr(study_module, "DEAD_AFTER_S", 0.05)
            time.sleep(0.1)
            again = study.ask(1)
            assert again is not None
            assert again.index == 0
        silent.close()


def test_a_process_that_beats_is_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study_module, "BEAT_S", 0.05)
    monkeypatch.setattr(study_module, "DEAD_AFTER_S", 0.4)
    url = f"sqlite:///{tmp_path / 'study.db'}"
    with open_storage(url) as storage, Study(storage, "s") as working, Study(storage, "s") as study:
        assert working.ask(1) is not None
        time.sleep(0.6)
        assert study.ask(1) is None


def test_of_two_processes_that_take_one_trial_the_first_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    with open_storage(url) as storage, Study(storage, "s") as a, Study(storage, "s") as b:
        first = a.ask(2)
        counted = b._counted

        def before_a_took_its_trial() -> list[Any]:
            monkeypatch.setattr(b, "_counted", counted)
            return []

        monkeypatch.setattr(b, "_counted", before_a_took_its_trial)
        second = b.ask(2)
        assert first is not None
        assert second is not None
        assert (first.index, second.index) == (0, 1)


@pytest.mark.parametrize("url", ["sqlite:////nowhere/at/all.db", "nosuch://host/db"])
def test_a_database_that_cannot_be_opened(url: str) -> None:
    with pytest.raises(ConfigError, match="study database: cannot be opened"):
        open_storage(url)


@pytest.mark.slow
def test_a_killed_process_loses_no_finished_trial(tmp_path: Path) -> None:
    path = tmp_path / "study.jsonl"
    script = """
        import sys, time
        from tinyformer.study import Study, open_storage
        with open_storage(sys.argv[1]) as storage, Study(storage, "s", seed=9) as study:
            while (trial := study.ask(40)) is not None:
                x = trial.choose("x", range(1000))
                print(trial.index, flush=True)
                time.sleep(0.002)
                study.finish(trial, float(x))
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(path)]
    ended = 0
    for until in (5, 17):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == until:
                os.kill(process.pid, signal.SIGKILL)
                break
        process.wait()
        with open_storage(path) as storage, Study(storage, "s", seed=9) as study:
            assert len(study.trials()) >= max(until, ended)
            ended = len(study.trials())
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with open_storage(path) as storage, Study(storage, "s", seed=9) as study:
        found = [(trial.index, trial.params["x"], trial.objective) for trial in study.trials()]
    with open_storage(tmp_path / "whole.jsonl") as storage, Study(storage, "s", seed=9) as study:
        expected = []
        while (trial := study.ask(40)) is not None:
            x = trial.choose("x", range(1000))
            expected.append((trial.index, x, float(x)))
            study.finish(trial, float(x))
    assert found == expected
