"""The lines that a profile image prints: found among noise, checked, and joined into one report."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

from tinyformer.errors import BoardError

VERSION = "1"
REQUEST = b"p"
"""What asks a board for one report."""

_LINE = re.compile(rb"\$([^$]*)\*([0-9a-f]{8})\r*")
_CRC = re.compile(r"[0-9a-f]{8}")
_LONGEST_LINE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Report:
    """One measured inference.

    ``image`` tells which image runs (``toolchain.image.profile_digest``), ``name`` and ``board`` are its model's and
    board's names. ``cycles`` are those of each layer, 0 to 2^32 - 1. ``output_crc32`` is the CRC-32 of the output.
    """

    image: str
    name: str
    board: str
    cycles: tuple[int, ...]
    output_crc32: int


@dataclass(frozen=True, slots=True)
class _Header:
    image: str
    layers: int
    name: str
    board: str


class ReportReader:
    """Takes bytes as they come and returns each report that is complete and intact.

    Whatever is no line of the protocol is skipped outside a report; within one, it spoils the report.
    """

    def __init__(self) -> None:
        self.bytes_read = 0
        self.lines_read = 0
        self._pending = b""
        self._header: _Header | None = None
        self._cycles: list[int] = []

    def feed(self, data: bytes) -> list[Report]:
        """Return the reports that end within ``data``.

        Raises:
            BoardError: the board speaks another version of the protocol.
        """
        self.bytes_read += len(data)
        *lines, rest = (self._pending + data).split(b"\n")
        self._pending = rest[-_LONGEST_LINE_BYTES:]
        reports = []
        for line in lines:
            words = _words(line)
            self.lines_read += bool(words)
            report = self._take(words)
            if report is not None:
                reports.append(report)
        return reports

    def _take(self, words: list[str]) -> Report | None:
        """Go on with the report that a line belongs to; a line out of place ends it unfinished."""
        header = self._header
        match words:
            case ["profile", version, *_] if version != VERSION:
                raise BoardError(
                    f"the board's image speaks version {version} of the protocol, this is version {VERSION}:"
                    " compile the model again and flash the new profile image"
                )
            case ["profile", _, image, layers, name, *board] if layers.isdecimal():
                self._header = _Header(image, int(layers), name, " ".join(board))
                self._cycles = []
                return None
            case ["layer", index, cycles] if header and index == str(len(self._cycles)) and cycles.isdecimal():
                self._cycles.append(int(cycles))
                return None
            case ["end", crc] if header and len(self._cycles) == header.layers and _CRC.fullmatch(crc):
                self._header = None
                return Report(header.image, header.name, header.board, tuple(self._cycles), int(crc, 16))
        self._header = None
        return None


def _words(line: bytes) -> list[str]:
    """Return the words of a line of the protocol; none when it is none, or not intact."""
    found = _LINE.search(line)
    if found is None or found.end() != len(line) or zlib.crc32(found[1]) != int(found[2], 16):
        return []
    return found[1].decode("utf-8", errors="replace").split(" ")
