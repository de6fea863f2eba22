"""A run that was interrupted resumes to the same result; checkpoints that do not belong to it are refused."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from torch import nn

from tinyformer.errors import ConfigError, DataError
from tinyformer.training import checkpoint as checkpoints
from tinyformer.training import fit
from training_runs import SCALE, SETTINGS, Watch, same_weights


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("crash_at", [2, 4])
def test_an_interrupted_run_resumes_to_the_same_weights(net, bars, tmp_path, optimizer, crash_at):
    settings = replace(SETTINGS, optimizer=optimizer)
    whole, broken = net(), net()
    expected = fit(whole, *bars, settings, seed=5, validation=bars, **SCALE)
    arguments = {"seed": 5, "validation": bars, "checkpoint": tmp_path / "run.safetensors", **SCALE}
    with pytest.raises(KeyboardInterrupt):
        fit(broken, *bars, settings, callbacks=[Watch(crash_at=crash_at)], checkpoint_interval_s=0, **arguments)
    resumed, watch = net(seed=9), Watch()
    log = fit(resumed, *bars, settings, callbacks=[watch], resume=True, **arguments)
    assert watch.calls[0] == ("start", 3 * (crash_at - 1))
    assert same_weights(whole, resumed)
    assert [(r.epoch, r.loss, r.validation_accuracy, r.learning_rate) for r in log.rows] == [
        (r.epoch, r.loss, r.validation_accuracy, r.learning_rate) for r in expected.rows
    ]


def test_a_finished_run_resumes_to_its_result(net, bars, tmp_path):
    arguments = {"seed": 5, "checkpoint": tmp_path / "deep" / "run.safetensors", **SCALE}
    whole, again, watch = net(), net(seed=9), Watch()
    expected = fit(whole, *bars, SETTINGS, **arguments)
    assert fit(again, *bars, SETTINGS, resume=True, callbacks=[watch], **arguments) == expected
    assert same_weights(whole, again)
    assert watch.calls == [("start", 12)]


def test_a_run_without_a_checkpoint_starts_anew(net, bars, tmp_path):
    path = tmp_path / "run.safetensors"
    fit(net(), *bars, SETTINGS, seed=5, checkpoint=path, resume=True, **SCALE)
    assert [p.name for p in tmp_path.iterdir()] == ["run.safetensors"]


def test_another_teacher_is_refused(net, bars, tmp_path):
    arguments = {"seed": 5, "checkpoint": tmp_path / "run.safetensors", **SCALE}
    fit(net(), *bars, SETTINGS, teacher=net(seed=3), **arguments)
    fit(net(), *bars, SETTINGS, teacher=net(seed=3), resume=True, **arguments)
    for teacher in (net(seed=4), None):
        with pytest.raises(ConfigError, match="is of a run with teacher = "):
            fit(net(), *bars, SETTINGS, teacher=teacher, resume=True, **arguments)


def test_without_a_teacher_a_checkpoint_is_what_it_was_before_there_were_any(net, bars, tmp_path):
    path = tmp_path / "run.safetensors"
    fit(net(), *bars, SETTINGS, seed=5, checkpoint=path, **SCALE)
    with safe_open(path, framework="pt") as file:
        assert "teacher" not in json.loads(file.metadata()["tinyformer.training"])["origin"]


KILLED = """
import os, signal, sys
import numpy as np, torch
sys.path[:0] = [sys.argv[1], os.path.dirname(sys.argv[1])]
from conftest import TinyNet
from tinyformer.training import fit
from training_runs import SCALE, SETTINGS

class Kill:
    def on_start(self, state): pass
    def on_gradients(self, state): pass
    def on_step(self, state):
        if state.step == 8:
            os.kill(os.getpid(), signal.SIGKILL)
    def on_epoch(self, state): pass

bars = np.load(sys.argv[2])
fit(TinyNet(), bars["x"], bars["y"], SETTINGS, seed=5, checkpoint=__import__("pathlib").Path(sys.argv[3]),
    checkpoint_interval_s=0, callbacks=[Kill()], **SCALE)
