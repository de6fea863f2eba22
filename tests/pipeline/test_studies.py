"""Where a run's trials are kept: a journal in its folder, or a database that processes share."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from small_run import RUN_FILE
from tinyformer import config, pipeline, study
from tinyformer.errors import ConfigError
from tinyformer.pipeline import folder
from tinyformer.pipeline.context import RunContext, Silent
from tinyformer.pipeline.studies import Studies, open_studies


def a_run(directory: Path, *, resumed: bool = False, **sections: Any) -> RunContext:
    return RunContext(config.parse(sections), directory, Silent(), resumed=resumed)


def trial(studies: Studies) -> None:
    with study.Study(studies.storage, studies.name("stage")) as trials:
        opened = trials.ask(1)
        assert opened is not None
        trials.finish(opened, 0.5)


def test_a_journal_is_the_folders_own(tmp_path: Path) -> None:
    with open_studies(a_run(tmp_path), None) as studies:
        trial(studies)
        assert [record.objective for record in studies.trials("stage")] == [0.5]
    assert {path.name for path in tmp_path.iterdir()} == {"search.log", "search.log.lock"}
    with (
        pytest.raises(ConfigError, match=r"kept in search\.log; leave --storage out"),
        open_studies(a_run(tmp_path), f"sqlite:///{tmp_path}/trials.db"),
    ):
        pass


def test_runs_share_a_database_and_no_trials(tmp_path: Path) -> None:
    """Whatever tells them apart: their names, or what they search."""
    url = f"sqlite:///{tmp_path}/trials.db"
    for index, sections in enumerate(({"name": "one"}, {"name": "two"}, {"name": "one", "board": "nucleo-f746zg"})):
        (tmp_path / str(index)).mkdir()
        with open_studies(a_run(tmp_path / str(index), **sections), url) as studies:
            trial(studies)
            assert len(studies.trials("stage")) == 1
    with study.open_storage(url) as storage:
        assert len(study.read_trials(storage)) == 3


def test_trials_that_are_there_are_not_taken_for_those_of_a_new_run(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/trials.db"
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    with open_studies(a_run(tmp_path / "first"), url) as studies:
        trial(studies)
    with pytest.raises(ConfigError, match="go on in its folder"), open_studies(a_run(tmp_path / "second"), url):
        pass
    with open_studies(a_run(tmp_path / "second", resumed=True), url) as studies:  # as another process of the run does
        assert len(studies.trials("stage")) == 1
    more = {"sparsenas": {"candidates": 60}, "finetune": {"epochs": 500}}
    with open_studies(a_run(tmp_path / "first", resumed=True, **more), url) as studies:
        assert len(studies.trials("stage")) == 1


def test_a_folder_remembers_its_database(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/trials.db"
    with open_studies(a_run(tmp_path), url):
        pass
    for given, words in ((None, "trials.db; give its URL with --storage"), (f"{url}2", r"trials\.db, not in")):
        with pytest.raises(ConfigError, match=words), open_studies(a_run(tmp_path), given):
            pass


def test_a_password_is_not_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/trials.db"
    opened = study.storage.RDBStorage(url)
    monkeypatch.setattr(study.storage, "RDBStorage", lambda _: opened)
    with open_studies(a_run(tmp_path), "postgresql://me:secret@host/trials"):
        pass
    assert (tmp_path / "search.database").read_text() == "postgresql://me:***@host/trials\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"trial_gpus": 1.0}, "give --ray too"),
        ({"ray": "local", "trial_cpus": 0}, "--trial-cpus 0"),
        ({"ray": "local", "trial_gpus": -0.5}, "--trial-gpus -0.5"),
    ],
)
def test_what_a_trial_takes_is_checked(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        pipeline.Machines(**arguments)


@pytest.fixture(scope="module")
def settings() -> config.RunConfig:
    return config.parse(tomllib.loads(RUN_FILE))


@pytest.fixture(scope="module")
def alone(settings: config.RunConfig, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one process finds."""
    return pipeline.search(settings, tmp_path_factory.mktemp("alone"))


@pytest.mark.full
def test_processes_that_share_a_database_search_together(
    settings: config.RunConfig, alone: dict[str, Any], tmp_path: Path
) -> None:
    """Two at once give what one gives, every trial counted once, and a run goes on from their search."""
    file, out, url = tmp_path / "tiny.toml", tmp_path / "shared", f"sqlite:///{tmp_path}/trials.db"
    file.write_text(RUN_FILE)
    folder.open_folder(RunContext(settings, out, Silent()), resume=False)
    program = (
        "import sys; from pathlib import Path; from tinyformer import config, pipeline; "
        "pipeline.search(config.load(Path(sys.argv[1])), sys.argv[2], resume=True, "
        "machines=pipeline.Machines(sys.argv[3]))"
    )
    command = [sys.executable, "-c", program, str(file), str(out), url]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    for process in processes:
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors.decode()
    together = json.loads((out / "search.json").read_text())
    assert together["trials"] == json.loads(json.dumps(alone["trials"]))
    assert (together["supernets_seen"], together["candidates_seen"]) == (2, 2)
    with study.open_storage(url) as storage:
        for name, trials in study.read_trials(storage).items():
            assert [record.index for record in trials] == list(range(len(trials))), name
    result = pipeline.run(settings, out, resume=True, machines=pipeline.Machines(url))
    assert result["search"]["trials"] == alone["trials"]


@pytest.mark.full
def test_on_ray_a_search_gives_what_one_process_gives(
    settings: config.RunConfig, alone: dict[str, Any], tmp_path: Path
) -> None:
    pytest.importorskip("ray")
    found = pipeline.search(settings, tmp_path / "ray", machines=pipeline.Machines(ray="local"))
    for key in ("supernets_seen", "candidates_seen", "path", "sparsity", "best_accuracies"):
        assert found[key] == alone[key], key
    assert [trial["accuracy"] for trial in found["trials"]] == [trial["accuracy"] for trial in alone["trials"]]
