"""The default toolchain: clang and lld as the ``ziglang`` wheel brings them, for every core and for the host."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version as package_version
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

from tinyformer.boards import Isa
from tinyformer.errors import MissingExtraError
from tinyformer.sparse_engine.toolchain import cache
from tinyformer.sparse_engine.toolchain.protocol import (
    FIRMWARE_OPTIONS,
    HOST_OPTIONS,
    WARNINGS,
    common_directory,
    compile_arguments,
    run_compiler,
)

TARGETS: Mapping[Isa, tuple[str, str]] = MappingProxyType(
    {
        Isa("cortex-m0plus", dsp=False, fpu="none"): ("eabi", "cortex_m0plus"),
        Isa("cortex-m3", dsp=False, fpu="none"): ("eabi", "cortex_m3"),
        Isa("cortex-m4", dsp=True, fpu="none"): ("eabi", "cortex_m4"),
        Isa("cortex-m4", dsp=True, fpu="sp"): ("eabihf", "cortex_m4+vfp4d16sp"),
        Isa("cortex-m7", dsp=True, fpu="none"): ("eabi", "cortex_m7"),
        Isa("cortex-m7", dsp=True, fpu="sp"): ("eabihf", "cortex_m7+fp_armv8d16sp"),
        Isa("cortex-m7", dsp=True, fpu="dp"): ("eabihf", "cortex_m7+fp_armv8d16"),
        Isa("cortex-m33", dsp=False, fpu="none"): ("eabi", "cortex_m33-dsp"),
        Isa("cortex-m33", dsp=False, fpu="sp"): ("eabihf", "cortex_m33-dsp+fp_armv8d16sp"),
        Isa("cortex-m33", dsp=True, fpu="none"): ("eabi", "cortex_m33+dsp"),
        Isa("cortex-m33", dsp=True, fpu="sp"): ("eabihf", "cortex_m33+dsp+fp_armv8d16sp"),
    }
)
"""Instruction set -> (ABI, zig's name of the CPU and its features)."""


class Zig:
    """``python -m ziglang cc`` with a cache of its own under the user's cache directory.

    The first image for a core compiles zig's run-time support and takes seconds, later ones a fraction of a second.

    Raises:
        MissingExtraError: the ``ziglang`` package is not installed.
    """

    name = "zig"

    def __init__(self) -> None:
        if importlib.util.find_spec("ziglang") is None:
            raise MissingExtraError("ziglang", "emulator", "compiling firmware with zig")

    def version(self) -> str:
        """Return the wheel's version."""
        return package_version("ziglang")

    def build(
        self,
        sources: Sequence[Path],
        includes: Sequence[Path],
        linker_script: Path,
        isa: Isa,
        output: Path,
        defines: Sequence[str] = (),
    ) -> None:
        """Compile and link an ELF image: see Toolchain."""
        root = common_directory([*sources, *includes, linker_script])
        self._run(
            [
                *_firmware_options(isa),
                *compile_arguments(root, sources, includes, defines),
                "-T",
                str(linker_script.resolve().relative_to(root)),
                "-Wl,--gc-sections",
                "-Wl,-z,max-page-size=4",
                "-Wl,--entry=reset_handler",
                "-o",
                str(output.absolute()),
            ],
            root,
        )

    def build_host(
        self,
        sources: Sequence[Path],
        includes: Sequence[Path],
        output: Path,
        defines: Sequence[str] = (),
        sanitize: bool = False,
        native: bool = False,
    ) -> None:
        """Compile a shared library for this machine: see Toolchain. Checks undefined behaviour, not addresses."""
        root = common_directory([*sources, *includes])
        checks = ["-g", "-fsanitize=undefined", "-fno-sanitize-recover=all"] if sanitize else ["-fno-sanitize=all"]
        self._run(
            [
                *HOST_OPTIONS,
                f"-mcpu={'native' if native else 'baseline'}",
                *checks,
                *compile_arguments(root, sources, includes, defines),
                "-o",
                str(output.absolute()),
            ],
            root,
        )

    def check(self, sources: Sequence[Path], includes: Sequence[Path], isa: Isa, defines: Sequence[str] = ()) -> None:
        """Compile without output, warnings being errors: see Toolchain."""
        files = [str(path.resolve()) for path in sources]
        options = [*WARNINGS, *(f"-D{define}" for define in defines), *(f"-I{path.resolve()}" for path in includes)]
        with TemporaryDirectory() as objects:  # zig takes no -fsyntax-only
            self._run([*_firmware_options(isa), *options, "-c", *files], Path(objects))

    def _run(self, arguments: Sequence[str], directory: Path) -> None:
        store = cache.directory(f"zig-{self.version()}")
        environment = {"ZIG_GLOBAL_CACHE_DIR": str(store / "global"), "ZIG_LOCAL_CACHE_DIR": str(store / "local")}
        with cache.locked(store):
            run_compiler([sys.executable, "-P", "-m", "ziglang", "cc", *arguments], directory, environment)


def _firmware_options(isa: Isa) -> list[str]:
    abi, cpu = TARGETS[isa]
    return ["-target", f"thumb-freestanding-{abi}", f"-mcpu={cpu}", *FIRMWARE_OPTIONS, "-fno-sanitize=all"]
