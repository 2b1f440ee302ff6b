"""Files that are no tables for gpubp, recognised and refused by their own names."""

from __future__ import annotations

import json
import re

from gpubp.errors import DataError

BINARY = {
    b"PK\x03\x04": "a ZIP archive of several files; extract the table that you want",
    b"%PDF": "a PDF document; export the table as CSV",
    b"\x89HDF": "an HDF5 file; export the table as CSV or Parquet",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook (.xls); save it as .xlsx or CSV",
    b"FEA1": "a Feather file of version 1; write it again with today's pandas or pyarrow (version 2)",
    b"SQLite format 3\0": "an SQLite database; export a table as CSV",
    b"\x93NUMPY": "a NumPy array; write it with numpy.savetxt(..., delimiter=','), or use it in Python",
    b"ORC": "an ORC file; export the table as Parquet",
    b"Obj\x01": "an Avro file; export the table as Parquet",
    b"RDX2\n": "R data (.rda); write the frame with write.csv",
    b"RDX3\n": "R data (.rda); write the frame with write.csv",
    b"RDA2\n": "R data (.rda); write the frame with write.csv",
    b"RDA3\n": "R data (.rda); write the frame with write.csv",
    b"X\n\0\0\0": "an R object (.rds); write the frame with write.csv",
    b"$FL2": "an SPSS file; export the table as CSV",
    b"<stata_dta>": "a Stata file; export the table as CSV",
    b"\x80\x04": "a Python pickle, which could hold a program; write the table as CSV or Parquet",
    b"\x80\x05": "a Python pickle, which could hold a program; write the table as CSV or Parquet",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; extract the table",
    b"Rar!": "a RAR archive; extract the table",
}
LIBSVM = re.compile(rb"^[+-]?[0-9.,eE+-]+( +[0-9]+:[^\s:]+)+ *(#.*)?$")
CONTROL = re.compile(rb"[\0-\x08\x0e-\x1a]")
LINES = 5


def refuse_binary(data: bytes, name: str) -> None:
    for magic, what in BINARY.items():
        if data.startswith(magic):
            if magic.isalnum() and not CONTROL.search(data[:64]):
                continue  # a text that begins with these letters
            raise DataError(f"{name}: this file is {what}.")


def refuse_text(data: bytes, name: str) -> None:
    """JSON, libsvm, HTML, XML and ARFF, which otherwise would be tables of one odd column."""
    beginning = data.lstrip()[: 1 << 16]
    lines = [line.strip() for line in beginning.split(b"\n") if line.strip()][: LINES + 1]
    if what := _json(beginning, lines):
        raise DataError(f"{name}: this is {what}, not a table; convert it to CSV or Parquet first (pandas.read_json).")
    if len(lines) and all(LIBSVM.match(line) for line in lines[:LINES]):
        raise DataError(
            f"{name}: this is a libsvm file (label index:value index:value ...), not a table; convert it first, for "
            "example with sklearn.datasets.load_svmlight_file."
        )
    lower = beginning[:512].lower()
    if lower.startswith((b"<!doctype html", b"<html", b"<table")):
        raise DataError(
            f"{name}: this is an HTML page, not a table; was a link saved in place of the file it leads to?"
        )
    if lower.startswith(b"<?xml"):
        raise DataError(f"{name}: this is XML, not a table; export it as CSV.")
    if any(line.lower().startswith(b"@relation") for line in lines) or re.search(rb"(?im)^@relation\s", beginning):
        raise DataError(f"{name}: this is an ARFF file (Weka), not a table; export it as CSV (scipy.io.arff reads it).")


def _json(beginning: bytes, lines: list[bytes]) -> str:
    if not beginning.startswith((b"{", b"[")):
        return ""
    try:
        first = json.loads(lines[0])
    except (ValueError, RecursionError):
        return "JSON" if re.match(rb'[\[{]\s*(["\[{]|$)', beginning[:200]) and b'"' in beginning else ""
    return (
        "JSON lines"
        if isinstance(first, dict) and len(lines) > 1
        else "JSON"
        if isinstance(first, (dict, list))
        else ""
    )
