"""What a search runs on: this process, processes that share a database, or a Ray cluster."""

from __future__ import annotations

from dataclasses import dataclass

from tinyformer import study
from tinyformer.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Machines:
    """What a search runs on.

    Attributes:
        database: URL of the database that keeps the trials; None for a journal in the run's folder.
        ray: evaluate on Ray: "auto", "local" or a cluster's address; None for this process.
        trial_cpus: processors that an evaluation takes on Ray.
        trial_gpus: GPUs that one takes; several share one when it is a part.
    """

    database: str | None = None
    ray: str | None = None
    trial_cpus: int = 1
    trial_gpus: float = 0.0

    def __post_init__(self) -> None:
        if self.ray is None and (self.trial_cpus, self.trial_gpus) != (1, 0.0):
            raise ConfigError("--trial-cpus and --trial-gpus say what a trial takes on Ray: give --ray too")
        if self.trial_cpus < 1 or self.trial_gpus < 0:
            raise ConfigError(
                f"--trial-cpus {self.trial_cpus}, --trial-gpus {self.trial_gpus:g}; allowed: 1 or more, 0 or more"
            )

    def executor(self) -> study.RayExecutor | None:
        """Return where evaluations run, to be used as a context manager; None for this process."""
        if self.ray is None:
            return None
        return study.RayExecutor(self.ray, cpus_per_evaluation=self.trial_cpus, gpus_per_evaluation=self.trial_gpus)
