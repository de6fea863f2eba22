"""Build a bundle's C into a shared library for this machine, once for every content."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import tempfile
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from tinyformer.sparse_engine import toolchain
from tinyformer.sparse_engine.bundle import Manifest
from tinyformer.sparse_engine.toolchain import Toolchain, cache

_ENTRY_FILE = "se_host.c"  # no model may be called se_...
_RUNTIME_DIRECTORY = "runtime"


def build(directory: Path, manifest: Manifest, toolchain_name: str = "zig", *, sanitize: bool = False) -> Path:
    """Return the path of a shared library with the model's C, compiled or from the cache.

    Args:
        directory: the bundle.
        manifest: its manifest.
        toolchain_name: who compiles it.
        sanitize: check undefined behaviour at run time.

    Raises:
        MissingExtraError: the compiler is not installed.
        ToolchainError: it failed, or a file is missing.
    """
    compiler = toolchain.find(toolchain_name)
    sources = _sources(directory, manifest)
    key = _key(sources, compiler, sanitize)
    store = cache.directory("host")
    library = store / f"{key}.so"
    if library.exists():
        return library
    with tempfile.TemporaryDirectory(dir=store) as work:
        for path, text in sources.items():
            target = Path(work, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        # the entry file includes the model's C, so that is not compiled by itself
        compiled = [Path(work, path) for path in sources if path.endswith(".c") and path != f"{manifest.name}.c"]
        output = Path(work, "library.so")
        includes = [Path(work), Path(work, _RUNTIME_DIRECTORY)]
        compiler.build_host(compiled, includes, output, sanitize=sanitize, native=True)
        staged = store / f".{key}.{os.getpid()}"
        shutil.copyfile(output, staged)
        staged.replace(library)  # atomic: another process may be loading it
    return library


def _sources(directory: Path, manifest: Manifest) -> dict[str, str]:
    names = [f"{manifest.name}{end}" for end in (".h", ".c", "_weights.h", "_weights.c")]
    runtime = sorted(path for path in (directory / _RUNTIME_DIRECTORY).glob("*.[ch]"))
    paths = [*(directory / name for name in names), *runtime]
    return {
        _ENTRY_FILE: _entry(manifest),
        **{path.relative_to(directory).as_posix(): path.read_text(encoding="utf-8") for path in paths},
    }


def _entry(manifest: Manifest) -> str:
    text = (files("tinyformer.sparse_engine.host") / "host.c.j2").read_text(encoding="utf-8")
    environment = Environment(
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - C, not HTML
    )
    return environment.from_string(text).render(
        name=manifest.name,
        upper=manifest.name.upper(),
        nodes=len(manifest.layers),
        arena=manifest.arena.arena_bytes > 0,
    )


def _key(sources: dict[str, str], compiler: Toolchain, sanitize: bool) -> str:
    digest = hashlib.sha256(f"{compiler.name} {compiler.version()} {sanitize} {_processor()}".encode())
    for path, text in sources.items():
        digest.update(f"\0{path}\0{text}".encode())
    return digest.hexdigest()[:32]


def _processor() -> str:
    """Return what tells processors with different instructions apart: a cache may be shared by machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    return next((line for line in lines if line.startswith(("flags", "Features"))), platform.machine())
