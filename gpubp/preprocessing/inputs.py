"""`Preprocessing`: the input columns of a table as the float64 matrix X (N, D) that networks read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gpubp.errors import quoted
from gpubp.errors.suggestions import check_choice
from gpubp.preprocessing.choosing import NOTED, LeftOut
from gpubp.preprocessing.column_match import ColumnMatch
from gpubp.preprocessing.columns import KINDS, Column, are_truths, numeric_values
from gpubp.preprocessing.dates import PARTS, calendar, time_values
from gpubp.preprocessing.labels import canonical, places_among, suggest, told
from gpubp.preprocessing.scaling import (
    LARGEST,
    SCALES,
    negligible_span,
    offset_and_scale,
    scaled_values,
    selected,
    smoothly_clipped,
)
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
    `scaling` is "robust"; 0 and 1 per category.

    fill, offset, scale: (D,) float64 each; 0, 0 and 1 for categories, sines and cosines. `constant` names the numeric
    columns that had one value while fitting: their scale is 1, so that they become zeros (unless `scaling` is "none").
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
        0, interquartile range 1, smoothly clipped at ±3; of the known values alone, so that many missing ones do not
        narrow the range. "standard": mean 0, standard deviation 1 (divisor N); "minmax": [0, 1]; "none": as they are.
        `target` is only remembered, so that tables with and without it can be predicted on.
        """
        check_choice("scale", scale, SCALES)
        chosen = selected(rows, table)
        width = sum(len(column.input_names) for column in columns)
        fill, offset, divisor = np.zeros(width), np.zeros(width), np.ones(width)
        constant, notes = [], []
        gaps, kept_apart = [], []
        d = 0
        for column in columns:
            name = column.name
            if column.kind == "numeric":
                values = numeric_values(table, name)[chosen]
                known = values[~np.isnan(values)]
                fill[d] = np.median(known) if len(known) else 0.0
                filled = np.where(np.isnan(values), fill[d], values)
                fitted = known if scale == "robust" and len(known) else filled
                offset[d], divisor[d], is_constant = offset_and_scale(fitted, scale)
                if absent := len(values) - len(known):
                    how = "" if len(known) else ", for want of any value"
                    gaps.append(f"{quoted(name)} ({absent:,}, by {fill[d]:g}{how})")
                if is_constant:
                    constant.append(name)
                    notes.append(f"Column {name!r} always has the value {fill[d]:g}: it tells a network nothing.")
            elif column.kind == "date":
                values = calendar(time_values(table, name), column.parts)[chosen]
                for i in np.flatnonzero(column.is_scaled):
                    known = values[~np.isnan(values[:, i]), i]
                    fill[d + i] = np.median(known) if len(known) else 0.0
                    filled = np.where(np.isnan(values[:, i]), fill[d + i], values[:, i])
                    fitted = known if scale == "robust" and len(known) else filled
                    offset[d + i], divisor[d + i], _ = offset_and_scale(fitted, scale)
                if absent := int(np.isnan(values).any(axis=1).sum()):
                    notes.append(
                        f"Column {name!r}: {absent} missing date(s): the median of each number, and 0 for each sine "
                        "and cosine."
                    )
            elif column.has_missing:
                missing = int(table.frame[name].is_null().to_numpy()[chosen].sum())
                kept_apart.append(f"{quoted(name)} ({missing:,})")
            d += len(column.input_names)
        if gaps:
            notes.append(f"Missing numbers are replaced by the median of the column: {some(gaps, NOTED)}.")
        if kept_apart:
            notes.append(f"Missing texts are a category of their own: {some(kept_apart, NOTED)}.")
        places = ColumnMatch.of(table, [column.name for column in columns], target)
        return cls(tuple(columns), places, scale, fill, offset, divisor, tuple(constant), tuple(notes))

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
                X[:, d : d + inputs] = self._dates(column, d, table, name, notes)
            else:
                _one_hot(X[:, d : d + inputs], column, table, name, notes)
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
        if self.scaling == "robust":  # nothing lies too far outside
            with np.errstate(over="ignore"):
                return smoothly_clipped((values - self.offset[d]) / self.scale[d])
        return scaled_values(values, self.offset[d], self.scale[d], table, name)

    def unscaled(self) -> Preprocessing:
        """The same without its scaling: numbers as they are, missing ones filled in."""
        return replace(self, scaling="none", offset=np.zeros_like(self.offset), scale=np.ones_like(self.scale))

    def scaled(self, X: np.ndarray) -> np.ndarray:
        """X (N, D) as `unscaled` gives it, scaled."""
        with np.errstate(over="ignore"):
            found = (X - self.offset) / self.scale
        if self.scaling != "robust":
            return found
        numbers = [each for column in self.columns for each in column.is_scaled]
        return np.where(numbers, smoothly_clipped(found), found)

    def _dates(self, column: Column, d: int, table: Table, name: str, notes: list[str]) -> np.ndarray:
        """(N, inputs of the column)"""
        values = calendar(time_values(table, name), column.parts)
        missing = np.isnan(values)
        if missing.any():
            notes.append(f"Column {name!r}: {missing.any(axis=1).sum()} missing date(s) replaced by medians and zeros.")
            values = np.where(missing, self.fill[d : d + values.shape[1]], values)
        for i in np.flatnonzero(column.is_scaled):
            scaled = scaled_values(values[:, i], self.offset[d + i], self.scale[d + i], table, name)
            values[:, i] = smoothly_clipped(scaled) if self.scaling == "robust" else scaled
        return values

    def to_metadata(self) -> dict[str, Any]:
        """Everything but the arrays, as JSON-able values."""
        return {
            "columns": [
                {
                    "name": column.name,
                    "kind": column.kind,
                    "categories": list(column.categories),
                    "has_missing": column.has_missing,
                    "parts": list(column.parts),
                    "why": column.why,
                }
                for column in self.columns
            ],
            "places": self.places.to_metadata(),
            "scaling": self.scaling,
            "constant": list(self.constant),
            "notes": list(self.notes),
            "left_out": [{"name": each.name, "reason": each.reason} for each in self.left_out],
            "reading": None if self.reading is None else self.reading.to_metadata(),
        }

    def to_arrays(self) -> dict[str, np.ndarray]:
        return {f"preprocessing.{name}": getattr(self, name) for name in ("fill", "offset", "scale")}

    @classmethod
    def from_parts(cls, metadata: Any, arrays: Mapping[str, np.ndarray]) -> Preprocessing:
        """The inverse of to_metadata and to_arrays (ignores other arrays); DataError for damaged parts."""
        given = Given(metadata, "preprocessing")
        columns = given["columns"].each(_column)
        places = ColumnMatch.from_metadata(given["places"], [column.name for column in columns])
        width = sum(len(column.input_names) for column in columns)
        constant = given["constant"].distinct_texts()
        if not set(constant) <= {column.name for column in columns if column.kind == "numeric"}:
            raise given["constant"].wrong("names of numeric columns")
        return cls(
            columns,
            places,
            given["scaling"].choice(SCALES),
            array(arrays, "preprocessing.fill", (width,), np.float64).copy(),
            array(arrays, "preprocessing.offset", (width,), np.float64).copy(),
            array(arrays, "preprocessing.scale", (width,), np.float64, above=0.0).copy(),
            constant,
            given["notes"].each(Given.text),
            given.get("left_out").maybe(_left_out) or (),  # gpubp 0.1.0 wrote none of these
            given.get("reading").maybe(_reading),
        )


