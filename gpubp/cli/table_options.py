"""Options about the table, as groups (see `groups`): how it is read, what is predicted, which columns are inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from gpubp.cli.panels import DATA, READING

if TYPE_CHECKING:
    from gpubp.tables import Table


@dataclass(frozen=True)
class TableOptions:
    table: Annotated[
        str,
        typer.Argument(
            metavar="TABLE",
            rich_help_panel=DATA,
            show_default=False,
            help="CSV or other separated text, compressed or not, Parquet, Arrow, an Excel workbook; - reads standard "
            "input; wheat-seeds is a table that comes with gpubp.",
        ),
    ]
    header: Annotated[
        bool | None,
        typer.Option(
            "--header/--no-header",
            rich_help_panel=READING,
            show_default=False,
            help="Whether the first line names the columns; found out by itself if not given.",
        ),
    ] = None
    separator: Annotated[
        str | None,
        typer.Option(
            metavar="CHAR",
            rich_help_panel=READING,
            show_default=False,
            help='One character, "tab" or "whitespace"; found out by itself if not given.',
        ),
    ] = None
    missing: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            rich_help_panel=READING,
            show_default=False,
            help="A text that means a missing value, such as -999, beside the usual ones (NA, NULL, ? and so on). May "
            "be repeated.",
        ),
    ] = None
    not_missing: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            rich_help_panel=READING,
            show_default=False,
            help="A text that is not missing although it usually is, such as NA or -. May be repeated.",
        ),
    ] = None
    decimal: Annotated[
        str | None,
        typer.Option(
            metavar="CHAR",
            rich_help_panel=READING,
            show_default=False,
            help='The decimal mark, "." or ",", where a table does not tell.',
        ),
    ] = None
    day_first: Annotated[
        bool | None,
        typer.Option(
            "--day-first/--month-first",
            rich_help_panel=READING,
            show_default=False,
            help="Whether 1/2/2020 is in February or in January, where a table does not tell.",
        ),
    ] = None
    encoding: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            rich_help_panel=READING,
            show_default=False,
            help="Of the text: utf-8, latin-1, cp1252, utf-16 or another; found out by itself if not given.",
        ),
    ] = None
    skip: Annotated[
        int,
        typer.Option(metavar="LINES", min=0, rich_help_panel=READING, help="Lines to skip before the table."),
    ] = 0
    comment: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            rich_help_panel=READING,
            show_default=False,
            help="Lines that begin with this are left out; if not given, those at the top that begin with #.",
        ),
    ] = None
    sheet: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", rich_help_panel=READING, show_default=False, help="Of an Excel workbook; else the first."
        ),
    ] = None

    def read(self, *, keep_texts: bool = False) -> Table:
        from gpubp.storage.datasets import table_path
        from gpubp.tables import read_table

        return read_table(
            table_path(self.table),
            header=self.header,
            separator=self.separator,
            encoding=self.encoding,
            decimal=self.decimal,
            missing=self.missing or (),
            not_missing=self.not_missing or (),
            skip=self.skip,
            comment=self.comment,
            day_first=self.day_first,
            sheet=self.sheet,
            keep_texts=keep_texts,
        )

    def words(self) -> list[str]:
        """The options on the command line that read the same table in the same way, without the table itself."""
        words = [f"--missing={text}" for text in self.missing or ()]
        words += [f"--not-missing={text}" for text in self.not_missing or ()]
        flags = (("--header", "--no-header", self.header), ("--day-first", "--month-first", self.day_first))
        words += [yes if given else no for yes, no, given in flags if given is not None]
        for name in ("separator", "decimal", "encoding", "comment", "sheet"):
            if (value := getattr(self, name)) is not None:
                words += [f"--{name}", value]
        return words + (["--skip", str(self.skip)] if self.skip else [])


class Choices(TypedDict):
    task: str | None
    categorical: Sequence[str]
    ignore: Sequence[str]
    strict: bool


@dataclass(frozen=True)
class TargetOptions:
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            "-t",
            metavar="COLUMN",
            rich_help_panel=DATA,
            show_default=False,
            help="What to predict: a column's name, or its position (1 is the first, -1 the last). Default: the last.",
        ),
    ] = None
    task: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            rich_help_panel=DATA,
            show_default=False,
            help="classification or regression. If not given: classification for text, and for whole numbers with "
            "at most 20 different values that are fewer than half as many as the rows; else regression.",
        ),
    ] = None
    categorical: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            rich_help_panel=DATA,
            show_default=False,
            help="A column of numbers that are codes of categories, or of texts that would be left out. Names, "
            "positions and wildcards, as in 'code_*'. May be repeated.",
        ),
    ] = None
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            rich_help_panel=DATA,
            show_default=False,
            help="A column to leave out. Names, positions and wildcards, as in 'id_*'. May be repeated. Columns "
            "without values or with one value only, names, identifiers and free text are left out by themselves.",
        ),
    ] = None
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", rich_help_panel=DATA, help="Refuse rows without a target, which are left out otherwise."
        ),
    ] = False

    @property
    def choices(self) -> Choices:
        """The arguments about the table that every function that trains on one takes."""
        return {
            "task": self.task,
            "categorical": self.categorical or (),
            "ignore": self.ignore or (),
            "strict": self.strict,
        }
