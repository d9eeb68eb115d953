"""Zip files with names that zipfile refuses: one bad name must not cost all the others.

A member may be flagged as named in UTF-8 and not be; ``zipfile.ZipFile`` then refuses the
whole archive. Here such members lose that flag in the central directory before zipfile
reads it. Reading one still fails, by the name in the member's own header.
"""

import io
import struct
import zipfile
from pathlib import Path
from typing import Final

_UTF8_FLAG: Final = 0x800
_LEGACY: Final = "cp437"
_SIGNATURE: Final = b"PK\x01\x02"
_ENTRY: Final = struct.Struct("<8xH18xHHH12x")
"""Of an entry of the central directory: flags, and lengths of name, extra field and comment."""

_FLAGS: Final = struct.Struct("<H")
_FLAGS_AT: Final = 8


class _LenientFile(io.FileIO):
    """A zip file whose central directory flags no name as UTF-8 that is not."""

    def __del__(self) -> None:
        """Close the file: ``ZipFile`` closes only files that it opened itself."""
        self.close()

    def read(self, size: int | None = -1, /) -> bytes:
        """Read, and mend the central directory, which zipfile reads at once."""
        content = super().read(-1 if size is None else size) or b""
        return _without_false_flags(content) if content.startswith(_SIGNATURE) else content


def _without_false_flags(directory: bytes) -> bytes:
    mended = bytearray(directory)
    entry = 0
    while entry + _ENTRY.size <= len(directory):
        flags, name_length, *others = _ENTRY.unpack_from(directory, entry)
        name = entry + _ENTRY.size
        if flags & _UTF8_FLAG and not _is_utf8(directory[name : name + name_length]):
            _FLAGS.pack_into(mended, entry + _FLAGS_AT, flags & ~_UTF8_FLAG)
        entry = name + name_length + sum(others)
    return bytes(mended)


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open a zip file, whatever its members are called.

    Args:
        path: The file.

    Returns:
        The opened archive.

    Raises:
        zipfile.BadZipFile: It is no zip file.
    """
    try:
        return zipfile.ZipFile(path)
    except UnicodeDecodeError:
        return zipfile.ZipFile(_LenientFile(path))


def member_name(member: zipfile.ZipInfo) -> str:
    """Name a member by its path.

    PowerShell separates folders by backslashes, and macOS writes UTF-8 without the flag.

    Args:
        member: Of an archive that ``open_zip`` opened.

    Returns:
        The path, its folders separated by slashes.
    """
    name = member.filename
    if not member.flag_bits & _UTF8_FLAG:
        raw = name.encode(_LEGACY)
        name = raw.decode("utf-8") if _is_utf8(raw) else name
    return name.replace("\\", "/")
