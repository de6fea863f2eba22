import csv
import json
from math import isnan

import pytest

from tinyformer.errors import ConfigError, DataError
from tinyformer.training import LogFile, TrainingSettings, fit, read_log

SCALE = {"mean": 60.0, "std": 60.0}
SETTINGS = TrainingSettings(epochs=2, batch_size=16, peak_lr=1e-2, validate_every=2)


def test_logs_are_written_as_csv_and_jsonl(net, bars, tmp_path):
    log = fit(net(), *bars, SETTINGS, seed=0, validation=bars, **SCALE)
    log.write(tmp_path / "log.csv")
    log.write(tmp_path / "log.jsonl")
    with (tmp_path / "log.csv").open() as file:
        table = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in table] == ["1", "2"]
    assert table[0]["validation_accuracy"] == ""
    assert lines[0]["validation_accuracy"] is None
    assert lines[1]["loss"] == log.rows[1].loss == float(table[1]["loss"])
    assert not any(isnan(row.seconds) for row in log.rows)
    with pytest.raises(ConfigError, match=r"ending '.txt'; allowed: .csv, .jsonl"):
        log.write(tmp_path / "log.txt")


def test_a_log_is_read_back(net, bars, tmp_path):
    log = fit(net(), *bars, SETTINGS, seed=0, validation=bars, **SCALE)
    log.write(tmp_path / "log.csv")
    assert read_log(tmp_path / "log.csv") == log.rows
    assert read_log(tmp_path / "none.csv") == ()


@pytest.mark.parametrize("text", ["epoch,loss\n1,2\n", "epoch\nx\n"])
def test_a_damaged_log_is_refused(tmp_path, text):
    path = tmp_path / "log.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=r"log.csv.*train again"):
        read_log(path)


def test_a_log_file_grows_with_the_run(net, bars, tmp_path):
    path, lengths = tmp_path / "log.csv", []

    class Look:
        def on_start(self, state): ...
        def on_gradients(self, state): ...
        def on_step(self, state): ...
        def on_epoch(self, state):
            lengths.append(len(read_log(path)))

    log = fit(net(), *bars, SETTINGS, seed=0, callbacks=[LogFile(path), Look()], **SCALE)
    assert lengths == [1, 2]
    assert read_log(path) == log.rows
    assert [file.name for file in tmp_path.iterdir()] == ["log.csv"]
