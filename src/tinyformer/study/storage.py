"""Where studies are kept: an Optuna journal in the run's folder, or a database that many machines share."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tinyformer.errors import ConfigError, MissingExtraError
from tinyformer.study.locking import lock_file

try:
    import optuna
    import sqlalchemy
    from optuna.storages import BaseStorage, JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend
except ImportError as error:
    raise MissingExtraError("optuna", "search", "the search") from error


_FIRST_BYTES: Final = b'{"op_code":'


class Storage:
    """An open storage; use as a context manager.

    A journal file is locked while it is open, so that whoever opens it knows that every trial still running belongs
    to a dead process. A database is shared: other processes may use it at the same time. ``location`` is the file or
    the URL, without a password.
    """

    def __init__(self, location: str, backend: BaseStorage, journal: _Journal | None = None) -> None:
        self.location = location
        self.backend = backend
        self._journal = journal

    @property
    def shared(self) -> bool:
        """Whether other processes may use it at the same time."""
        return self._journal is None

    def sync(self) -> None:
        """Make everything written so far survive a power failure."""
        if self._journal is not None:
            self._journal.sync()

    def close(self) -> None:
        """Release the file."""
        if self._journal is not None:
            self._journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_storage(location: str | Path) -> Storage:
    """Open or create a storage.

    ``location`` is the path of a journal file, or a database URL as SQLAlchemy understands it (with "://").

    Raises:
        ConfigError: another process uses the file, the file is not a journal, or the database cannot be reached.
    """
    optuna.logging.disable_default_handler()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if isinstance(location, str) and "://" in location:
        return _open_database(location)
    path = Path(location)
    path.parent.mkdir(parents=True, exist_ok=True)
    journal = _Journal(path)
    try:
        return Storage(str(path), JournalStorage(journal), journal)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        journal.close()
        raise ConfigError(f"{path}: damaged study journal; move it away or choose another folder") from error


def _open_database(url: str) -> Storage:
    try:
        return Storage(sqlalchemy.make_url(url).render_as_string(hide_password=True), _created(url))
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConfigError(f"study database: cannot be opened ({reason}); check the URL and its driver") from error


def _created(url: str) -> RDBStorage:
    """Return the database with its tables, which another process may be creating at the same moment."""
    for pause_s in (0.1, 0.5, 2.0):
        try:
            return RDBStorage(url)
        except sqlalchemy.exc.SQLAlchemyError as error:
            if not isinstance(error, sqlalchemy.exc.IntegrityError) and "already exists" not in str(error):
                raise
            time.sleep(pause_s)
    return RDBStorage(url)


class _Journal(JournalFileBackend):
    """Optuna's journal format, written by one process at a time.

    Optuna's own backend locks the file and syncs the disk for each record, and appends to the line that a killed
    process left unfinished, which spoils the file. Here the lock is held while the file is open and ends with the
    process, an unfinished last line is cut off, and the disk is synced when a trial ends.
    """

    def __init__(self, path: Path) -> None:
        self._lock_file = lock_file(path.with_name(path.name + ".lock"))
        self._file = path.open("ab")
        try:
            _cut_unfinished_line(path)
        except ConfigError:
            self.close()
            raise
        super().__init__(str(path))

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Write records, one line each, through to the operating system."""
        self._file.write("".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode())
        self._file.flush()

    def sync(self) -> None:
        """Write the file through to the disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file, then give up the lock."""
        self._file.close()
        self._lock_file.close()


def _cut_unfinished_line(path: Path) -> None:
    content = path.read_bytes()
    if not content.startswith(_FIRST_BYTES[: len(content)]):
        raise ConfigError(f"{path}: not a study journal; move it away or choose another folder")
    if content and not content.endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)
