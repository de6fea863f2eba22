"""Read a linked image: what it takes of flash and RAM, where its functions and data lie, and the bytes to flash."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tinyformer.errors import MissingExtraError, ToolchainError

_KINDS: Mapping[str, str] = MappingProxyType({"STT_FUNC": "function", "STT_OBJECT": "object", "STT_NOTYPE": "label"})
_MAPPING_SYMBOL = re.compile(r"\$([tda])(?:\..*)?")
_SHF_WRITE, _SHF_ALLOC = 1, 2
_STACK_SECTION = ".stack"


@dataclass(frozen=True, slots=True)
class Symbol:
    """A named address. ``kind`` is ``function``, ``object`` or ``label``; a function's address is without Thumb bit."""

    name: str
    address: int
    size: int
    kind: str
    section: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A loadable segment: ``data`` is stored at ``load_address``; at ``address`` it takes ``memory_bytes``."""

    address: int
    load_address: int
    data: bytes = field(repr=False)
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class ElfImage:
    """A linked image.

    ``flash_bytes`` is what is programmed: the file bytes of all loadable segments. ``ram_static_bytes`` is .data and
    .bss, the stack reserve apart (``stack_reserve_bytes``). ``sections`` maps each allocated section to its size.
    ``symbols`` holds one symbol of each name, a global before a local one; ``functions`` all functions by address;
    ``objects`` all named data. ``code`` lists the address ranges that are instructions, not literals.
    """

    segments: tuple[Segment, ...]
    sections: Mapping[str, int]
    symbols: Mapping[str, Symbol]
    functions: tuple[Symbol, ...]
    objects: tuple[Symbol, ...]
    code: tuple[tuple[int, int], ...]
    flash_bytes: int
    ram_static_bytes: int
    stack_reserve_bytes: int

    def function_at(self, address: int) -> Symbol | None:
        """Return the function that contains an address, or None."""
        index = bisect_right(self.functions, address, key=lambda function: function.address) - 1
        if index < 0:
            return None
        function = self.functions[index]
        return function if address < function.address + max(function.size, 1) else None

    def symbol(self, name: str) -> Symbol:
        """Return a symbol by name.

        Raises:
            ToolchainError: the image has none of this name.
        """
        try:
            return self.symbols[name]
        except KeyError:
            raise ToolchainError(
                f"the image has no symbol '{name}': it was not built from a bundle of this model, or was stripped"
            ) from None

    def read(self, address: int, size: int) -> bytes:
        """Return bytes that the image holds at the addresses where they are used.

        Raises:
            ToolchainError: they are not in the image.
        """
        for segment in self.segments:
            offset = address - segment.address
            if offset >= 0 and offset + size <= len(segment.data):
                return segment.data[offset : offset + size]
        raise ToolchainError(f"the image holds no {size} bytes at {address:#010x}")


def read(path: Path) -> ElfImage:
    """Read an ELF image.

    Raises:
        MissingExtraError: the ``pyelftools`` package is not installed.
        ToolchainError: the file cannot be read, or is not a linked 32-bit Arm ELF file.
    """
    try:
        from elftools.common.exceptions import ELFError
        from elftools.elf.elffile import ELFFile
    except ImportError:
        raise MissingExtraError("pyelftools", "emulator", "reading an image") from None
    try:
        with path.open("rb") as file:
            elf = ELFFile(file)
            if elf["e_machine"] != "EM_ARM" or elf["e_type"] != "ET_EXEC":
                raise ToolchainError(
                    f"{path} is not a linked Arm image: give the .elf file of a bundle's image directory"
                )
            return _image(elf)
    except OSError as error:
        raise ToolchainError(f"cannot read the image {path}: {error.strerror}") from error
    except ELFError as error:
        raise ToolchainError(f"{path} is not an ELF file ({error}): give the .elf file of a bundle") from error


def _image(elf: Any) -> ElfImage:
    sections = list(elf.iter_sections())
    allocated = [s for s in sections if s["sh_flags"] & _SHF_ALLOC and s["sh_size"]]
    segments = tuple(
        Segment(s["p_vaddr"], s["p_paddr"], s.data(), s["p_memsz"])
        for s in elf.iter_segments()
        if s["p_type"] == "PT_LOAD" and s["p_memsz"]
    )
    entries = list(_symbols(elf, [section.name for section in sections]))
    named = [symbol for symbol, _ in entries if not _MAPPING_SYMBOL.fullmatch(symbol.name)]
    by_name: dict[str, Symbol] = {}
    for symbol, is_global in entries:
        if not _MAPPING_SYMBOL.fullmatch(symbol.name) and (is_global or symbol.name not in by_name):
            by_name[symbol.name] = symbol
    return ElfImage(
        segments=segments,
        sections=MappingProxyType({s.name: s["sh_size"] for s in allocated}),
        symbols=MappingProxyType(by_name),
        functions=_ordered(named, "function"),
        objects=_ordered(named, "object"),
        code=_code_ranges([symbol for symbol, _ in entries]),
        flash_bytes=sum(len(segment.data) for segment in segments),
        ram_static_bytes=sum(
            s["sh_size"] for s in allocated if s["sh_flags"] & _SHF_WRITE and s.name != _STACK_SECTION
        ),
        stack_reserve_bytes=sum(s["sh_size"] for s in allocated if s.name == _STACK_SECTION),
    )


def _symbols(elf: Any, section_names: list[str]) -> list[tuple[Symbol, bool]]:
    table = elf.get_section_by_name(".symtab")
    found = []
    for entry in table.iter_symbols() if table is not None else ():
        kind = _KINDS.get(entry["st_info"]["type"])
        index = entry["st_shndx"]
        if kind is None or not entry.name or index == "SHN_UNDEF":
            continue
        section = section_names[index] if isinstance(index, int) else ""
        address = entry["st_value"] & ~1 if kind == "function" else entry["st_value"]
        is_global = entry["st_info"]["bind"] != "STB_LOCAL"
        found.append((Symbol(entry.name, address, entry["st_size"], kind, section), is_global))
    return found


def _ordered(symbols: list[Symbol], kind: str) -> tuple[Symbol, ...]:
    return tuple(sorted((s for s in symbols if s.kind == kind), key=lambda s: (s.address, s.size, s.name)))


def _code_ranges(symbols: list[Symbol]) -> tuple[tuple[int, int], ...]:
    """Intersect the functions with what the mapping symbols ($t: Thumb code, $d: data) call code."""
    marks = sorted((s.address, match[1]) for s in symbols if (match := _MAPPING_SYMBOL.fullmatch(s.name)))
    positions = [address for address, _ in marks]
    ranges = set()
    for function in (s for s in symbols if s.kind == "function" and s.size):
        start, end = function.address, function.address + function.size
        cuts = [start, *(p for p in positions if start < p < end), end]
        for low, high in pairwise(cuts):
            index = bisect_right(positions, low) - 1
            if index < 0 or marks[index][1] == "t":
                ranges.add((low, high))
    return tuple(sorted(ranges))
