"""Excel's workbooks (.xlsx, .ods and their kin): one sheet as text, read by polars with the package fastexcel."""

from __future__ import annotations

import io
import zipfile

import polars as pl

from gpubp.errors import DataError, SettingsError
from gpubp.tables.content import most_bytes, too_large
from gpubp.tables.forks import require_polars

PARTS = ("xl/workbook.xml", "xl/workbook.bin")
OPEN_DOCUMENT = b"application/vnd.oasis.opendocument.spreadsheet"


def is_workbook(data: bytes) -> bool:
    if not data.startswith(b"PK\x03\x04"):
        return False
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            open_document = "mimetype" in names and archive.open("mimetype").read(100).strip() == OPEN_DOCUMENT
            return open_document or any(part in names for part in PARTS)
    except Exception:  # whatever a damaged archive leads to
        return False


def read_workbook(data: bytes, name: str, sheet: str | None) -> tuple[bytes, tuple[str, ...]]:
    """(the sheet as CSV, remarks); the first one with something in it unless one is named. DataError where there is no
    such sheet, SettingsError where the package that reads workbooks is missing.
    """
    require_polars(name)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(each.file_size for each in archive.infolist()) > most_bytes():
            raise too_large(name, most_bytes())
    try:
        import fastexcel
    except ImportError:
        raise SettingsError(
            f"{name} is an Excel workbook: pip install 'gpubp[excel]' brings the reader, or export the sheet as CSV."
        ) from None
    try:
        names = list(fastexcel.read_excel(data).sheet_names)
        if sheet is not None and sheet not in names:
            raise DataError(f"{name}: there is no sheet {sheet!r}; the sheets are {', '.join(map(repr, names))}.")
        for chosen in [sheet] if sheet is not None else names:
            frame = _sheet(data, chosen)
            if frame.height and frame.width:
                break
        else:
            raise DataError(f"{name}: found no sheet with a table in it.")
    except DataError:
        raise
    except (Exception, pl.exceptions.PanicException) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(f"{name}: this is not a readable workbook: {first[:300]}") from None
    others = [each for each in names if each != chosen]
    remarks = (f"The sheet is {chosen!r}; there are also {', '.join(map(repr, others))} (--sheet).",) if others else ()
    return frame.write_csv(include_header=False, null_value="", quote_style="necessary").encode(), remarks


def _sheet(data: bytes, sheet: str | None) -> pl.DataFrame:
    """All cells as texts, the header too."""
    return pl.read_excel(
        io.BytesIO(data),
        sheet_name=sheet,
        engine="calamine",
        has_header=False,
        infer_schema_length=0,
        read_options={"dtypes": "string"},
        drop_empty_rows=False,
        drop_empty_cols=False,
        raise_if_empty=False,
    )
