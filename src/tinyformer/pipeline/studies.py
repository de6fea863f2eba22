"""Where a run keeps its studies: a journal in its folder, or a database that other processes use too."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tinyformer import study
from tinyformer.errors import ConfigError
from tinyformer.pipeline.context import RunContext
from tinyformer.pipeline.folder import write_text

JOURNAL = "search.log"
DATABASE = "search.database"  # names the database, without its password


@dataclass(frozen=True, slots=True)
class Studies:
    """A run's open storage, and what its studies are called there: in a database other runs may lie."""

    storage: study.Storage
    prefix: str

    def name(self, stage: str) -> str:
        """Return the name of a stage's study."""
        return f"{self.prefix}{stage}"

    def trials(self, stage: str) -> tuple[study.Trial, ...]:
        """Return the trials of a stage's study."""
        return study.read_trials(self.storage)[self.name(stage)]


@contextmanager
def open_studies(run: RunContext, database: str | None) -> Iterator[Studies]:
    """Open a run's studies.

    Args:
        run: in a database, runs share their studies that search alike.
        database: its URL; None for a journal in the folder.

    Raises:
        ConfigError: the folder's studies are kept elsewhere, the database has the trials of a new run already, or the
            storage cannot be opened.
    """
    directory = run.directory
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
        prefix = f"{run.config.name}-{_digest(run.config.searched())}/"
        if kept is None and not run.resumed and any(name.startswith(prefix) for name in study.read_trials(storage)):
            raise ConfigError(
                f"{storage.location} has the trials of this run: go on in its folder with --resume, or give the run"
                " another name"
            )
        write_text(marker, f"{storage.location}\n")
        yield Studies(storage, prefix)


def _digest(table: Any) -> str:
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()[:12]
