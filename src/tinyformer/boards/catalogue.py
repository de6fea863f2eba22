"""Find a board: one of the built-in ones in boards.toml, or a TOML file of the user's own."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from tinyformer.boards.board import Board, Isa, Memory
from tinyformer.errors import ConfigError

_KEYS: Mapping[str, type] = {
    "title": str,
    "core": str,
    "dsp": bool,
    "fpu": str,
    "clock_hz": int,
    "flash": dict,
    "ram": dict,
    "stack_bytes": int,
    "startup": str,
    "qemu_machine": str,
    "memory_system": str,
}
_OPTIONAL = frozenset({"qemu_machine", "memory_system"})
_MEMORY_KEYS: Mapping[str, type] = {"origin": int, "size_bytes": int}


def names() -> tuple[str, ...]:
    """Return the names of the built-in boards, in the order of boards.toml."""
    return tuple(_catalogue())


def load(name_or_path: str | Path) -> Board:
    """Return a built-in board by name, or read one from a TOML file.

    A file holds the keys of one table of boards.toml at its top level; the board is named after the file.

    Raises:
        ConfigError: there is no such board or file, or the file is malformed or contradicts itself.
    """
    catalogue = _catalogue()
    if str(name_or_path) in catalogue:
        return catalogue[str(name_or_path)]
    path = Path(name_or_path)
    if path.suffix != ".toml":
        raise ConfigError(
            f"board '{name_or_path}' is not known: choose one of {', '.join(catalogue)},"
            " or give the path of a .toml file"
        )
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"board file {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"board file {path} is not TOML: {error}") from error
    return _board(path.stem, table)


@cache
def _catalogue() -> Mapping[str, Board]:
    text = files("tinyformer.boards").joinpath("boards.toml").read_text(encoding="utf-8")
    return {name: _board(name, table) for name, table in tomllib.loads(text).items()}


def _board(name: str, table: Mapping[str, Any]) -> Board:
    where = f"board '{name}'"
    _check_keys(where, table, _KEYS, _OPTIONAL)
    for region in ("flash", "ram"):
        _check_keys(f"{where}, {region}", table[region], _MEMORY_KEYS, frozenset())
    try:
        isa = Isa(core=table["core"], dsp=table["dsp"], fpu=table["fpu"])
        flash, ram = Memory(**table["flash"]), Memory(**table["ram"])
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    return Board(
        name=name,
        title=table["title"],
        isa=isa,
        clock_hz=table["clock_hz"],
        flash=flash,
        ram=ram,
        stack_bytes=table["stack_bytes"],
        startup=table["startup"],
        qemu_machine=table.get("qemu_machine"),
        memory_system=table.get("memory_system"),
    )


def _check_keys(where: str, table: Mapping[str, Any], keys: Mapping[str, type], optional: frozenset[str]) -> None:
    for key in table:
        if key not in keys:
            raise ConfigError(f"{where}: key '{key}' is not known: the keys are {', '.join(keys)}")
    for key, kind in keys.items():
        if key not in table:
            if key in optional:
                continue
            raise ConfigError(f"{where}: key '{key}' is missing: the keys are {', '.join(keys)}")
        if type(table[key]) is not kind:
            raise ConfigError(f"{where}: {key} = {table[key]!r} must be of type {_TOML_TYPES[kind]}")


_TOML_TYPES: Mapping[type, str] = {str: "string", bool: "boolean", int: "integer", dict: "table"}
