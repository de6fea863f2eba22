"""TensorBoard's events: what the writer is told, and what a reader finds in its files."""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tiny_search import RECIPE, SPACE, dataset
from tinyformer import config, pipeline
from tinyformer.errors import ConfigError, MissingExtraError
from tinyformer.pipeline import searching
from tinyformer.pipeline.context import RunContext, Silent
from tinyformer.pipeline.tensorboard import TensorBoard
from tinyformer.training import EpochRow, TrainingState

SETTINGS = replace(RECIPE, epochs=3)


def row(epoch: int, accuracy: float | None = 0.5) -> EpochRow:
    loss = None if accuracy is None else 0.25
    return EpochRow(epoch, 0.01 * epoch, 1.0 / epoch, loss, accuracy, seconds=2.0, images_per_second=100.0 + epoch)


def train(callback: TensorBoard, first: int = 0, last: int = 3, accuracy: float | None = 0.5) -> None:
    """Tell a callback of the epochs after ``first``, as the loop does."""
    state = TrainingState(model=None, average=None, settings=SETTINGS, batch_size=8, steps_per_epoch=1)  # type: ignore[arg-type]
    state.begin(first, first, [row(epoch + 1) for epoch in range(first)])
    callback.on_start(state)
    for epoch in range(first + 1, last + 1):
        callback.on_gradients(state)
        callback.on_step(state)
        state.rows.append(row(epoch, accuracy))
        state.epoch = epoch
        callback.on_epoch(state)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What a writer is told, in the place of tensorboardX's."""
    calls: list[tuple[Any, ...]] = []

    class SummaryWriter:
        def __init__(self, logdir: str, **options: Any) -> None:
            calls.append(("open", Path(logdir).name, options["purge_step"]))

        def add_scalar(self, tag: str, value: float, step: int) -> None:
            calls.append((tag, value, step))

        def close(self) -> None:
            calls.append(("close",))

    module = ModuleType("tensorboardX")
    module.SummaryWriter = SummaryWriter  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tensorboardX", module)
    return calls


def test_every_epoch_is_written(told: list[tuple[Any, ...]], tmp_path: Path) -> None:
    train(TensorBoard(tmp_path / "fine-tuning"))
    assert told[:6] == [
        ("open", "fine-tuning", 1),
        ("loss/training", 1.0, 1),
        ("loss/validation", 0.25, 1),
        ("accuracy/validation", 0.5, 1),
        ("learning_rate", 0.01, 1),
        ("images_per_second", 101.0, 1),
    ]
    assert [call for call in told if call[0] == "learning_rate"] == [("learning_rate", 0.01 * i, i) for i in (1, 2, 3)]
    assert [call[0] for call in told].count("open") == 1
    assert told[-1] == ("close",)


def test_what_there_is_not_is_left_out(told: list[tuple[Any, ...]], tmp_path: Path) -> None:
    train(TensorBoard(tmp_path), accuracy=None)
    assert {call[0] for call in told} == {*("open", "loss/training", "learning_rate", "images_per_second", "close")}


def test_a_training_that_resumes_writes_all_anew(told: list[tuple[Any, ...]], tmp_path: Path) -> None:
    train(TensorBoard(tmp_path), last=2)
    assert ("close",) not in told
    told.clear()
    train(TensorBoard(tmp_path), first=1)
    assert told[0][2] == 1
    assert [call[1:] for call in told if call[0] == "loss/training"] == [(1.0, 1), (1 / 2, 2), (1 / 3, 3)]


def test_a_training_that_has_ended_opens_nothing(told: list[tuple[Any, ...]], tmp_path: Path) -> None:
    train(TensorBoard(tmp_path), first=3)
    assert told == []


def test_without_the_package_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(
        MissingExtraError, match=r"--tensorboard needs .*pip install 'tinyformer\[tensorboard\]'"
    ) as error:
        pipeline.run(config.demo(), tmp_path / "out", tensorboard=True)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())  # it is known before anything is written


def test_trainings_on_ray_are_not_recorded(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--tensorboard with --ray"):
        pipeline.search(config.demo(), tmp_path / "out", machines=pipeline.Machines(ray="local"), tensorboard=True)
    assert not list(tmp_path.iterdir())


def test_a_training_has_a_folder_of_its_own_if_it_is_to_be_recorded(tmp_path: Path) -> None:
    for wanted in (True, False):
        watch = searching._watch(RunContext(config.demo(), tmp_path, Silent(), wanted))
        assert watch is not None
        recorders = [callback for callback in watch("candidate-0003-pruning") if isinstance(callback, TensorBoard)]
        folder = tmp_path / "tensorboard" / "candidate-0003-pruning"
        assert [recorder._directory for recorder in recorders] == [folder] * wanted


def events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Read event files as TensorBoard does: in order, and a start voids the steps from its own on."""
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    found: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for file in sorted(folder.iterdir()):
        data, offset = file.read_bytes(), 0
        while offset < len(data):  # length in 8 bytes, its checksum in 4, the event, its checksum in 4
            length = int.from_bytes(data[offset : offset + 8], "little")
            event = Event.FromString(data[offset + 12 : offset + 12 + length])
            offset += 16 + length
            if event.session_log.status == SessionLog.START:
                for tag, values in found.items():
                    found[tag] = [(step, value) for step, value in values if step < event.step]
            for value in event.summary.value:
                found[value.tag].append((event.step, value.simple_value))
    return dict(found)


def test_the_files_hold_every_epoch_once(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="needs the tensorboard extra")
    killed = TensorBoard(tmp_path)
    train(killed, last=2)
    killed._writer.close()  # all that it had is on the disk
    train(TensorBoard(tmp_path), first=1)  # goes on from its checkpoint, in the same second
    assert len(list(tmp_path.iterdir())) == 2
    found = events(tmp_path)
    assert set(found) == {
        *("loss/training", "loss/validation", "accuracy/validation", "learning_rate", "images_per_second")
    }
    for values in found.values():
        assert [step for step, _ in values] == [1, 2, 3]
    assert [value for _, value in found["loss/training"]] == pytest.approx([1, 1 / 2, 1 / 3])
    assert [value for _, value in found["images_per_second"]] == [101, 102, 103]


def test_the_loop_tells_it_what_the_log_holds(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX", reason="needs the tensorboard extra")
    import numpy as np
    import torch

    from tinyformer.search_space import sample_path, sample_supernet
    from tinyformer.supernet import SinglePathModel
    from tinyformer.training import fit

    data, rng = dataset(), np.random.default_rng(0)
    supernet = sample_supernet(SPACE, rng)
    model = SinglePathModel(supernet, sample_path(supernet, rng), torch.Generator().manual_seed(0))
    log = fit(
        model,
        data.x_train,
        data.y_train,
        replace(SETTINGS, epochs=2),
        mean=data.mean,
        std=data.std,
        seed=0,
        validation=(data.x_val, data.y_val),
        callbacks=[TensorBoard(tmp_path)],
    )
    found = events(tmp_path)
    assert [value for _, value in found["accuracy/validation"]] == pytest.approx(
        [row.validation_accuracy for row in log.rows]
    )
    assert [value for _, value in found["loss/training"]] == pytest.approx([row.loss for row in log.rows])
