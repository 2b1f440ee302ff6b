"""Files as they lie about: compressed, in old encodings, damaged, or no tables at all; and what is said of them."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import random
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
import zstandard

from gpubp.errors import DataError, GpubpError, SettingsError
from gpubp.tables import Table, content, read_table

TEXT = ("a,b\n" + "".join(f"{i},x{i % 3}\n" for i in range(200))).encode()


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def zst(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


PACKED = {
    "gzip": gzip.compress(TEXT),
    "bzip2": bz2.compress(TEXT),
    "xz": lzma.compress(TEXT),
    "Zstandard": zst(TEXT),
    "ZIP": zipped(table=TEXT),
}


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Table]:
    def read(data: bytes, **options: object) -> Table:
        (tmp_path / "table.csv").write_bytes(data)
        return read_table(tmp_path / "table.csv", **options)  # type: ignore[arg-type]

    return read


# --- compression -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*PACKED])
def test_compressed_files_are_read_and_damaged_ones_refused(read, kind):
    table = read(PACKED[kind])
    assert table.frame.shape == (200, 2)
    assert table.notes[0].endswith(f"separated by commas, compressed with {kind}, with a header.")
    for length in (6, len(PACKED[kind]) // 2, len(PACKED[kind]) - 1):
        with pytest.raises(DataError, match=rf"cannot be decompressed \({kind}\): \w"):
            read(PACKED[kind][:length])


def test_streams_that_follow_one_another_are_one(read):
    for pack in (gzip.compress, bz2.compress, lzma.compress, zst):
        assert read(pack(TEXT[:500]) + pack(TEXT[500:])).frame.equals(read(TEXT).frame)


def test_a_cut_zstandard_stream_of_many_blocks_is_no_shorter_table(read):
    rows = "".join(f"{random.Random(0).random()},{i}\n" for i in range(50_000)).encode()
    packed = zst(b"a,b\n" + rows)
    assert read(packed).rows == 50_000
    with pytest.raises(DataError, match="ended before"):
        read(packed[: 2 * len(packed) // 3])


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zst, lambda data: zipped(table=data)])
def test_what_grows_too_large_is_refused(read, monkeypatch, pack):
    monkeypatch.setattr(content, "most_bytes", lambda: 1 << 20)
    monkeypatch.setattr(content, "CHUNK", 1 << 16)
    assert read(pack(TEXT)).rows == 200
    with pytest.raises(DataError, match=r"grows to more than 0\.0 GiB"):
        read(pack(b"1,2\n" * (1 << 20)))


def test_what_grows_suspiciously_is_measured_before_it_is_kept(read, monkeypatch):
    monkeypatch.setattr(content, "SMALL", 1 << 10)
    monkeypatch.setattr(content, "CHUNK", 1 << 10)
    passes, parts = [], content._parts
    monkeypatch.setattr(content, "_parts", lambda *given: passes.append(1) or parts(*given))
    rows = b"1,2\n" * 100_000
    assert read(gzip.compress(rows)).rows == 100_000
    assert len(passes) == 2


def test_archives_of_several_files_and_passwords_are_refused(read):
    with pytest.raises(DataError, match="ZIP archive of several files"):
        read(zipped(a=TEXT, b=TEXT))
    locked = bytearray(zipped(a=TEXT))
    locked[6] |= 1
    locked[locked.rindex(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(DataError, match="password"):
        read(bytes(locked))


@pytest.mark.parametrize("kind", [*PACKED, "", "UTF-16", "Arrow"])
def test_no_spoiled_byte_makes_it_fail_otherwise(read, kind):
    arrow = io.BytesIO()
    pl.read_csv(TEXT).write_ipc(arrow)
    sound = {"": TEXT, "UTF-16": TEXT.decode().encode("utf-16"), "Arrow": arrow.getvalue(), **PACKED}[kind]
    source = random.Random(kind)
    for _ in range(4 if kind == "Arrow" else 30):
        data = bytearray(sound[: source.randint(1, len(sound)) if source.random() < 0.3 else None])
        for _ in range(source.randint(1, 4)):
            data[source.randrange(len(data))] = source.choice([0, 10, 34, 44, 255, source.randrange(256)])
        with contextlib.suppress(GpubpError):
            assert read(bytes(data)).rows > 0


# --- encodings -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "mark", "said"),
    [
        ("utf-8", b"", ""),
        ("utf-8", b"\xef\xbb\xbf", ""),
        ("utf-16-le", b"\xff\xfe", "UTF-16"),
        ("utf-16-be", b"\xfe\xff", "UTF-16"),
        ("utf-16-le", b"", "UTF-16"),
        ("utf-16-be", b"", "UTF-16"),
        ("utf-32-le", b"\xff\xfe\0\0", "UTF-32"),
        ("latin-1", b"", "Latin-1"),
        ("cp1252", b"", "Windows-1252"),
    ],
)
def test_encodings_are_found_and_said(read, encoding, mark, said):
    words = "Größe,Preis €" if encoding == "cp1252" else "Größe,Preis"
    text = words + "\nklein,1\nmäßig,2\ngroß,3\n" + "klein,4\n" * 20
    table = read(mark + text.encode(encoding))
    assert table.names == words.split(",")
    assert table.frame["Größe"][1] == "mäßig"
    assert (f"in {said}," in table.notes[0]) if said else " in " not in table.notes[0]
    if said in ("Latin-1", "Windows-1252"):
        assert "line 1 has the byte 0xF6, which is not UTF-8" in table.notes[1]
        assert f"taken as {said}; --encoding for another" in table.notes[1]


def test_an_encoding_can_be_given(read):
    text = "город,n\nОсло,1\nРим,2\n"
    assert read(text.encode("cp1251"), encoding="cp1251").frame["город"].to_list() == ["Осло", "Рим"]
    assert read("é,n\nx,1\n".encode(), encoding="UTF8").names == ["é", "n"]
    with pytest.raises(DataError, match=r"line 2: byte 0x.* is not utf-8"):
        read("n,город\n1,Осло\n".encode().replace("О".encode(), b"\xff"), encoding="utf-8")
    for wrong in ("klingon", "base64", "", "a\0b"):
        with pytest.raises(SettingsError, match="encoding"):
            read(TEXT, encoding=wrong)


@pytest.mark.parametrize(
    "data",
    [b"\xff\xfea\0,\0b", b"\xff\xfe\0\xd8a\0", b"\xff\xfe\0\0\xff\xff\xff\xff", b"\xfe\xff\0a\0\0", b"a,b\n1,\0\n"],
)
def test_what_is_no_text_is_refused_in_words(read, data):
    with pytest.raises(DataError, match=r"is not utf|null characters|binary file"):
        read(data)


@pytest.mark.parametrize(
    "data", [b"", b"  \n\n", b"\xef\xbb\xbf", b"\xff\xfe", b"a,b\n", b"# hi\n", b"Title\n", b"sep=;\n"]
)
def test_files_without_a_row_are_refused(read, data):
    with pytest.raises(DataError, match=r"is empty|no rows of data|nothing is left"):
        read(data)


# --- what is no table ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b'{"a": 1}\n{"a": 2}\n', "JSON lines"),
        (b'[{"a": 1},\n {"a": 2}]', "JSON"),
        (b"1 1:0.5 3:2\n-1 2:1\n", "libsvm"),
        (b"<!DOCTYPE html><html></html>", "HTML page"),
        (b"<?xml version='1.0'?><a/>", "XML"),
        (b"% iris\n@relation iris\n@attribute a numeric\n", "ARFF"),
        (b"%PDF-1.4 ...", "PDF"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", r"\.xls"),
        (b"SQLite format 3\0 ...", "SQLite"),
        (b"\x93NUMPY\x01\0", "NumPy"),
        (b"\x80\x04\x95", "pickle"),
        (b"RDX3\nX\n\0\0", "R data"),
    ],
)
def test_other_formats_are_refused_by_their_names(read, data, what):
    with pytest.raises(DataError, match=what):
        read(data)


@pytest.mark.parametrize("names", ["ORC,b", "ORC1,b", "RDA,b", "FEA1,b", "[a],{b}"])
def test_what_only_looks_like_them_is_read(read, names):
    assert read(f"{names}\n1,2\n3,4\n".encode()).names == names.split(",")


def test_a_spreadsheets_error_is_no_comment(read):
    assert read(b"#N/A,1\nx,2\ny,3\n", header=False).frame.rows() == [(None, 1), ("x", 2), ("y", 3)]
    assert read(b"#NAMES of things\na,b\n1,2\n").names == ["a", "b"]


def test_many_columns_and_long_lines(read):
    wide = ",".join(f"c{i}" for i in range(5000)) + "\n" + 3 * (",".join(["1.5"] * 5000) + "\n")
    assert read(wide.encode()).frame.shape == (3, 5000)
    same = read(wide.replace("c1,", "c0,").replace("c2,", "c0,").encode())
    assert same.names[:3] == ["c0", "c0_2", "c0_3"]
    many = read((",".join(["x"] * 50) + "\n" + ",".join(["1.5"] * 50) + "\n").encode())
    assert len(set(many.names)) == 50
    assert any("44 more columns" in note for note in many.notes)
    assert len(many.notes) < 9
    with pytest.raises(DataError, match="no rows"):
        read(b"x" * 1_000_000)
