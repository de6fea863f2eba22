"""Members of tar archives, read without writing anything to disk."""

from __future__ import annotations

import io
import lzma
import tarfile
import zlib
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import IO

from tinyformer.data.cache import UnavailableError

_MAX_MEMBER_BYTES = 1 << 28
_AR_MAGIC = b"!<arch>\n"
_AR_HEADER_BYTES = 60


def members(archive: Path | IO[bytes], names: Collection[str]) -> dict[str, bytes]:
    """Return the contents of an archive's regular files with the given names, whatever their folders.

    Raises:
        UnavailableError: not an archive, damaged, or a file is not in it.
    """
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(archive) if isinstance(archive, Path) else tarfile.open(fileobj=archive) as tar:
            for member in tar:
                name = PurePosixPath(member.name).name
                if name in names and name not in found and member.isfile() and member.size <= _MAX_MEMBER_BYTES:
                    file = tar.extractfile(member)
                    found[name] = b"" if file is None else file.read()
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise UnavailableError(f"not a readable archive: {error}") from error
    missing = sorted(set(names) - set(found))
    if missing:
        raise UnavailableError(f"the archive has no {missing[0]}")
    return found


def debian_members(package: Path, names: Collection[str]) -> dict[str, bytes]:
    """Return the contents of files in a Debian package (an ar archive with a data.tar inside).

    Raises:
        UnavailableError: not a package, or a file is not in it.
    """
    with package.open("rb") as file:
        if file.read(len(_AR_MAGIC)) != _AR_MAGIC:
            raise UnavailableError("not a Debian package")
        while len(header := file.read(_AR_HEADER_BYTES)) == _AR_HEADER_BYTES:
            try:
                size = int(header[48:58])
            except ValueError:
                break
            if header[:16].startswith(b"data.tar"):
                return members(io.BytesIO(file.read(size)), names)
            file.seek(size + size % 2, 1)
    raise UnavailableError("the package has no data.tar")
