"""The columns of other libraries' data frames, as polars has them, in the types that a `Table` has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl

from gpubp.errors import DataError, quoted
from gpubp.tables.names import distinct

SHOWN = 5


def is_frame(data: Any) -> bool:
    """Whether it is polars', pandas' or anybody's table, and not an array."""
    if isinstance(data, (pl.DataFrame, pl.LazyFrame)):
        return True
    return not isinstance(data, np.ndarray) and (hasattr(data, "columns") or hasattr(data, "__arrow_c_stream__"))


def columns_of(frame: Any, source: str) -> tuple[list[pl.Series], tuple[str, ...]]:
    """The columns of a polars, pandas or Arrow frame, with distinct names; and notes on names that were changed."""
    if isinstance(frame, pl.LazyFrame):
        frame = frame.collect()
    if isinstance(frame, pl.DataFrame):
        return frame.get_columns(), ()
    if not hasattr(frame, "iloc") and hasattr(frame, "__arrow_c_stream__"):
        return columns_of(_from_arrow(frame, source), source)
    given = [str(name) for name in frame.columns]
    names = distinct(given)
    changed = [(old, new) for old, new in zip(given, names, strict=True) if old != new]
    notes: tuple[str, ...] = ()
    if changed:
        said = ", ".join(f"{quoted(old)} as {quoted(new)}" for old, new in changed[:SHOWN])
        more = ", ..." if len(changed) > SHOWN else ""
        notes = (f"Columns that have another's name are called otherwise: {said}{more}.",)
    return [series_of(_column(frame, i), name, source) for i, name in enumerate(names)], notes


def _from_arrow(frame: Any, source: str) -> pl.DataFrame:
    names = getattr(frame, "column_names", None)
    if isinstance(names, Sequence) and len({*names}) < len(names):
        raise DataError(f"{source}: some columns have the same name; give each its own.")
    try:
        found = pl.from_arrow(frame)
    except Exception as error:  # whatever another library's stream, or an older polars, raises
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"{source}: polars cannot take this {type(frame).__name__} from Arrow ({reason:.200}). Give a polars or "
            "pandas DataFrame."
        ) from None
    if isinstance(found, pl.DataFrame):
        return found
    return found.struct.unnest() if found.dtype == pl.Struct else found.to_frame()


def _column(frame: Any, place: int) -> Any:
    return frame.iloc[:, place] if hasattr(frame, "iloc") else frame[frame.columns[place]]


def series_of(column: Any, name: str, source: str) -> pl.Series:
    """A pandas-like column or an array, as polars. Objects: numbers or times if all are, else text."""
    missing = np.asarray(column.isna()) if hasattr(column, "isna") else None
    is_category = str(getattr(column, "dtype", "")) == "category"
    if missing is not None and missing.any() and not isinstance(getattr(column, "dtype", np.dtype(object)), np.dtype):
        column = column.astype(object)  # pandas would make floats of nullable whole numbers
    array = np.asarray(column)
    if array.ndim != 1:
        raise DataError(f"{source}: column {quoted(name)} has shape {array.shape}; expected one value per row.")
    if array.dtype.kind not in "biufUOMm":
        raise DataError(f"{source}: column {quoted(name)} has type {array.dtype}; turn it into numbers or text first.")
    if is_category or (missing is not None and array.dtype.kind == "O"):
        array = array.astype(object)
        array[missing] = None
    if array.dtype.kind in "Mm":
        return pl.Series(name, array.astype(f"{array.dtype.kind}8[us]"))
    if array.dtype.kind != "O":
        return pl.Series(name, array.tolist() if array.dtype.kind == "U" else array)
    values = [None if v is None or (isinstance(v, float | np.floating) and v != v) else v for v in array]
    return _from_objects(values, name, source, as_text=is_category)


def _from_objects(values: list[Any], name: str, source: str, as_text: bool) -> pl.Series:
    known = [value for value in values if value is not None]
    for row, value in enumerate(values):
        if isinstance(value, (bytes, list, tuple, set, Mapping, np.ndarray)) or np.iscomplexobj(value):
            raise DataError(
                f"{source}, row {row + 1}, column {quoted(name)}: found a value of type {type(value).__name__}; turn "
                "the column into numbers or text first, or leave it out."
            )
    dtype: Any = pl.String
    convert: Any = _text
    if known and not as_text:
        kinds = {type(value) for value in known}
        if all(issubclass(kind, int | np.integer) and kind is not bool for kind in kinds):
            if all(-(2**63) <= value < 2**63 for value in known):
                dtype, convert = pl.Int64, int
            else:
                dtype, convert = pl.Float64, float
        elif all(issubclass(kind, int | float | np.number | Decimal) and kind is not bool for kind in kinds):
            dtype, convert = pl.Float64, float
        elif all(issubclass(kind, date) for kind in kinds):
            dtype, convert = pl.Datetime("us"), _time
    return pl.Series(name, [None if value is None else convert(value) for value in values], dtype=dtype)


def _text(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return str(value).lower()
    if isinstance(value, float | np.floating) and float(value).is_integer() and abs(float(value)) < 2.0**53:
        return str(int(value))
    return str(value)


def _time(value: date) -> datetime:
    if not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day)
    plain = value.to_pydatetime(warn=False) if hasattr(value, "to_pydatetime") else value
    return plain.astimezone(timezone.utc).replace(tzinfo=None) if plain.tzinfo else plain


def normalised(column: pl.Series, source: str) -> pl.Series:
    """One of Table's types; DataError where the type has no meaning for a network's input."""
    if column.null_count() == len(column):
        return pl.Series(column.name, [None] * len(column), dtype=pl.Float64)
    if column.dtype.is_integer():
        wide = column.cast(pl.Int64, strict=False)  # unsigned 64-bit integers may not fit
        return wide if wide.null_count() == column.null_count() else column.cast(pl.Float64)
    if column.dtype.is_float() or column.dtype.is_decimal():
        numbers = column.cast(pl.Float64)
        return numbers.set(numbers.is_nan(), None)  # unlike fill_nan, by this thread alone (forks.py)
    if column.dtype in (pl.Boolean, pl.String, pl.Categorical, pl.Enum):
        return column.cast(pl.String)
    if column.dtype in (pl.Date, pl.Datetime):
        return (
            column.cast(pl.Datetime("us"))
            if column.dtype == pl.Date
            else column.cast(pl.Datetime("us")).dt.replace_time_zone(None)
        )
    if column.dtype in (pl.Time, pl.Duration):
        return column.cast(pl.Duration("us")).cast(pl.Int64).cast(pl.Float64) / 1e6
    raise DataError(
        f"{source}: column {column.name!r} has type {column.dtype}; turn it into numbers or text first, "
        "or leave it out."
    )