"""


@pytest.mark.slow
def test_a_killed_process_loses_no_finished_epoch(net, bars, tmp_path):
    np.savez(tmp_path / "bars.npz", x=bars[0], y=bars[1])
    path = tmp_path / "run.safetensors"
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(tmp_path / "bars.npz"), str(path)]
    done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False)
    assert done.returncode == -signal.SIGKILL
    whole, resumed, watch = net(), net(seed=9), Watch()
    fit(whole, *bars, SETTINGS, seed=5, **SCALE)
    fit(resumed, *bars, SETTINGS, seed=5, checkpoint=path, resume=True, callbacks=[watch], **SCALE)
    assert watch.calls[0] == ("start", 6)
    assert same_weights(whole, resumed)


def test_a_failed_write_leaves_the_old_checkpoint(net, bars, tmp_path, monkeypatch):
    path = tmp_path / "run.safetensors"
    with pytest.raises(KeyboardInterrupt):
        fit(
            net(),
            *bars,
            SETTINGS,
            seed=5,
            checkpoint=path,
            checkpoint_interval_s=0,
            callbacks=[Watch(crash_at=2)],
            **SCALE,
        )
    before = path.read_bytes()

    def full(_):
        raise OSError("no space left")

    monkeypatch.setattr(checkpoints.os, "fsync", full)
    with pytest.raises(DataError, match=r"cannot be written: no space left"):
        fit(net(), *bars, SETTINGS, seed=5, checkpoint=path, resume=True, **SCALE)
    assert path.read_bytes() == before


def test_checkpoints_wait_for_their_interval(net, bars, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(checkpoints, "write", lambda path, position, *_: written.append(position.epoch))
    for interval_s in (0, 3600):
        fit(net(), *bars, SETTINGS, seed=5, checkpoint=tmp_path / "run", checkpoint_interval_s=interval_s, **SCALE)
    assert written == [1, 2, 3, 4, 4]


def test_a_checkpoint_of_another_run_is_refused(net, bars, tmp_path):
    path = tmp_path / "run.safetensors"
    fit(net(), *bars, SETTINGS, seed=5, checkpoint=path, **SCALE)
    arguments = {"checkpoint": path, "resume": True, **SCALE}
    with pytest.raises(ConfigError, match=r"a run with seed = 5, this one has 6"):
        fit(net(), *bars, SETTINGS, seed=6, **arguments)
    with pytest.raises(ConfigError, match=r"peak_lr = 0.01, this one has 0.02"):
        fit(net(), *bars, replace(SETTINGS, peak_lr=0.02), seed=5, **arguments)
    with pytest.raises(ConfigError, match=r"images = "):
        fit(net(), bars[0][:32], bars[1][:32], SETTINGS, seed=5, **arguments)
    with pytest.raises(DataError, match=r"belongs to another model"):
        fit(net(width=4), *bars, SETTINGS, seed=5, **arguments)


@pytest.mark.parametrize("content", [b"", b"odd", b"\x08\0\0\0\0\0\0\0{}      "])
def test_a_damaged_checkpoint_is_refused(net, bars, tmp_path, content):
    path = tmp_path / "run.safetensors"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"is damaged or none: .*; start without resuming"):
        fit(net(), *bars, SETTINGS, seed=5, checkpoint=path, resume=True, **SCALE)


def test_shared_weights_resume(net, bars, tmp_path):
    def tied(seed=1):
        pair = nn.ModuleList([net(seed=seed), net(seed=seed + 1)])
        pair[1].conv = pair[0].conv
        return pair

    arguments = {"seed": 0, "forward": lambda model, x, step: model[step % 2](x), **SCALE}
    whole, resumed, path = tied(), tied(5), tmp_path / "run.safetensors"
    fit(whole, *bars, SETTINGS, **arguments)
    broken = {"checkpoint": path, "checkpoint_interval_s": 0, "callbacks": [Watch(crash_at=3)]}
    with pytest.raises(KeyboardInterrupt):
        fit(tied(), *bars, SETTINGS, **broken, **arguments)
    fit(resumed, *bars, SETTINGS, checkpoint=path, resume=True, **arguments)
    assert same_weights(whole, resumed)


def test_a_supernet_with_unused_paths_resumes(net, bars, tmp_path):
    def forward(model, images, step):
        return model[min(step // 6, 1)](images)

    def paths():
        return nn.ModuleList([net(seed=1), net(seed=2)])

    arguments = {"seed": 0, "forward": forward, **SCALE}
    whole, resumed = paths(), paths()
    fit(whole, *bars, SETTINGS, **arguments)
    path = tmp_path / "run.safetensors"
    with pytest.raises(KeyboardInterrupt):
        fit(
            paths(),
            *bars,
            SETTINGS,
            checkpoint=path,
            checkpoint_interval_s=0,
            callbacks=[Watch(crash_at=3)],
            **arguments,
        )
    fit(resumed, *bars, SETTINGS, checkpoint=path, resume=True, **arguments)
    assert same_weights(whole, resumed)
