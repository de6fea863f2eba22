"""A run's folder: who owns it, and files that are written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tinyformer.config import RunConfig, load
from tinyformer.errors import ConfigError
from tinyformer.pipeline.context import RunContext
from tinyformer.study import lock_file

RUN_FILE = "run.toml"
LOCK = "run.lock"
PART = ".part"  # of files that are being written, or were when their process was killed


def open_folder(run: RunContext, resume: bool) -> None:
    """Create the run's folder, or check that it belongs to the same run; a mistake in the run file leaves none behind.

    Raises:
        ConfigError: it holds another run, a run that is not to be resumed, or other things.
        TinyFormerError: what the run file names cannot be had.
    """
    directory, resolved = run.directory, run.directory / RUN_FILE
    text = _toml(run.config.resolved())
    if resolved.exists() and not _is_untouched(directory):
        if not resume:
            raise ConfigError(f"{directory} holds a run: go on with --resume, or choose another folder")
        if not _goes_on(resolved, run.config):
            raise ConfigError(
                f"{directory} holds a run of another run file: choose another folder; only [finetune], [verify] and a"
                " larger number of candidates may change"
            )
    elif directory.exists() and not directory.is_dir():
        raise ConfigError(f"{directory} is a file: choose a folder")
    elif directory.exists() and not _is_untouched(directory):
        raise ConfigError(f"{directory} is not empty and holds no run: choose another folder")
    run.prepare()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        write_text(resolved, text)
    except OSError as error:
        raise ConfigError(f"{directory}: {error.strerror or error}; choose another folder") from error


def _is_untouched(directory: Path) -> bool:
    """Say whether a folder is empty or holds a run file alone, as a run leaves that ended before its search began."""
    return all(path.suffix == PART or path.name == RUN_FILE for path in directory.iterdir())


def _goes_on(resolved: Path, config: RunConfig) -> bool:
    """Say whether a configuration goes on with a folder's run; keys that its file does not have are the defaults."""
    try:
        return config.extends(load(resolved))
    except ConfigError:
        return False


@contextmanager
def locked(directory: Path, *, wait: bool) -> Iterator[None]:
    """Keep other processes from what one process does to a run's folder; ``wait`` until they have done it.

    Raises:
        ConfigError: another process does, and this one is not to wait.
    """
    with lock_file(directory / LOCK, wait=wait):
        yield


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    beside = path.with_name(f"{path.name}.{os.getpid()}{PART}")  # other processes may write the same file
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def _toml(table: dict[str, Any], prefix: str = "") -> str:
    """Return a table as TOML; strings, numbers, booleans, lists and tables are all that a run file holds."""
    plain = {key: value for key, value in table.items() if not isinstance(value, dict)}
    lines = [f"{key} = {_toml_value(value)}" for key, value in plain.items()]
    for key, value in table.items():
        if isinstance(value, dict):
            lines += ["", f"[{prefix}{key}]", _toml(value, f"{prefix}{key}.").rstrip("\n")]
    return "\n".join(lines).strip("\n") + "\n"


def _toml_value(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml_value(item)}" for key, item in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)  # TOML has no escapes in pairs
