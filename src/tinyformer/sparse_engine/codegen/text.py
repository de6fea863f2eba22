"""Pieces of C text: identifiers, comments, literals, arrays. Nothing from a model file passes through unchecked."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tinyformer.errors import ConfigError
from tinyformer.sparse_engine.codegen.reserved import HEADERS, PORT_HEADERS, WORDS

LINE_WIDTH = 120
_INDENT = "    "
_VARIABLES = ("i", "j", "k")
NAME_LENGTH_MAX = 40
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*\Z")
_INT32_MIN, _INT32_MAX = -(2**31), 2**31 - 1

C_TYPES = {
    np.dtype(np.int8): "int8_t",
    np.dtype(np.uint8): "uint8_t",
    np.dtype(np.int16): "int16_t",
    np.dtype(np.uint16): "uint16_t",
    np.dtype(np.int32): "int32_t",
    np.dtype(np.uint32): "uint32_t",
}


def check_name(name: str) -> str:
    """Return a prefix for C identifiers unchanged.

    Raises:
        ConfigError: it is no C identifier, is reserved, or would collide with the runtime's own names or with a header.
    """
    allowed = f"use a letter, then letters, digits or '_', at most {NAME_LENGTH_MAX} characters"
    if not _NAME.match(name) or len(name) > NAME_LENGTH_MAX:
        raise ConfigError(f"name {name!r} is not a C identifier: {allowed}")
    if name.lower() in WORDS:
        raise ConfigError(f"name '{name}' is a reserved word of C or C++: {allowed}")
    if name.lower() == "se" or name.lower().startswith("se_"):
        raise ConfigError(f"name '{name}' is taken by the runtime, whose names start with 'se_': choose another prefix")
    if name.lower() in HEADERS | PORT_HEADERS:
        whose = "the bundle's port" if name.lower() in PORT_HEADERS else "C's libraries"
        raise ConfigError(f"name '{name}' would hide the header {name.lower()}.h of {whose}: choose another prefix")
    return name


def comment(text: str) -> str:
    """Return text that can stand in a C comment: any character but ``A-Za-z0-9_./ ,:%>()-`` becomes ``_``.

    Without a ``*`` no comment can begin or end in it.
    """
    return re.sub(r"[^A-Za-z0-9_./ ,:%>()-]", "_", text)


def integer(value: int) -> str:
    """Return an integer literal of the least type that holds the value."""
    if value == _INT32_MIN:
        return f"(-{_INT32_MAX} - 1)"
    return str(value) if _INT32_MIN < value <= _INT32_MAX else f"{value}LL"


def real(value: float) -> str:
    """Return a float literal that reads back as the nearest single-precision number."""
    return f"{np.float32(value)!s}f"


def string(value: str) -> str:
    """Return a string literal; every byte but plain letters, digits and ``_.-+`` and blank is an octal escape."""
    plain = re.compile(rb"[A-Za-z0-9_.+ -]")
    parts = []
    for byte in value.encode():
        one = bytes((byte,))
        parts.append(one.decode() if plain.match(one) else f"\\{byte:03o}")
    return f'"{"".join(parts)}"'


def fill(items: Sequence[str], first: str, then: str, last: str) -> list[str]:
    """Return comma-separated items as lines of at most ``LINE_WIDTH`` characters.

    Args:
        items: what to write.
        first: what the first line begins with.
        then: what the following lines begin with.
        last: what ends the last line, after the last item.
    """
    lines = []
    line = first
    for index, item in enumerate(items):
        end = last if index == len(items) - 1 else ","
        if len(line) + len(item) + len(end) > LINE_WIDTH and line not in {first, then}:
            lines.append(line.rstrip())
            line = then
        line += f"{item}{end} "
    lines.append(line.rstrip())
    return lines


def array(values: npt.NDArray[np.integer]) -> str:
    """Return the elements of an array as the inside of a C initialiser."""
    literal = "0x{:08x}u".format if values.dtype == np.uint32 else integer  # words of packed bits
    return "\n".join(fill([literal(value) for value in values.ravel().tolist()], _INDENT, _INDENT, ","))


def strides(steps: Sequence[int]) -> str:
    """Return what the turns of the loops around an expression add to it, the outermost first."""
    terms = (f" + {variable} * {step}" for variable, step in zip(_VARIABLES, steps, strict=False) if step)
    return "".join(terms)


def loops(turns: Sequence[int], inside: Sequence[str]) -> list[str]:
    """Return statements, indented once for each loop, within their loops, the outermost first."""
    lines = list(inside)
    for depth, count in reversed(list(enumerate(turns))):
        variable, indent = _VARIABLES[depth], _INDENT * (depth + 1)
        opening = f"{indent}for (int32_t {variable} = 0; {variable} < {count}; {variable}++) {{"
        lines = [opening, *lines, f"{indent}}}"]
    return lines


def call(symbol: str, arguments: Sequence[str], depth: int = 0) -> list[str]:
    """Return the lines of one call statement inside ``depth`` loops, continued under its first argument."""
    opening = f"{_INDENT * (depth + 1)}{symbol}("
    return fill(arguments, opening, " " * len(opening), ");")


def constant_struct(c_type: str, variable: str, fields: Sequence[str]) -> list[str]:
    """Return the indented lines of a constant with designated initialisers."""
    inner = 2 * _INDENT
    return [f"{_INDENT}static const {c_type} {variable} = {{", *fill(fields, inner, inner, ","), f"{_INDENT}}};"]
