"""The command that an interrupted run is told to go on with."""

from pathlib import Path

from tinyformer.cli.run_command import to_resume
from tinyformer.pipeline import Machines

OUT = Path("runs/x")


def test_it_has_the_options_that_were_given() -> None:
    assert to_resume("run", None, OUT, Machines(), {"--force": False}) == "tinyformer run --out runs/x --resume"
    options = {"--preset": "small", "--force": True, "--tensorboard": False}
    assert to_resume("search", Path("a.toml"), OUT, Machines(ray="auto", trial_cpus=2, trial_gpus=0.5), options) == (
        "tinyformer search a.toml --out runs/x --resume --ray auto --trial-cpus 2 --trial-gpus 0.5"
        " --preset small --force"
    )


def test_it_names_no_password() -> None:
    machines = Machines("postgresql://me:secret@host/x")
    assert to_resume("run", None, OUT, machines, {}) == "tinyformer run --out runs/x --resume --storage URL"


def test_paths_with_spaces_are_quoted() -> None:
    assert to_resume("run", Path("my run.toml"), Path("my runs"), Machines(), {}) == (
        "tinyformer run 'my run.toml' --out 'my runs' --resume"
    )
