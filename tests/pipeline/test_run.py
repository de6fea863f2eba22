"""The whole run, small: its result, its folder, and that a kill at any moment loses nothing."""

import hashlib
import json
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from small_run import RUN_FILE
from tinyformer import config, pipeline
from tinyformer.errors import ConfigError, DataError, DoesNotFitError
from tinyformer.pipeline import folder, proving
from tinyformer.pipeline.context import RunContext, Silent
from tinyformer.sparse_engine import compiler

# not in a result twice: versions of tools and times are the machine's
STABLE = ("accuracy", "bit_exact", "nonzero_weights", "flash_bytes", "ram_bytes", "instructions", "search")


def run_file(directory: Path) -> Path:
    path = directory / "tiny.toml"
    path.write_text(RUN_FILE)
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    directory = tmp_path_factory.mktemp("run")
    settings = config.load(run_file(directory))
    return directory / "out", pipeline.run(settings, directory / "out")


@pytest.mark.slow
def test_result_has_the_documented_keys(finished: tuple[Path, dict[str, Any]]) -> None:
    out, result = finished
    assert json.loads((out / "result.json").read_text()) == json.loads(json.dumps(result))
    assert result["bit_exact"] is True
    assert set(result["accuracy"]) == {"float", "pruned", "int8", "device", "device_samples"}
    assert result["accuracy"]["device_samples"] == 4
    assert sum(layer["instructions"] for layer in result["layers"]) > 0.99 * result["instructions"]
    assert result["flash_bytes"] <= result["limits"]["flash_bytes"]
    assert 0.5 <= result["weight_sparsity"] < 1
    assert any(layer["encoding"].startswith("block_") for layer in result["layers"])
    assert any(layer["op"] == "attention" for layer in result["layers"])
    assert result["search"]["supernets_seen"] == 2
    assert result["search"]["candidates_seen"] == 2
    assert [row["epoch"] for row in result["training"]] == [1, 2]
    for name in ("model.onnx", "run.toml", "bundle/manifest.json", "bundle/image/tiny.elf"):
        assert (out / name).is_file(), name


