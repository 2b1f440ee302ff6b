"""`gpubp describe`, and what `gpubp predict` carries through and writes: run as a user runs them."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from command_line import numbers_table, refused, succeeds

HOUSES = """id;area;price;sold;city
{rows}"""


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Semicolons, decimal commas, units, euros with points between thousands, German dates; 1 of 40 areas missing."""
    rows = []
    for i in range(40):
        area = "NA" if i == 3 else f"{50 + i},5 m²"
        sold = f"{1 + i % 28:02}.{1 + i % 12:02}.2020"
        city = ("Bonn", "Köln", "Ulm")[i % 3]
        rows.append(f"{100 + 7 * i};{area};{100 + 3 * i}.{250 + i},00 €;{sold};{city}")
    path = tmp_path_factory.mktemp("describe") / "houses.csv"
    path.write_bytes(HOUSES.format(rows="\n".join(rows)).encode("cp1252"))
    return path


def test_describe_says_how_a_table_is_read(houses: Path) -> None:
    outcome = succeeds("describe", houses, "--target", "price")
    for words in (
        *(
            "semicolons",
            "Windows-1252",
            "numbers with decimal commas",
            "'m²' after",
            "'€' after",
            "dates, day-month-year",
        ),
        *("it identifies the rows", "Bonn (14), Köln (13), Ulm (13)", "'price': regression"),
    ):
        assert words in " ".join(outcome.out.split()), words


def test_the_json_of_describe(houses: Path) -> None:
    found = succeeds("describe", houses, "-t", "price", "--json").json
    columns = {column["name"]: column for column in found["columns"]}
    assert [column["role"] for column in columns.values()] == ["left out", "input", "target", "input", "input"]
    assert columns["area"]["missing_texts"] == {"NA": 1}
    assert (columns["area"]["lowest"], columns["area"]["highest"]) == (50.5, 89.5)
    assert columns["price"]["lowest"] == 100250.0
    assert columns["sold"]["lowest"].startswith("2020-01-01")
    assert [each["rows"] for each in columns["city"]["commonest"]] == [14, 13, 13]
    assert found["trouble"] is None


def test_describe_says_what_keeps_a_table_from_being_trained_on(tmp_path: Path) -> None:
    path = tmp_path / "names.csv"
    path.write_text("x,name\n" + "".join(f"{i},person {i}\n" for i in range(300)), encoding="utf-8")
    found = succeeds("describe", path, "--json").json
    assert found["target"] is None
    assert "'name'" in found["trouble"]


def test_predictions_carry_columns_through(houses: Path, tmp_path: Path) -> None:
    model, output = tmp_path / "m", tmp_path / "p.parquet"
    succeeds("train", houses, "-t", "price", "--epochs", 2, "--engine", "array", "-o", model)
    succeeds("predict", model, houses, "--keep", "id", "--keep", "c*", "-o", output)
    frame = pl.read_parquet(output)
    assert frame.columns == ["id", "city", "prediction"]
    assert frame["city"].to_list()[:3] == ["Bonn", "Köln", "Ulm"]
    everything = succeeds("predict", model, houses, "--keep-all").out.splitlines()
    assert everything[0] == "id,area,price,sold,city,prediction"
    assert everything[1].startswith('100,"50,5 m²","100.250,00 €",01.01.2020,Bonn,')  # as they are written
    answers = [line.rsplit(",", 1)[1] for line in everything[1:]]
    assert [float(answer) for answer in answers] == frame["prediction"].to_list()


def test_one_row_is_read_as_the_training_table_was(houses: Path, tmp_path: Path) -> None:
    """1.234 alone could be a decimal number, and 02.01. in January."""
    model, row = tmp_path / "m", tmp_path / "row.csv"
    succeeds("train", houses, "-t", "price", "--epochs", 2, "--engine", "array", "-o", model)
    lines = houses.read_bytes().split(b"\n")
    row.write_bytes(b"\n".join([lines[0], lines[2]]))
    alone, all_rows = (succeeds("predict", model, path, "-q").out.splitlines() for path in (row, houses))
    assert float(alone[1]) == pytest.approx(float(all_rows[2]), rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-o", "p.xlsx"), "no .xlsx"),
        (("-o", "p.json"), "--json prints JSON"),
        (("--keep", "nothing"), "no column 'nothing'"),
    ],
)
def test_what_cannot_be_written_or_kept(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    table = numbers_table(tmp_path / "t.csv")
    succeeds("train", table, "--epochs", 1, "--engine", "array", "-o", tmp_path / "m")
    paths = [tmp_path / each if each.startswith("p.") else each for each in arguments]
    refused(tmp_path, "predict", tmp_path / "m", table, *paths, words=words)
