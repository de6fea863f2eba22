"""Where a run keeps its studies: a journal in its folder, or a database that other processes use too."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tinyformer import study
from tinyformer.errors import ConfigError
from tinyformer.pipeline.folder import write_text

JOURNAL = "search.log"
DATABASE = "search.database"  # names the database, without its password


@dataclass(frozen=True, slots=True)
class Studies:
    """A run's open storage, and what its studies are called there: in a database runs of several names may lie."""

    storage: study.Storage
    prefix: str

    def name(self, stage: str) -> str:
        """Return the name of a stage's study."""
        return f"{self.prefix}{stage}"

    def trials(self, stage: str) -> tuple[study.Trial, ...]:
        """Return the trials of a stage's study."""
        return study.read_trials(self.storage)[self.name(stage)]


@contextmanager
def open_studies(directory: Path, run_name: str, database: str | None) -> Iterator[Studies]:
    """Open a run's studies.

    Args:
        directory: the run's folder.
        run_name: of the run; runs of one name share their studies in a database.
        database: its URL; None for a journal in the folder.

    Raises:
        ConfigError: the folder's studies are kept elsewhere, or the storage cannot be opened.
    """
    journal, marker = directory / JOURNAL, directory / DATABASE
    kept = marker.read_text(encoding="utf-8").strip() if marker.exists() else None
    if database is None:
        if kept is not None:
            raise ConfigError(f"{directory}: its trials are kept in {kept}; give its URL with --storage")
        with study.open_storage(journal) as storage:
            yield Studies(storage, "")
        return
    if journal.exists():
        raise ConfigError(f"{directory}: its trials are kept in {journal.name}; leave --storage out")
    with study.open_storage(database) as storage:
        if kept not in {None, storage.location}:
            raise ConfigError(f"{directory}: its trials are kept in {kept}, not in {storage.location}")
        write_text(marker, f"{storage.location}\n")
        yield Studies(storage, f"{run_name}/")