def _column(given: Given) -> Column:
    found = Column(
        given["name"].text(),
        given["kind"].choice(KINDS),
        given["categories"].distinct_texts(),
        given["has_missing"].flag(),
        given.get("parts").maybe(_parts) or (),
        given.get("why").maybe(Given.readable) or "",
    )
    if found.kind != "categorical" and (found.categories or found.has_missing):
        raise given.wrong(f"without categories, since column {found.name!r:.60} is {found.kind}")
    if (found.kind == "date") != bool(found.parts):
        raise given["parts"].wrong("the varying parts of dates, or an empty list for other columns")
    return found


def _parts(given: Given) -> tuple[str, ...]:
    found = given.each(lambda each: each.choice(PARTS))
    if list(found) != [part for part in PARTS if part in found]:
        raise given.wrong(f"some of {', '.join(PARTS)}, in this order")
    return found


def _reading(given: Given) -> Reading:
    from gpubp.tables.description import Reading

    return Reading.from_given(given)


def _left_out(given: Given) -> tuple[LeftOut, ...]:
    return given.each(lambda each: LeftOut(each["name"].text(), each["reason"].readable()))


def _one_hot(X: np.ndarray, column: Column, table: Table, name: str, notes: list[str]) -> None:
    """Write ones into X (N, categories [+ missing]), which holds zeros."""
    texts = canonical(table.frame[name]).to_list()
    index, respelled = places_among({text for text in texts if text is not None}, column.categories)
    unknown = len(column.categories)
    positions = np.array([index.get(text, unknown) for text in texts])
    unseen = [text for text in texts if text is not None and text not in index]
    missing = texts.count(None)
    treatment = "count as missing" if column.has_missing else "become zeros"
    if respelled:
        notes.append(f"Column {name!r}: taken as training spelled them: {told(respelled)}.")
    if unseen:
        notes.append(
            f"Column {name!r}: {len(unseen)} value(s) not seen in training {treatment}: {suggest(sorted(set(unseen)))}."
        )
    if missing and not column.has_missing:
        notes.append(f"Column {name!r}: {missing} missing value(s) become zeros; training had none.")
    written = positions < X.shape[1]
    X[np.flatnonzero(written), positions[written]] = 1.0
