"""Build a bundle's firmware image, as ELF, Intel HEX and plain binary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tinyformer.boards import Board
from tinyformer.errors import ToolchainError
from tinyformer.sparse_engine import elf
from tinyformer.sparse_engine.toolchain import disassembly
from tinyformer.sparse_engine.toolchain.port import LINKER_SCRIPT
from tinyformer.sparse_engine.toolchain.protocol import Toolchain

_HEX_RECORD_BYTES = 16
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
    output = directory / "image"
    output.mkdir(exist_ok=True)
    path = output / f"{name}.elf"
    link(directory, directory / "port", board, toolchain, name, path)
    image = elf.read(path)
    disassembly.check(image, board.isa)
    files = Image(path, path.with_suffix(".hex"), path.with_suffix(".bin"))
    files.hex.write_text(to_hex(image), encoding="ascii", newline="\n")
    files.bin.write_bytes(to_bin(image))
    return files


def link(directory: Path, port: Path, board: Board, toolchain: Toolchain, name: str, output: Path) -> None:
    """Compile a bundle's sources with the port in another directory into one ELF file: see build."""
    runtime = directory / "runtime"
    model = directory / f"{name}.c"
    sources = [
        *sorted(port.glob("*.c")),
        *sorted(runtime.glob("*.c")),
        *(path for path in sorted(directory.glob("*.c")) if path != model),
        model,
    ]
    toolchain.build(sources, [directory, runtime, port], port / LINKER_SCRIPT, board.isa, output)


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
