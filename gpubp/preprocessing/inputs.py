"""`Preprocessing`: the input columns of a table as the float64 matrix X (N, D) that networks read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from gpubp.errors import DataError, quoted
from gpubp.errors.suggestions import check_choice
from gpubp.preprocessing.categories import encode_categories, encoded_categories
from gpubp.preprocessing.choosing import NOTED, LeftOut
from gpubp.preprocessing.column_match import ColumnMatch
from gpubp.preprocessing.columns import Column, are_truths, numeric_values
from gpubp.preprocessing.dates import calendar, time_values
from gpubp.preprocessing.number_fit import NumberFit
from gpubp.preprocessing.quantiles import normal_scores, quantile_count
from gpubp.preprocessing.scaling import LARGEST, SCALES, negligible_span, scaled_values, selected, smoothly_clipped
from gpubp.preprocessing.wording import some
from gpubp.storage.array_files import array
from gpubp.storage.schema import Given

if TYPE_CHECKING:
    from gpubp.tables import Table
    from gpubp.tables.description import Reading

FEW_NUMBERS = 1 << 12


@dataclass(frozen=True, eq=False)
class Encoded:
    """X (N, D) float64, finite and within ±1e30; notes: sentences on what was replaced or not recognised."""

    X: np.ndarray
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """x = (value or fill - offset) / scale per numeric column and number of a date, smoothly clipped at ±3 where
    `scaling` is "robust", or the normal score of (value or fill) where it is "quantile"; categories by their encoding.

    fill, offset, scale: (D,) float64 each; 0, 0 and 1 for sines, cosines, indicators, and categories unless their
    encoding is "scaled". quantiles: (M, Q) of the M inputs that are scaled, ascending, for the scaling "quantile"; None
    for others. `constant` names the numeric columns that had one value while fitting: their scale is 1, so that they
    become zeros (unless `scaling` is "none").
    `notes`: how the table was read and what the fit found, as sentences. `left_out`: columns that are no inputs.
    `reading`: how the training table was read; None where it came from Python.
    """

    columns: tuple[Column, ...]
    places: ColumnMatch
    scaling: str
    fill: np.ndarray
    offset: np.ndarray
    scale: np.ndarray
    constant: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    reading: Reading | None = None
    quantiles: np.ndarray | None = None

    @classmethod
    def fit(
        cls,
        table: Table,
        columns: Sequence[Column],
        *,
        scale: str = "standard",
        rows: np.ndarray | None = None,
        target: str | None = None,
    ) -> Preprocessing:
        """Fit on `rows` (indices or mask (N,)) of `table` only; the others do not influence the result.

        Missing numbers become the median of the column; of a date, each number by itself. Then scale "robust": median
        0, interquartile range 1, smoothly clipped at ±3; "quantile": normal scores (see `quantiles`); both of the known
        values alone, so that many missing ones do not narrow the range. "standard": mean 0, standard deviation 1
        (divisor N); "minmax": [0, 1]; "none": as they are.
        `target` is only remembered, so that tables with and without it can be predicted on.
        """
        check_choice("scale", scale, SCALES)
        chosen = selected(rows, table)
        width = sum(len(column.input_names) for column in columns)
        fill, offset, divisor = np.zeros(width), np.zeros(width), np.ones(width)
        count = quantile_count(len(chosen))
        quantiles: list[np.ndarray | None] = []
        constant: list[str] = []
        notes: list[str] = []
        gaps, kept_apart, zeroed = list[str](), list[str](), list[str]()
        d = 0
        for column in columns:
            name = column.name
            values = _to_be_scaled(column, table)[chosen]
            fits = [NumberFit.of(its, scale, count) for its in values.T]
            for place, found in zip((d + np.flatnonzero(column.is_scaled)).tolist(), fits, strict=True):
                offset[place], divisor[place] = found.offset, found.scale
                if column.kind != "categorical":
                    fill[place] = found.fill
                quantiles.append(found.quantiles)
            if column.kind == "numeric":
                found = fits[0]
                if found.missing:
                    how = "" if found.missing < len(chosen) else ", for want of any value"
                    gaps.append(f"{quoted(name)} ({found.missing:,}, by {found.fill:g}{how})")
                if found.is_constant:
                    constant.append(name)
                    notes.append(f"Column {name!r} always has the value {found.fill:g}: it tells a network nothing.")
            elif column.kind == "date":
                if absent := int(np.isnan(values).any(axis=1).sum()):
                    notes.append(
                        f"Column {name!r}: {absent} missing date(s): the median of each number, and 0 for each sine "
                        "and cosine."
                    )
            elif column.has_missing:
                missing = int(table.frame[name].is_null().to_numpy()[chosen].sum())
                (kept_apart if column.tells_missing else zeroed).append(f"{quoted(name)} ({missing:,})")
            d += len(column.input_names)
        if gaps:
            notes.append(f"Missing numbers are replaced by the median of the column: {some(gaps, NOTED)}.")
        if indicated := [quoted(column.name) for column in columns if column.has_indicator]:
            notes.append(f"Inputs of their own say where values are missing: {some(indicated, NOTED)}.")
        if kept_apart:
            notes.append(f"Missing texts are a category of their own: {some(kept_apart, NOTED)}.")
        if zeroed:
            notes.append(f"Missing texts are zeros: {some(zeroed, NOTED)}.")
        places = ColumnMatch.of(table, [column.name for column in columns], target)
        table_of_them = np.array(quantiles).reshape(len(quantiles), count) if scale == "quantile" else None
        return cls(
            tuple(columns),
            places,
            scale,
            fill,
            offset,
            divisor,
            tuple(constant),
            tuple(notes),
            quantiles=table_of_them,
        )

    @property
    def input_names(self) -> tuple[str, ...]:
        """(D,) what each input is: "length" for a number, "colour=red" for a category, "when: month" for a date."""
        return tuple(name for column in self.columns for name in column.input_names)

    def transform(self, table: Table) -> Encoded:
        """Encode every row. Columns are found as `ColumnMatch` says; DataError where one cannot be, or holds text.

        A category is found in another spelling, too (see `labels.places_among`). One that was not there while fitting
        counts as missing: the input of missing values if the column has one, all zeros if not.
        """
        names, notes = self.places.find(table)
        filled: list[str] = []
        X = np.zeros((table.rows, len(self.fill)))
        plain = self._plain_numbers(table, names)
        d = 0
        for column, name in zip(self.columns, names, strict=True):
            inputs = len(column.input_names)
            if column.kind == "numeric":
                X[:, d] = self._numbers(column.name, d, table, name, notes, filled) if plain is None else plain[:, d]
            elif column.kind == "date":
                X[:, d : d + inputs - column.has_indicator] = self._dates(column, d, table, name, notes)
            else:
                encode_categories(X[:, d : d + inputs], column, table, name, notes)
                for i in np.flatnonzero(column.is_scaled).tolist():
                    X[:, d + i] = self._scaled(X[:, d + i], d + i, table, name)
            if column.has_indicator:
                X[:, d + inputs - 1] = table.frame[name].is_null().to_numpy()
            d += inputs
        if filled:
            notes.append(f"Missing numbers are replaced by medians of the training: {some(filled, NOTED)}.")
        return Encoded(X, tuple(notes))

    def read_alike(self, data: Any, target: str) -> tuple[Table, tuple[str, ...]]:
        """(whatever `table_of` takes as a table, a text file read as the training table was; notes on how it differs).

        target: the column that it may lack.
        """
        from gpubp.tables import table_of
        from gpubp.tables.likeness import read_like

        table = table_of(data)
        return (table, ()) if self.reading is None else read_like(table, self.reading, target)

    def _plain_numbers(self, table: Table, names: Sequence[str]) -> np.ndarray | None:
        """(N, D): the numeric inputs of a few rows, scaled all at once, since each column by itself takes longer than
        the network; None where there are many rows, or a column that a note or an error is to be written about.
        """
        if self.constant or table.rows * len(self.fill) > FEW_NUMBERS:
            return None
        if any(
            column.kind == "numeric" and not table.frame[name].dtype.is_numeric()
            for column, name in zip(self.columns, names, strict=True)
        ):
            return None
        X = np.zeros((table.rows, len(self.fill)))
        d = 0
        for column, name in zip(self.columns, names, strict=True):
            if column.kind == "numeric":
                X[:, d] = numeric_values(table, name)
            d += len(column.input_names)
        if self.quantiles is not None:
            return None if np.isnan(X).any() else self.scaled(X)
        with np.errstate(over="ignore"):
            scaled = (X - self.offset) / self.scale
        if self.scaling == "robust":
            scaled = smoothly_clipped(scaled)
        return scaled if (np.abs(scaled) <= LARGEST).all() else None  # which a missing value is not

    def _numbers(self, column: str, d: int, table: Table, name: str, notes: list[str], filled: list[str]) -> np.ndarray:
        """(N,), scaled; `filled` is told of missing values, `notes` of what else there is to say."""
        if are_truths(table, name):
            values = (table.frame[name] == "true").cast(float).fill_null(float("nan")).to_numpy()
            notes.append(f"Column {name!r}: true and false are taken as the numbers 1 and 0.")
        else:
            values = numeric_values(table, name)
        missing = np.isnan(values)
        if missing.any():
            filled.append(f"{quoted(name)} ({missing.sum():,}, by {self.fill[d]:g})")
            values = np.where(missing, self.fill[d], values)
        if column in self.constant:
            changed = np.abs(values - self.fill[d]) > negligible_span(self.fill[d])
            if changed.any():
                notes.append(
                    f"Column {name!r}: {changed.sum()} value(s) differ from {self.fill[d]:g}, the only one "
                    "in training; what a network makes of them is arbitrary."
                )
        return self._scaled(values, d, table, name)

    def _scaled(self, values: np.ndarray, d: int, table: Table, name: str) -> np.ndarray:
        """Values (N,) of input d, none of them missing; DataError where one lies too far outside."""
        if self.quantiles is not None:  # nothing does
            return normal_scores(values, self.quantiles_of(d))
        if self.scaling == "robust":
            with np.errstate(over="ignore"):
                return smoothly_clipped((values - self.offset[d]) / self.scale[d])
        return scaled_values(values, self.offset[d], self.scale[d], table, name)

    def quantiles_of(self, d: int) -> np.ndarray:
        """(Q,) of input d, one that is scaled, where the scaling is "quantile"."""
        assert self.quantiles is not None
        found: np.ndarray = self.quantiles[self._place[d]]
        return found

    @cached_property
    def _place(self) -> dict[int, int]:
        """Of each of the inputs that are scaled its place among them."""
        scaled = [each for column in self.columns for each in column.is_scaled]
        return {d: place for place, d in enumerate(np.flatnonzero(scaled).tolist())}

    def unscaled(self) -> Preprocessing:
        """The same without its scaling: numbers as they are, missing ones filled in."""
        zeros, ones = np.zeros_like(self.offset), np.ones_like(self.scale)
        return replace(self, scaling="none", offset=zeros, scale=ones, quantiles=None)

    def scaled(self, X: np.ndarray) -> np.ndarray:
        """X (N, D) as `unscaled` gives it, scaled."""
        if self.quantiles is not None:
            found, numbers = X.copy(), [*self._place]
            at_once = len(numbers) if X.size <= FEW_NUMBERS else 1
            for first in range(0, len(numbers), at_once or 1):
                some = numbers[first : first + at_once]
                found[:, some] = normal_scores(X[:, some], self.quantiles[first : first + at_once])
            return found
        with np.errstate(over="ignore"):
            found = (X - self.offset) / self.scale
        if self.scaling != "robust":
            return found
        numbers = [each for column in self.columns for each in column.is_scaled]
        return np.where(numbers, smoothly_clipped(found), found)

    def _dates(self, column: Column, d: int, table: Table, name: str, notes: list[str]) -> np.ndarray:
        """(N, inputs of the column but for its indicator)"""
        values = calendar(time_values(table, name), column.parts)
        missing = np.isnan(values)
        if missing.any():
            notes.append(f"Column {name!r}: {missing.any(axis=1).sum()} missing date(s) replaced by medians and zeros.")
            values = np.where(missing, self.fill[d : d + values.shape[1]], values)
        for i in np.flatnonzero(column.is_scaled).tolist():
            values[:, i] = self._scaled(values[:, i], d + i, table, name)
        return values

    def to_metadata(self) -> dict[str, Any]:
        """Everything but the arrays, as JSON-able values."""
        return {
            "columns": [column.to_metadata() for column in self.columns],
            "places": self.places.to_metadata(),
            "scaling": self.scaling,
            "constant": list(self.constant),
            "notes": list(self.notes),
            "left_out": [{"name": each.name, "reason": each.reason} for each in self.left_out],
            "reading": None if self.reading is None else self.reading.to_metadata(),
        }

    def to_arrays(self) -> dict[str, np.ndarray]:
        names = ("fill", "offset", "scale", *(["quantiles"] if self.quantiles is not None else []))
        return {f"preprocessing.{name}": getattr(self, name) for name in names}

    @classmethod
    def from_parts(cls, metadata: Any, arrays: Mapping[str, np.ndarray]) -> Preprocessing:
        """The inverse of to_metadata and to_arrays (ignores other arrays); DataError for damaged parts."""
        given = Given(metadata, "preprocessing")
        columns = given["columns"].each(Column.from_given)
        places = ColumnMatch.from_metadata(given["places"], [column.name for column in columns])
        width = sum(len(column.input_names) for column in columns)
        constant = given["constant"].distinct_texts()
        if not set(constant) <= {column.name for column in columns if column.kind == "numeric"}:
            raise given["constant"].wrong("names of numeric columns")
        scaling = given["scaling"].choice(SCALES)
        return cls(
            columns,
            places,
            scaling,
            array(arrays, "preprocessing.fill", (width,), np.float64).copy(),
            array(arrays, "preprocessing.offset", (width,), np.float64).copy(),
            array(arrays, "preprocessing.scale", (width,), np.float64, above=0.0).copy(),
            constant,
            given["notes"].each(Given.text),
            given.get("left_out").maybe(_left_out) or (),  # gpubp 0.1.0 wrote none of these
            given.get("reading").maybe(_reading),
            _quantiles(columns, arrays) if scaling == "quantile" else None,
        )


def _to_be_scaled(column: Column, table: Table) -> np.ndarray:
    """(N, inputs of the column that are scaled), before that; NaN where a number is missing."""
    if column.kind == "numeric":
        return numeric_values(table, column.name)[:, None]
    if not any(column.is_scaled):
        return np.empty((table.rows, 0))
    if column.kind == "date":
        values = calendar(time_values(table, column.name), column.parts)
        return values[:, column.is_scaled[: values.shape[1]]]
    return encoded_categories(column, table, column.name)


def _reading(given: Given) -> Reading:
    from gpubp.tables.description import Reading

    return Reading.from_given(given)


def _left_out(given: Given) -> tuple[LeftOut, ...]:
    return given.each(lambda each: LeftOut(each["name"].text(), each["reason"].readable()))


def _quantiles(columns: Sequence[Column], arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    """(M, Q), Q at least 2; DataError where they do not ascend."""
    numbers = sum(each for column in columns for each in column.is_scaled)
    found = array(arrays, "preprocessing.quantiles", (numbers, None), np.float64, least=-LARGEST, most=LARGEST).copy()
    if found.shape[1] < 2 or (np.diff(found) < 0).any():
        raise DataError("array 'preprocessing.quantiles' should hold 2 or more numbers in a row, which never descend.")
    return found
