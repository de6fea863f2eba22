"""How the front end says no: one line that names the place, what is wrong, what is allowed and what to do."""

from __future__ import annotations

from tinyformer.errors import UnsupportedModelError

_LONGEST_NAME = 80


def quoted(name: str) -> str:
    """Return a name from a file for use in a message: quoted, printable, on one line, at most 80 characters."""
    text = printable(name)
    return f"'{text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 3] + '...'}'"


def printable(text: str) -> str:
    """Return text with escapes for what does not print, line breaks included."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def first_line(error: BaseException) -> str:
    """Return what another library's error says, on one printable line of at most 200 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = "".join(c for c in (lines[0] if lines else type(error).__name__) if c.isprintable())
    return text[:200]


def unsupported(where: str, problem: str, allowed: str, remedy: str) -> UnsupportedModelError:
    """Return the error for a model that is broken or outside what the engine does.

    Args:
        where: the operator, tensor or file, with its name.
        problem: what is wrong there.
        allowed: what the engine takes instead.
        remedy: what the user can do.
    """
    return UnsupportedModelError(f"{where}: {problem}; allowed: {allowed}; {remedy}")
