"""Compile C: firmware images for a board's core, and shared libraries for this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from tinyformer.errors import ConfigError
from tinyformer.sparse_engine.toolchain.gcc import Gcc
from tinyformer.sparse_engine.toolchain.protocol import WARNINGS, Toolchain
from tinyformer.sparse_engine.toolchain.zig import Zig

TOOLCHAINS: Mapping[str, Callable[[], Toolchain]] = MappingProxyType({"zig": Zig, "gcc": Gcc})
"""The toolchains by name, the default first."""


def find(name: str = "zig") -> Toolchain:
    """Return a toolchain by name: ``zig`` (the ziglang wheel) or ``gcc`` (arm-none-eabi-gcc on the PATH).

    Raises:
        ConfigError: the name is not known.
        MissingExtraError: the package ``ziglang`` is not installed.
        ToolchainError: arm-none-eabi-gcc is not on the PATH.
    """
    try:
        create = TOOLCHAINS[name]
    except KeyError:
        raise ConfigError(f"toolchain '{name}' is not known: choose one of {', '.join(TOOLCHAINS)}") from None
    return create()


__all__ = ["TOOLCHAINS", "WARNINGS", "Toolchain", "find"]
