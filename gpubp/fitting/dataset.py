"""A table made ready for whatever trains on it: which rows, which inputs, which target, and what there is to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gpubp.errors import DataError, quoted
from gpubp.preprocessing import Column, InputColumns, InputRules, Preprocessing, Target, choose_inputs
from gpubp.preprocessing.target_rows import refuse_doubtful, with_target
from gpubp.tables import Table, find_column, find_columns, table_of

Names = str | int | Sequence[str | int]


@dataclass(frozen=True, eq=False)
class Dataset:
    """table: the rows that have a target. target: fitted on all of them. inputs: decided over all of them, too.

    kept (N,): which rows of the given table these are; None for all of them. categorical, ignored: the columns that
    were named so. notes: how the table was read, and what was left out, as sentences.
    """

    table: Table
    target: Target
    inputs: InputColumns
    kept: np.ndarray | None
    categorical: tuple[str, ...]
    ignored: tuple[str, ...]
    notes: tuple[str, ...]

    @classmethod
    def of(
        cls,
        data: Any,
        target: str | int | None = None,
        task: str | None = None,
        *,
        categorical: Names = (),
        ignore: Names = (),
        strict: bool = False,
        purpose: str = "training",
    ) -> Dataset:
        """data: whatever `table_of` takes. target: a column's name or position, None for the last that names no rows.

        categorical, ignore: names, positions or wildcards. Rows without a target are left out; `strict` refuses them.
        Raises DataError or SettingsError for what cannot be trained on.
        """
        table = table_of(data)
        name = find_column(table, target)
        ignored = _ignored(table, ignore, name, named=target is not None)
        chosen = tuple(each for each in find_columns(table, categorical) if each != name)
        both = [each for each in chosen if each in ignored]
        if both:
            raise DataError(f"{table.source}: column {quoted(both[0])} is named by both --categorical and --ignore.")
        refuse_doubtful(table, name)
        table, kept, notes = with_target(table, name, strict)
        table.require_rows(2, purpose)
        inputs = choose_inputs(table, name, categorical=chosen, ignore=ignored)
        whole = Target.fit(table, name, task)
        about = _about(table, whole, guessed=task is None, last=target is None)
        notes = (*table.notes, *notes, *inputs.notes, about, *_word_classes(table, whole))
        notes = (*notes, *_answers(table, whole, inputs.columns))
        return cls(table, whole, inputs, kept, chosen, ignored, notes)

    @property
    def name(self) -> str:
        """Of the target."""
        return self.target.name

    @property
    def task(self) -> str:
        return self.target.task

    @property
    def columns(self) -> tuple[Column, ...]:
        return self.inputs.columns

    def preprocessing(self, rules: InputRules, rows: np.ndarray | None = None) -> Preprocessing:
        """Fitted on these rows (None: on all), with the notes of the whole."""
        columns = rules.columns(self.table, self.columns)
        fitted = Preprocessing.fit(self.table, columns, scale=rules.scale, rows=rows, target=self.name)
        return replace(
            fitted, left_out=self.inputs.left_out, reading=self.table.reading, notes=(*self.notes, *fitted.notes)
        )

    def class_index(self) -> np.ndarray | None:
        """(N,) for classification, else None."""
        return self.target.class_index(self.table) if self.task == "classification" else None


def _word_classes(table: Table, target: Target) -> list[str]:
    """A note where a class has a name that means a missing value elsewhere."""
    from gpubp.tables.markers import WORDS

    if table.markers is None:
        return []
    found = [label for label in target.labels if label in WORDS & table.markers.words]
    return [
        f"{quoted(label)} counts as a class of {quoted(target.name)} (--missing={label}: as missing)."
        for label in found
    ]


def _ignored(table: Table, ignore: Names, target: str, named: bool) -> tuple[str, ...]:
    """The columns to ignore; a pattern that a named target fits as well spares it."""
    found: set[str] = set()
    for each in [ignore] if isinstance(ignore, (str, int)) else ignore:
        matching = {*find_columns(table, each)}
        if target in matching:
            if len(matching) == 1 or not named:
                which = "" if named else ", as the last column"
                raise DataError(
                    f"{table.source}: --ignore {each} names {quoted(target)}, which is the target{which}. Name another "
                    "column by --target, or leave it out of --ignore."
                )
            matching.discard(target)
        found |= matching
    return tuple(name for name in table.names if name in found)


def _about(table: Table, target: Target, guessed: bool, last: bool) -> str:
    """What became of the target, as a sentence. guessed: whether its values told the task; last: its place named it."""
    which = f"Target {quoted(target.name)}{' (the last column; --target names another)' if last else ''}"
    series = table.frame[target.name]
    if target.task == "regression":
        values = target.values(table)
        return f"{which}: a number, {values.min():g} to {values.max():g}."
    found = f"{which}: {len(target.labels):,} classes, such as {quoted(target.labels[0], 40)}"
    if guessed and series.dtype.is_numeric():
        return f"{found}: whole numbers with few different values (--task regression takes them as numbers)."
    return f"{found}."


def _answers(table: Table, target: Target, columns: Sequence[Column]) -> list[str]:
    """A note for each column that tells the class of every row: categories that stand for one class each."""
    if target.task != "classification":
        return []
    index = target.class_index(table).tolist()
    found = []
    for column in columns:
        if column.kind == "categorical" and not column.has_missing and len(column.categories) == len(target.labels):
            pairs = {*zip(table.frame[column.name].to_list(), index, strict=True)}
            if len(pairs) == len(target.labels) < len(index):
                found.append(
                    f"Column {quoted(column.name)} tells the target {quoted(target.name)} on every row: if it is not "
                    "known beforehand, leave it out (--ignore)."
                )
    return found
