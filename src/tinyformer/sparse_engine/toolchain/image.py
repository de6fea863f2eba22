"""Build a bundle's firmware image, as ELF, Intel HEX and plain binary."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyformer.boards import Board
from tinyformer.errors import ToolchainError
from tinyformer.sparse_engine import elf
from tinyformer.sparse_engine.toolchain import disassembly
from tinyformer.sparse_engine.toolchain.port import LINKER_SCRIPT
from tinyformer.sparse_engine.toolchain.protocol import Toolchain

_HEX_RECORD_BYTES = 16
_DIGEST_DIGITS = 16
_ERASED = b"\xff"


@dataclass(frozen=True, slots=True)
class Image:
    """The files of an image."""

    elf: Path
    hex: Path
    bin: Path


def build(directory: Path, board: Board, toolchain: Toolchain, name: str) -> Image:
    """Compile a bundle directory into ``image/<name>.elf``, ``.hex`` and ``.bin``, and check its instructions.

    The sources are ``port/*.c``, ``runtime/*.c`` and ``*.c``, in this order, each group by name, ``<name>.c`` last; the
    linker script is ``port/link.ld``.

    Raises:
        ToolchainError: the compiler is missing or fails, or the image has instructions that the core lacks.
        DoesNotFitError: the image is larger than the board's flash or RAM.
    """
    return _build(directory, board, toolchain, name, _files(directory, name), ())


def build_profile(directory: Path, board: Board, toolchain: Toolchain, name: str) -> Image:
    """Compile the same sources into ``image/<name>-profile.elf``, ``.hex`` and ``.bin``, which measures each layer.

    The program is ``port/profile.c`` instead of ``port/main.c``. ``profile_digest`` tells which image it is.

    Raises:
        As ``build``.
    """
    defines = (
        "SE_PROFILE",
        f"{name.upper()}_LAYER_HOOK=se_profile_mark",
        f'SE_PROFILE_IMAGE="{_digest(directory, name, toolchain)}"',
    )
    return _build(directory, board, toolchain, name, profile_files(directory, name), defines)


def profile_files(directory: Path, name: str) -> Image:
    """Return the files that ``build_profile`` writes."""
    return _files(directory, f"{name}-profile")


def profile_digest(image: elf.ElfImage) -> str:
    """Return the 16 hexadecimal digits by which an image of ``build_profile`` tells itself from others.

    They are the beginning of a SHA-256 over its sources and the compiler's name and version.

    Raises:
        ToolchainError: the image is another.
    """
    symbol = image.symbol("se_profile_image")
    return image.read(symbol.address, symbol.size).rstrip(b"\0").decode("ascii")


def link(
    directory: Path,
    port: Path,
    board: Board,
    toolchain: Toolchain,
    name: str,
    output: Path,
    defines: Sequence[str] = (),
) -> None:
    """Compile a bundle's sources with the port in another directory into one ELF file: see build."""
    sources = _sources(directory, port, name)
    toolchain.build(sources, [directory, directory / "runtime", port], port / LINKER_SCRIPT, board.isa, output, defines)


def _build(
    directory: Path, board: Board, toolchain: Toolchain, name: str, files: Image, defines: Sequence[str]
) -> Image:
    files.elf.parent.mkdir(exist_ok=True)
    link(directory, directory / "port", board, toolchain, name, files.elf, defines)
    image = elf.read(files.elf)
    disassembly.check(image, board.isa)
    files.hex.write_text(to_hex(image), encoding="ascii", newline="\n")
    files.bin.write_bytes(to_bin(image))
    return files


def _files(directory: Path, stem: str) -> Image:
    output = directory / "image"
    return Image(output / f"{stem}.elf", output / f"{stem}.hex", output / f"{stem}.bin")


def _sources(directory: Path, port: Path, name: str) -> list[Path]:
    model = directory / f"{name}.c"
    return [
        *sorted(port.glob("*.c")),
        *sorted((directory / "runtime").glob("*.c")),
        *(path for path in sorted(directory.glob("*.c")) if path != model),
        model,
    ]


def _digest(directory: Path, name: str, toolchain: Toolchain) -> str:
    """Return a digest of all that goes into an image."""
    hashed = hashlib.sha256(f"{toolchain.name} {toolchain.version()}\n".encode())
    port = directory / "port"
    headers = [path for folder in (directory, directory / "runtime", port) for path in sorted(folder.glob("*.h"))]
    for path in (*_sources(directory, port, name), *headers, port / LINKER_SCRIPT):
        hashed.update(f"{path.relative_to(directory).as_posix()} {path.stat().st_size}\n".encode() + path.read_bytes())
    return hashed.hexdigest()[:_DIGEST_DIGITS]


def to_bin(image: elf.ElfImage) -> bytes:
    """Return the bytes to program from the image's lowest load address on; gaps read as erased flash (0xFF).

    Raises:
        ToolchainError: the image holds nothing to program.
    """
    parts = _parts(image)
    start = parts[0][0]
    content = bytearray()
    for address, data in parts:
        content += _ERASED * (address - start - len(content)) + data
    return bytes(content)


def to_hex(image: elf.ElfImage) -> str:
    """Return the bytes to program as Intel HEX text, with the entry point of the vector table.

    Raises:
        ToolchainError: the image holds nothing to program.
    """
    lines = []
    upper = -1
    parts = _parts(image)
    for address, data in _records(parts):
        if address >> 16 != upper:
            upper = address >> 16
            lines.append(_record(0, 4, upper.to_bytes(2, "big")))
        lines.append(_record(address & 0xFFFF, 0, data))
    entry = int.from_bytes(parts[0][1][4:8], "little")
    lines += [_record(0, 5, entry.to_bytes(4, "big")), _record(0, 1, b"")]
    return "\n".join(lines) + "\n"


def _parts(image: elf.ElfImage) -> list[tuple[int, bytes]]:
    parts = sorted((segment.load_address, segment.data) for segment in image.segments if segment.data)
    if not parts:
        raise ToolchainError("the image holds nothing to program: it was not linked from a bundle")
    return parts


def _records(parts: list[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """Cut into records that never cross a multiple of their length, hence no 64 KB border either."""
    for address, data in parts:
        position = 0
        while position < len(data):
            length = _HEX_RECORD_BYTES - (address + position) % _HEX_RECORD_BYTES
            yield address + position, data[position : position + length]
            position += length


def _record(address: int, kind: int, data: bytes) -> str:
    content = bytes([len(data)]) + address.to_bytes(2, "big") + bytes([kind]) + data
    return f":{content.hex().upper()}{-sum(content) & 0xFF:02X}"
