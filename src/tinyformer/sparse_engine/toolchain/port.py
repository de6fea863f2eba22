"""The files that make a model a program on a board: start-up code, board support, main and linker script."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files as resources
from importlib.resources.abc import Traversable

import jinja2

from tinyformer.boards import Board
from tinyformer.errors import ConfigError

_C_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_ALWAYS = ("port.h", "startup_cortex_m.c", "board_generic.c")
_SHARED: Mapping[str, tuple[str, ...]] = {"stm32f746": ("stm32_console.h",), "stm32l4r5": ("stm32_console.h",)}
"""A board's startup -> what its file includes besides port.h."""
_TEMPLATES = ("board.h", "main.c", "profile.c", "link.ld")
LINKER_SCRIPT = "link.ld"
"""Name of the linker script among the port's files."""


def files(board: Board, name: str, *, golden_input: bytes | None = None) -> Mapping[str, str]:
    """Return the port of a board for the model ``name``: file name -> text.

    The files belong together in one directory, from which ``<name>.h`` (with ``<NAME>_INPUT_BYTES``,
    ``<NAME>_OUTPUT_BYTES``, ``<NAME>_LAYERS`` and ``<name>_run``) and ``se_port.h`` can be included. The program is
    ``main.c``, or with ``SE_PROFILE`` defined ``profile.c``: see ``image.build_profile``. ``golden_input`` (int8
    values as bytes) is what ``main.c`` runs on when nobody writes another input; it then takes as many bytes of flash.
    Without it the input is zero.

    Raises:
        ConfigError: the name is not a C identifier.
    """
    if _C_NAME.fullmatch(name) is None:
        raise ConfigError(f"model name '{name}' cannot begin a C identifier: use letters, digits and _, a letter first")
    values = None if golden_input is None else [byte - 256 if byte > 127 else byte for byte in golden_input]
    texts = {file: _read(file) for file in _ALWAYS}
    if board.startup != "generic":
        texts |= {file: _read(file) for file in (f"board_{board.startup}.c", *_SHARED.get(board.startup, ()))}
    for file in _TEMPLATES:
        macro = _macro(f"board_{board.name}") if file == "board.h" else name.upper()
        texts[file] = _template(file).render(board=board, name=name, macro=macro, golden_input=values)
    return texts


def qemu_application() -> Mapping[str, str]:
    """Return the file that, added to an mps2 port, makes its program take inputs from files and end with them."""
    return {"qemu_app.c": _read("qemu_app.c")}


def _macro(text: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", text.upper())


def _directory() -> Traversable:
    return resources("tinyformer.sparse_engine") / "runtime" / "ports"


def _read(file: str) -> str:
    return (_directory() / file).read_text(encoding="utf-8")


@cache
def _template(file: str) -> jinja2.Template:
    environment = jinja2.Environment(  # noqa: S701 - C, not HTML
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(_read(f"{file}.j2"))
