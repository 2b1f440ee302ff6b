"""Excel's workbooks: small ones, written here."""

from __future__ import annotations

import io
import zipfile
from datetime import datetime
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from gpubp.errors import DataError, SettingsError
from gpubp.tables import content, read_table, workbooks

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"


def cell(value: object) -> str:
    if value is None:
        return "<c/>"
    if isinstance(value, bool):
        return f'<c t="b"><v>{int(value)}</v></c>'
    if isinstance(value, str):
        return f'<c t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'
    return f"<c><v>{value}</v></c>"


def workbook(**sheets: list[list[object]]) -> bytes:
    buffer, names = io.BytesIO(), [*sheets]
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{PACKAGE}/content-types"><Default Extension="xml" ContentType="application/xml"/></Types>',
        )
        archive.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="r" Type="{OFFICE}/officeDocument" '
            'Target="xl/workbook.xml"/></Relationships>',
        )
        listed = "".join(f'<sheet name="{name}" sheetId="{i}" r:id="r{i}"/>' for i, name in enumerate(names, 1))
        archive.writestr(
            "xl/workbook.xml", f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>{listed}</sheets></workbook>'
        )
        linked = "".join(
            f'<Relationship Id="r{i}" Type="{OFFICE}/worksheet" Target="worksheets/sheet{i}.xml"/>'
            for i in range(1, len(names) + 1)
        )
        archive.writestr(
            "xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{PACKAGE}/relationships">{linked}</Relationships>'
        )
        for i, rows in enumerate(sheets.values(), 1):
            data = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in rows)
            archive.writestr(
                f"xl/worksheets/sheet{i}.xml", f'<worksheet xmlns="{MAIN}"><sheetData>{data}</sheetData></worksheet>'
            )
    return buffer.getvalue()


ROWS: list[list[object]] = [
    ["name", "size", "when", "done"],
    ["red, blue", 1.5, "2020-01-31", True],
    ["green", None, "2020-02-01", False],
    ["red, blue", 1234, "2020-02-03", True],
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "book"  # known by its content


def test_a_sheet_is_a_table(path):
    path.write_bytes(workbook(Data=ROWS))
    table = read_table(path)
    assert table.names == ["name", "size", "when", "done"]
    assert table.frame["name"].to_list() == ["red, blue", "green", "red, blue"]
    assert table.frame["size"].to_list() == [1.5, None, 1234]
    assert table.frame["when"][0] == datetime(2020, 1, 31)
    assert table.frame["done"].to_list() == ["true", "false", "true"]
    assert table.notes[0] == "Read as Excel: 3 rows of 4 columns, with a header."


def test_titles_and_other_sheets(path):
    titled: list[list[object]] = [["Report of 2020"], [None], *ROWS]
    path.write_bytes(workbook(Empty=[], Data=titled, More=[["a", "b"], [1, 2], [3, 4]]))
    table = read_table(path)
    assert table.frame.shape == (3, 4)
    assert "The sheet is 'Data'; there are also 'Empty', 'More' (--sheet)." in table.notes
    assert read_table(path, sheet="More").frame.rows() == [(1, 2), (3, 4)]
    with pytest.raises(DataError, match="no sheet 'Nope'; the sheets are 'Empty', 'Data', 'More'"):
        read_table(path, sheet="Nope")


def test_what_cannot_be_read(path, monkeypatch):
    path.write_bytes(workbook(Empty=[]))
    with pytest.raises(DataError, match="no sheet with a table"):
        read_table(path)
    sound = workbook(Data=ROWS)
    for length in range(30, len(sound), 211):
        path.write_bytes(sound[:length])
        with pytest.raises(DataError, match=r"ZIP|workbook"):
            read_table(path)
    path.write_bytes(sound.replace(b"xl/workbook.xml", b"xl/workbooc.xml"))
    with pytest.raises(DataError, match="ZIP archive of several files"):
        read_table(path)
    path.write_text("a,b\n1,2\n")
    with pytest.raises(SettingsError, match="--sheet 'x' is for Excel workbooks"):
        read_table(path, sheet="x")
    path.write_bytes(sound)
    monkeypatch.setattr(workbooks, "most_bytes", lambda: 1000)
    with pytest.raises(DataError, match="grows to more than"):
        read_table(path)
    assert content.most_bytes() > 1 << 20


def test_without_the_reader(path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "fastexcel", None)
    path.write_bytes(workbook(Data=ROWS))
    with pytest.raises(SettingsError, match=r"pip install 'gpubp\[excel\]'"):
        read_table(path)
