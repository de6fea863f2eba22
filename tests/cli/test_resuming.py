"""The command that an interrupted run is told to go on with."""

from pathlib import Path

from tinyformer.cli.run_command import to_resume
from tinyformer.pipeline import Machines


def test_it_has_the_options_that_were_given_and_no_password() -> None:
    out = Path("runs/x")
    assert to_resume(out, Machines(), tensorboard=False) == "--out runs/x --resume"
    assert to_resume(out, Machines("postgresql://me:secret@host/x"), True) == (
        "--out runs/x --resume --storage URL --tensorboard"
    )
    assert to_resume(out, Machines(ray="auto", trial_cpus=2, trial_gpus=0.5), tensorboard=False) == (
        "--out runs/x --resume --ray auto --trial-cpus 2 --trial-gpus 0.5"
    )
