"""Fields into values: numbers, text, missing; and whether the first line names the columns."""

from __future__ import annotations

import polars as pl

MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "None", "?")
"""What a missing value looks like, quoted or not: quotes in CSV separate fields, they carry no type."""


def typed(column: pl.Series, decimal_comma: bool) -> pl.Series:
    """A String column as Int64, Float64 or String, without the spaces around its values.

    It is numeric when every value that is not missing is a number; a column without values is Float64. With
    `decimal_comma`, "1,5" is 1.5, unless the column has numbers with decimal points as well.
    """
    text = column.str.strip_chars()
    text = text.set(text.is_in(MISSING), None)
    if decimal_comma and not text.str.contains(r"^[+-]?[0-9]*\.[0-9]*$").any():
        text = text.str.replace(r"^([+-]?[0-9]*),([0-9]+(?:[eE][+-]?[0-9]+)?)$", "${1}.${2}")
    numbers = text.cast(pl.Float64, strict=False)
    if numbers.null_count() > text.null_count():
        return _lower_booleans(text)
    whole = text.cast(pl.Int64, strict=False)
    if whole.null_count() == text.null_count() < len(text):
        return whole
    return numbers.fill_nan(None)


def _lower_booleans(text: pl.Series) -> pl.Series:
    """True/TRUE/true and False/FALSE/false are one spelling each, as in Parquet's boolean columns."""
    lower = text.str.to_lowercase()
    return lower if lower.drop_nulls().is_in(["true", "false"]).all() else text


def has_header(frame: pl.DataFrame, decimal_comma: bool) -> bool:
    """Whether the first row of this all-text frame names the columns (rule: `read_table`)."""
    first = [typed(column.head(1), decimal_comma) for column in frame]
    if any(column.dtype != pl.String and column[0] is not None for column in first):
        return False
    fields = frame.select(pl.all().str.strip_chars()).row(0)
    names = [field if column.dtype == pl.String else None for field, column in zip(fields, first, strict=True)]
    rest = [column.slice(1) for column in frame]
    for name, column in zip(names, rest, strict=True):
        if name is not None:
            values = typed(column, decimal_comma)
            if values.dtype != pl.String and values.null_count() < len(values):
                return True
    if None in names or len(set(names)) < len(names):
        return False
    return not any((column.str.strip_chars() == name).any() for name, column in zip(names, rest, strict=True))
