"""The other toolchain: arm-none-eabi-gcc for firmware and gcc for the host, as the PATH finds them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from tinyformer.boards import Isa
from tinyformer.errors import ToolchainError
from tinyformer.sparse_engine.toolchain.protocol import (
    FIRMWARE_OPTIONS,
    HOST_OPTIONS,
    WARNINGS,
    common_directory,
    compile_arguments,
    run_compiler,
)

CPUS: Mapping[tuple[str, bool], str] = MappingProxyType(
    {
        ("cortex-m0plus", False): "cortex-m0plus",
        ("cortex-m3", False): "cortex-m3",
        ("cortex-m4", True): "cortex-m4",
        ("cortex-m7", True): "cortex-m7",
        ("cortex-m33", False): "cortex-m33+nodsp",
        ("cortex-m33", True): "cortex-m33",
    }
)
"""(Core, has the DSP extension) -> -mcpu."""

FPUS: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("cortex-m4", "sp"): "fpv4-sp-d16",
        ("cortex-m7", "sp"): "fpv5-sp-d16",
        ("cortex-m7", "dp"): "fpv5-d16",
        ("cortex-m33", "sp"): "fpv5-sp-d16",
    }
)
"""(Core, fpu) -> -mfpu; without an entry the core has no FPU."""


class Gcc:
    """Arm's GNU toolchain; memcpy and memset come from its newlib, start-up code does not.

    Raises:
        ToolchainError: arm-none-eabi-gcc is not on the PATH.
    """

    name = "gcc"

    def __init__(self) -> None:
        self._cross = _find("arm-none-eabi-gcc")

    def version(self) -> str:
        """Return what arm-none-eabi-gcc -dumpfullversion prints."""
        command = [self._cross, "-dumpfullversion"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

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
        run_compiler(
            [
                self._cross,
                *_firmware_options(isa),
                *compile_arguments(root, sources, includes, defines),
                "-nostartfiles",
                "-T",
                str(linker_script.resolve().relative_to(root)),
                "-Wl,--gc-sections",
                "-Wl,--nmagic",  # no ELF headers in front of the vector table, no pages
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
        """Compile a shared library for this machine: see Toolchain.

        Checks addresses too, which asks for LD_PRELOAD of libasan in the process that loads the library.
        """
        root = common_directory([*sources, *includes])
        checks = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"] if sanitize else []
        tuning = ["-march=native"] if native else []
        arguments = compile_arguments(root, sources, includes, defines)
        run_compiler([_find("gcc"), *HOST_OPTIONS, *tuning, *checks, *arguments, "-o", str(output.absolute())], root)

    def check(self, sources: Sequence[Path], includes: Sequence[Path], isa: Isa, defines: Sequence[str] = ()) -> None:
        """Compile without output, warnings being errors: see Toolchain."""
        root = common_directory([*sources, *includes])
        arguments = compile_arguments(root, sources, includes, defines)
        run_compiler([self._cross, *_firmware_options(isa), *WARNINGS, "-fsyntax-only", *arguments], root)


def _find(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise ToolchainError(f"{program} is not on the PATH: install it, or use the toolchain 'zig'")
    return path


def _firmware_options(isa: Isa) -> list[str]:
    fpu = FPUS.get((isa.core, isa.fpu))
    float_options = ["-mfloat-abi=soft"] if fpu is None else ["-mfloat-abi=hard", f"-mfpu={fpu}"]
    return ["-mthumb", f"-mcpu={CPUS[isa.core, isa.dsp]}", *float_options, *FIRMWARE_OPTIONS]
