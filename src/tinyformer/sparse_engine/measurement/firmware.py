"""The profile image of a bundle: built from the bundle's own sources when it is first asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tinyformer.errors import ConfigError
from tinyformer.sparse_engine import elf, toolchain
from tinyformer.sparse_engine.bundle import ImageRecord, Manifest
from tinyformer.sparse_engine.toolchain import image


@dataclass(frozen=True, slots=True)
class Firmware:
    """A profile image: the files to flash, and the digest by which a board that runs it is known."""

    files: image.Image
    digest: str
    newly_built: bool


def prepare(directory: Path, manifest: Manifest) -> Firmware:
    """Return the profile image of a bundle, building it where there is none yet.

    Raises:
        ConfigError: the bundle has no image, or another compiler than the one that is installed built it.
        ToolchainError: the compiler is missing or fails.
        DoesNotFitError: the profile image, a little larger than the image, is larger than the board's flash or RAM.
    """
    if manifest.image is None:
        raise ConfigError(f"{directory} was compiled without a toolchain: install one and compile the model again")
    files = image.profile_files(directory, manifest.name)
    built = not all(path.exists() for path in (files.elf, files.hex, files.bin))
    if built:
        files = _build(directory, manifest, manifest.image)
    return Firmware(files, image.profile_digest(elf.read(files.elf)), built)


def _build(directory: Path, manifest: Manifest, record: ImageRecord) -> image.Image:
    compiler = toolchain.find(record.toolchain)
    if compiler.version() != record.toolchain_version:
        raise ConfigError(
            f"{directory} was built with {record.toolchain} {record.toolchain_version}, here is {compiler.version()},"
            " whose code takes other cycles: compile the model again"
        )
    return image.build_profile(directory, manifest.board, compiler, manifest.name)