@pytest.mark.slow
def test_a_checkpoint_is_proven_anew_on_another_board(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    out, before = finished
    settings = config.load(run_file(tmp_path))
    as_it_is = replace(settings.finetune, start=str(out / "checkpoint.safetensors"), ramp_epochs=0, epochs=0)
    changed = {"finetune": as_it_is, "board": "mps2-an500"}
    result = pipeline.run(settings.model_copy(update=changed), tmp_path / "out")
    assert result["board"] == "mps2-an500"
    assert result["training"] == []
    assert result["bit_exact"] is True
    assert result["accuracy"]["pruned"] == pytest.approx(before["accuracy"]["pruned"], abs=0.01)  # halves are rounded


@pytest.mark.slow
def test_a_run_goes_on_from_the_checkpoint_of_another(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    out, before = finished
    start = str(out / "checkpoint.safetensors")
    settings = config.load(run_file(tmp_path))
    longer = replace(settings.finetune, start=start, ramp_epochs=0, epochs=1)
    elsewhere = config.parse({"name": "tiny", "space": {"preset": "large"}}).space  # the model has its own
    result = pipeline.run(settings.model_copy(update={"finetune": longer, "space": elsewhere}), tmp_path / "out")
    assert result["search"]["start"] == start
    assert result["search"]["path"] == before["search"]["path"]
    assert result["bit_exact"] is True
    assert result["weight_sparsity"] == pytest.approx(before["weight_sparsity"], abs=0.01)


def test_a_start_that_is_missing_leaves_no_folder(tmp_path: Path) -> None:
    settings = config.load(run_file(tmp_path))
    nowhere = replace(settings.finetune, start="none.safetensors", ramp_epochs=0, epochs=1)
    with pytest.raises(DataError, match=r"\[finetune\] start: checkpoint none.safetensors: not readable"):
        pipeline.run(settings.model_copy(update={"finetune": nowhere}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_image_s_latency_is_checked_against_the_limit(finished: tuple[Path, dict[str, Any]]) -> None:
    out, result = finished
    need_ms = result["latency_ms_estimated"]

    def context(limit_ms: float) -> RunContext:
        settings = config.parse({"name": "tiny", "limits": {"latency_ms": limit_ms}})
        return RunContext(settings, out, Silent())

    proving.require_latency(context(1.001 * need_ms), out / "bundle")
    with pytest.raises(DoesNotFitError, match=rf"takes {need_ms:.4g} ms, .* allowed are .*\[limits\] latency_ms"):
        proving.require_latency(context(0.999 * need_ms), out / "bundle")


@pytest.mark.slow
def test_a_model_to_start_from_must_have_room_before_it_trains(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    out, result = finished
    table = tomllib.loads((out / "run.toml").read_text())
    table["finetune"] = {"start": str(out / "checkpoint.safetensors"), "epochs": 50, "ramp_epochs": 0}
    table["limits"] = {"ram_kb": result["ram_bytes"] / 1024 / 2}
    with pytest.raises(DoesNotFitError, match=r"start: .*checkpoint.safetensors takes \d+ bytes of RAM, allowed are"):
        pipeline.run(config.parse(table), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_run_learns_from_the_checkpoint_of_another(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """It says from which, and is not taken for a run without one."""
    out, before = finished
    checkpoint = out / "checkpoint.safetensors"
    settings = config.load(run_file(tmp_path))
    taught = replace(settings.finetune, start=str(checkpoint), teacher=str(checkpoint), ramp_epochs=0, epochs=1)
    result = pipeline.run(settings.model_copy(update={"finetune": taught}), tmp_path / "out")
    sha256 = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    assert before["teacher"] is None
    assert result["teacher"] == {"file": str(checkpoint), "sha256": sha256}
    assert sha256 in (tmp_path / "out" / "report.html").read_text()
    assert config.load(tmp_path / "out" / "run.toml").finetune.teacher == str(checkpoint)
    untaught = settings.model_copy(update={"finetune": replace(taught, teacher="")})
    without = pipeline.run(untaught, tmp_path / "out", resume=True)
    assert without["teacher"] is None
    assert without["training"][0]["loss"] != result["training"][0]["loss"]


def test_a_mistake_in_the_teacher_leaves_no_folder_behind(tmp_path: Path) -> None:
    settings = config.parse({"finetune": {"teacher": str(tmp_path / "big.safetensors")}})
    with pytest.raises(ConfigError, match=r"\[finetune\] teacher = .*big.safetensors: No such file"):
        pipeline.run(settings, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_report_is_one_self_contained_page(finished: tuple[Path, dict[str, Any]]) -> None:
    page = (finished[0] / "report.html").read_text()
    assert "bit-exact" in page
    assert '<svg class="memory"' in page
    assert "validation accuracy over epochs" in page
    assert "src=" not in page
    assert "href=" not in page
    for layer in finished[1]["layers"]:
        assert layer["name"] in page


@pytest.mark.slow
def test_the_resolved_run_file_is_the_run(finished: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    resolved = (finished[0] / "run.toml").read_text()
    assert 'preset = "digits"' in resolved
    assert config.load(finished[0] / "run.toml") == config.load(run_file(tmp_path))
    with pytest.raises(ConfigError, match="--resume"):
        pipeline.run(config.parse({}), finished[0])
    with pytest.raises(ConfigError, match="another run file"):
        pipeline.run(config.parse({"seed": 5}), finished[0], resume=True)


def test_a_folder_goes_on_with_what_leaves_its_trials_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "supernas").mkdir()
    (tmp_path / "run.toml").write_text("[sparsenas]\ncandidates = 5\n")

    def go_on(**changed: dict[str, Any]) -> None:
        settings = config.parse({"sparsenas": {"candidates": 5}, **changed})
        folder.open_folder(RunContext(settings, tmp_path, Silent()), resume=True)

    for accepted in (
        {},
        {"sparsenas": {"candidates": 6}},  # each goes on from the one before
        {"sparsenas": {"candidates": 6}, "verify": {"device_samples": 1}},
        {"sparsenas": {"candidates": 6}, "finetune": {"epochs": 400}},
    ):
        go_on(**accepted)
        assert config.load(tmp_path / "run.toml") == config.parse({"sparsenas": {"candidates": 5}, **accepted})
    for refused in ({}, {"sparsenas": {"candidates": 7, "epochs": 11}}, {"supernas": {"supernets": 9}}):
        with pytest.raises(ConfigError, match=r"another run file.*only \[finetune\]"):
            go_on(**refused)


def test_a_run_that_ended_before_its_search_leaves_the_folder_to_another(tmp_path: Path) -> None:
    """Such as one whose space the analysis refused: the run file is changed, and the command given again."""
    for seed in (1, 2):
        folder.open_folder(RunContext(config.parse({"seed": seed}), tmp_path, Silent()), resume=False)
        assert config.load(tmp_path / "run.toml").seed == seed
    (tmp_path / "search.log").touch()
    with pytest.raises(ConfigError, match="--resume"):
        folder.open_folder(RunContext(config.parse({"seed": 2}), tmp_path, Silent()), resume=False)


def test_a_folder_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for out, words in ((tmp_path / "file", "is a file"), (tmp_path / "file" / "out", "Not a directory")):
        with pytest.raises(ConfigError, match=f"{words}.*choose"):
            folder.open_folder(RunContext(config.parse({}), out, Silent()), resume=False)


def test_one_process_at_a_time_finishes_a_run(tmp_path: Path) -> None:
    with (
        folder.locked(tmp_path, wait=False),
        pytest.raises(ConfigError, match="in use by another process"),
        folder.locked(tmp_path, wait=False),
    ):
        pass
    with folder.locked(tmp_path, wait=True):
        pass


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(ConfigError, match="not empty"):
        pipeline.run(config.parse({}), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_what_a_killed_process_was_writing_is_no_other_thing(tmp_path: Path) -> None:
    (tmp_path / "run.toml.123.part").write_text("na")
    context = RunContext(config.parse({}), tmp_path, Silent())
    folder.open_folder(context, resume=True)
    assert config.load(tmp_path / "run.toml") == context.config


def test_a_mistake_in_the_data_leaves_no_folder_behind(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        pipeline.run(config.parse({"data": {"name": "npz", "path": str(tmp_path / "none.npz")}}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_space_that_does_not_suit_the_limits_stops_the_run(tmp_path: Path) -> None:
    settings = config.parse({"analysis": {"samples": 10}, "limits": {"flash_kb": 1000}})
    with pytest.raises(DoesNotFitError, match=r"lower bound.*--force"):
        pipeline.run(settings, tmp_path / "out")


@pytest.mark.full
def test_killed_at_any_moment_a_run_resumes_to_the_same_result(
    tmp_path: Path, finished: tuple[Path, dict[str, Any]]
) -> None:
    """SIGKILL after random times until the run is through; then compare with the uninterrupted one."""
    out = tmp_path / "out"
    program = (
        "import sys; from pathlib import Path; from tinyformer import config, pipeline; "
        "pipeline.run(config.load(Path(sys.argv[1])), Path(sys.argv[2]), resume=True)"
    )
    command = [sys.executable, "-c", program, str(run_file(tmp_path)), str(out)]
    generator = np.random.default_rng(0)
    patience_s, kills = 4.0, 0
    while not (out / "result.json").exists():
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            _, errors = process.communicate(timeout=float(generator.uniform(0.5, 1.0)) * patience_s)
            assert process.returncode == 0, errors.decode()
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += 1
            patience_s *= 1.25  # start-up alone takes seconds; later kills reach later stages
            time.sleep(0.05)
    assert kills >= 3
    resumed = json.loads((out / "result.json").read_text())
    expected = json.loads((finished[0] / "result.json").read_text())
    for key in STABLE:
        assert resumed[key] == expected[key], key


@pytest.mark.slow
def test_the_members_of_a_searchs_front_compile_and_fit_as_predicted(tmp_path: Path) -> None:
    settings = config.load(run_file(tmp_path))
    found = pipeline.search(settings, tmp_path / "out")
    assert [member["accuracy"] for member in found["front"]] == sorted(
        (member["accuracy"] for member in found["front"]), reverse=True
    )
    assert found["front"][0]["index"] == found["best_candidate"]
    assert json.loads((tmp_path / "out" / "search.json").read_text())["front"] == found["front"]
    for member in found["front"]:
        compiled = compiler.compile(
            tmp_path / "out" / member["model"], settings.board, tmp_path / f"{member['index']}", objective="size"
        )
        assert compiled.ram_bytes == member["ram_bytes"]
        assert compiled.flash_bytes is not None
        assert abs(compiled.flash_bytes - member["flash_bytes"]) <= max(1024, 0.01 * member["flash_bytes"])
