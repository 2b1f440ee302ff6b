"""A file's bytes into text: opened, decompressed, decoded as UTF-8 with lines that end in LF."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import os
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from gpubp.errors import DataError, SettingsError

COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "Zstandard",
}
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8"),
)
CHUNK, PIECE = 1 << 24, 1 << 10
LIKELY, SMALL = 64, 1 << 28
"""Text grows to at most 64 times its compressed size and 256 MiB, or it is measured before it is kept."""
NOT_IN_1252 = b"\x81\x8d\x8f\x90\x9d"


@dataclass(frozen=True)
class Text:
    """UTF-8 without byte-order mark, LF at the ends of lines; and what it was in the file."""

    data: bytes
    encoding: str
    remarks: tuple[str, ...] = ()


def name_of(source: str | Path) -> str:
    return "standard input" if str(source) == "-" else str(source)


def bytes_of(source: str | Path) -> tuple[bytes, str]:
    """(the content, decompressed; what it was compressed with, or "")."""
    name = name_of(source)
    data = _standard_input() if str(source) == "-" else _file(Path(source), name)
    for magic, compression in COMPRESSED.items():
        if data.startswith(magic):
            return _decompressed(data, compression, name), compression
    if data.startswith(b"PK\x03\x04") and (inner := _only_text(data, name)) is not None:
        return inner, "ZIP"
    return data, ""


def text_of(data: bytes, name: str, encoding: str | None = None) -> Text:
    """DataError where it is no text, or is empty; SettingsError for an encoding that there is not.

    Without an `encoding`: what a byte-order mark says; UTF-16 where every second byte is zero; UTF-8 where that is
    possible; else Windows-1252, or Latin-1 where that is the same.
    """
    remarks: tuple[str, ...] = ()
    if encoding is not None:
        used = _codec(encoding)
    else:
        used = next((named for mark, named in MARKS if data.startswith(mark)), "") or _of_zeros(data) or "utf-8"
    if used == "utf-8":
        data = data.removeprefix(codecs.BOM_UTF8)
        if not data.isascii():
            try:
                data.decode("utf-8")
            except UnicodeDecodeError as error:
                if encoding is not None:
                    raise _undecodable(data, error, name, encoding) from None
                used, remarks = _single_byte(data, error, name)
    if b"\0" in data and used not in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"):
        raise DataError(f"{name}: this is a binary file (byte {data.index(0)} is zero); give CSV, TSV or Parquet.")
    if used not in ("utf-8", "ascii"):
        try:
            data = data.decode(used).removeprefix("\ufeff").encode("utf-8")
        except UnicodeDecodeError as error:
            raise _undecodable(data, error, name, encoding or used) from None
        except UnicodeEncodeError:
            raise DataError(f"{name}: holds halves of characters, which no text has; save it as UTF-8.") from None
        if b"\0" in data:
            raise DataError(f"{name}: holds null characters; this is not a table of text.")
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n")
        if b"\n" not in data:
            data = data.replace(b"\r", b"\n")
    if not data.strip():
        raise DataError(f"{name}: the file is empty.")
    return Text(data, used, remarks)


def _single_byte(data: bytes, error: UnicodeDecodeError, name: str) -> tuple[str, tuple[str, ...]]:
    """Which of the two old encodings of the west text is in that is no UTF-8."""
    line = data.count(b"\n", 0, error.start) + 1
    found = f"line {line} has the byte 0x{data[error.start]:02X}, which is not UTF-8"
    if any(byte in data for byte in NOT_IN_1252) or b"\0" in data:
        raise DataError(
            f"{name}: {found}, and the text is not Windows-1252 either; name what it is, such as --encoding cp1251 "
            "or --encoding shift_jis."
        )
    high = any(0x80 <= byte <= 0x9F for byte in set(data))
    used, named = ("cp1252", "Windows-1252") if high else ("iso8859-1", "Latin-1")
    return used, (f"Its {found}: taken as {named}; --encoding for another.",)


def _of_zeros(data: bytes) -> str:
    """UTF-16 without a byte-order mark: ASCII characters have a zero beside them."""
    sample = data[: 1 << 12]
    if len(sample) < 4 or len(data) % 2:
        return ""
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    half = len(sample) // 2
    if odd > 0.7 * half and not even:
        return "utf-16-le"
    return "utf-16-be" if even > 0.7 * half and not odd else ""


def _codec(encoding: str) -> str:
    try:
        found = codecs.lookup(encoding).name
        "a".encode(found)  # refuses what is no encoding of text, such as hex
    except (LookupError, ValueError):
        raise SettingsError(
            f"Unknown encoding {encoding!r:.60}; give utf-8, latin-1, cp1252, utf-16, or another that Python names."
        ) from None
    return "utf-8" if found in ("utf-8", "utf-8-sig") else found


def _undecodable(data: bytes, error: UnicodeDecodeError, name: str, encoding: str) -> DataError:
    line = data.count(b"\n", 0, error.start) + 1
    return DataError(
        f"{name}, line {line}: byte 0x{data[error.start]:02X} is not {encoding}: {error.reason}. Is that the file's "
        "encoding? --encoding names another."
    )


def _standard_input() -> bytes:
    if sys.stdin is None:  # `gpubp … <&-`, and programs that have none
        raise DataError("standard input: it is closed; pipe a table into it, or name a file.")
    try:
        given = getattr(sys.stdin, "buffer", sys.stdin).read()  # a notebook's, or a test's, may have text alone
    except (OSError, ValueError) as error:  # a folder, for example, or one that was closed meanwhile
        raise DataError(f"standard input: cannot be read: {getattr(error, 'strerror', None) or error}.") from None
    return given.encode() if isinstance(given, str) else given


def _file(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{name}: there is no such file.") from None
    except IsADirectoryError:
        raise DataError(f"{name} is a folder; name one file in it.") from None
    except PermissionError:
        raise DataError(f"{name}: no permission to read this file.") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise DataError(f"{name}: cannot be read: {error}.") from None


def _decompressed(data: bytes, compression: str, name: str) -> bytes:
    opened: dict[str, Callable[[IO[bytes]], Any]] = {
        "gzip": _gzip,
        "bzip2": bz2.BZ2File,
        "xz": lzma.LZMAFile,
        "Zstandard": _zstandard,
    }
    opener, most = opened[compression], most_bytes()
    kept, total, plausible = [], 0, LIKELY * len(data) + SMALL
    try:
        for part in _parts(opener, data):
            total += len(part)
            if total > most:
                raise too_large(name, most)
            if total <= plausible:
                kept.append(part)
            else:
                kept.clear()  # who knows how large it grows: first it is measured
        if total > plausible:
            kept = [*_parts(opener, data)]
    except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{name}: cannot be decompressed ({compression}): {_reason(error)}.") from None
    return b"".join(kept)


def _parts(opener: Callable[[IO[bytes]], Any], data: bytes) -> Iterator[bytes]:
    with opener(io.BytesIO(data)) as stream:
        while part := stream.read(CHUNK):
            yield part


def too_large(name: str, most: int) -> DataError:
    return DataError(
        f"{name}: grows to more than {most / 2**30:.1f} GiB when it is decompressed, a quarter of this machine's "
        "memory; give a part of it."
    )


def _gzip(file: IO[bytes]) -> gzip.GzipFile:
    return gzip.GzipFile(fileobj=file)


def _reason(error: Exception) -> str:
    return (str(error).strip().rstrip(".") or type(error).__name__)[:200]


def _zstandard(file: IO[bytes]) -> IO[bytes]:
    try:
        from compression import zstd  # type: ignore[import-not-found, unused-ignore]  # Python 3.14

        return zstd.open(file)  # type: ignore[no-any-return, unused-ignore]
    except ImportError:
        pass
    import zstandard

    class Stream(io.RawIOBase):
        """Errors as those of the other formats; a stream that ends early is one, unlike in zstandard's own reader."""

        def __init__(self) -> None:
            self.frame, self.rest, self.begun = zstandard.ZstdDecompressor().decompressobj(), b"", False

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            """Some bytes, not more than a few million: a piece of a few bytes may grow to 128 KiB."""
            while True:
                if self.frame.eof:
                    self.rest, self.begun = self.frame.unused_data + self.rest, False
                    self.frame = zstandard.ZstdDecompressor().decompressobj()
                piece, self.rest = self.rest[:PIECE] or file.read(PIECE), self.rest[PIECE:]
                if not piece and self.begun:
                    raise EOFError("Compressed file ended before the end-of-stream marker was reached")
                if not piece:
                    return b""
                self.begun = True
                try:
                    found = self.frame.decompress(piece)
                except zstandard.ZstdError as error:
                    raise OSError(str(error)) from None
                if found:
                    return bytes(found)

    return Stream()  # type: ignore[return-value]


def most_bytes() -> int:
    """A quarter of this machine's memory, for text is not all that a table needs; 4 GiB where it cannot be told."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4
    except (AttributeError, OSError, ValueError):
        return 4 << 30


def _only_text(data: bytes, name: str) -> bytes | None:
    """The one file in a ZIP archive; None where there are several, as in an office document. DataError where it is
    damaged, or needs a password.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            inner = [each for each in archive.infolist() if not each.is_dir() and "__MACOSX" not in each.filename]
            if len(inner) != 1:
                return None
            if inner[0].file_size > most_bytes():
                raise too_large(name, most_bytes())
            return archive.read(inner[0])
    except DataError:
        raise
    except Exception as error:  # zipfile's own, RuntimeError for a password, and whatever damaged names lead to
        raise DataError(f"{name}: cannot be decompressed (ZIP): {_reason(error)}.") from None
