"""What the figures share: the options for CMSIS-NN, its recorded results, versions, the files beside the scripts."""

from __future__ import annotations

import argparse
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tinyformer.benchmarks.cmsis_nn import Library
from tinyformer.errors import ConfigError
from tinyformer.sparse_engine import toolchain

HERE = Path(__file__).parent
BOARD = "stm32f746g-disco"


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options for CMSIS-NN and the toolchain."""
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--cmsis-nn-include", type=Path, metavar="D")
    result.add_argument("--cmsis-nn-lib", type=Path, metavar="F")
    result.add_argument("--cmsis-nn-origin", default="", metavar="TEXT", help="its commit, compiler and options")
    result.add_argument("--toolchain", default="zig", choices=list(toolchain.TOOLCHAINS))
    return result


def library(arguments: argparse.Namespace) -> Library | None:
    """Return the given CMSIS-NN, None when there is none."""
    if arguments.cmsis_nn_include is None and arguments.cmsis_nn_lib is None:
        return None
    if not arguments.cmsis_nn_origin:
        raise ConfigError("give --cmsis-nn-origin too: a figure without commit, compiler and options is worth nothing")
    return Library.of(arguments.cmsis_nn_include, arguments.cmsis_nn_lib)


def recorded(name: str) -> dict[str, Any]:
    """Return a record, empty when there is none yet."""
    path = HERE / f"{name}.json"
    result: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return result


def write(name: str, record: dict[str, Any], compiler: str) -> None:
    """Write a record with the versions that made it."""
    versions = {package: version(package) for package in ("tinyformer", "unicorn")}
    versions[compiler] = toolchain.find(compiler).version()
    text = json.dumps({"board": BOARD, "versions": versions, **record}, indent=1)
    (HERE / f"{name}.json").write_text(text + "\n")
