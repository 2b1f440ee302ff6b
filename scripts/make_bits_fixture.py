"""Train everything that tests/bit_records.py and tests/bit_faces.py name, and write what came of it as the fixture of
tests/engines/test_bits_fixture.py.

    python scripts/make_bits_fixture.py

A fixture made anew is a decision: the commit says why bits had to change, and its diff which ones did. With --exactly
the numbers of a BLAS are kept as hashes too: for two states of the code on one machine, of which not a bit may differ.

    python scripts/make_bits_fixture.py --exactly --to /tmp/before.json
    python scripts/make_bits_fixture.py --exactly --compare /tmp/before.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gpubp.backends.host_compiler import find_compiler

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from bit_faces import FACE_CASES
from bit_records import ENGINE_CASES, data, differences, recorded

FIXTURE = Path(__file__).resolve().parents[1] / "tests" / "fixtures" / "bits.json"


def main(
    to: Annotated[Path, typer.Option(help="The file to write.")] = FIXTURE,
    compare: Annotated[Path | None, typer.Option(help="Write nothing; tell what differs from this file.")] = None,
    missing: Annotated[
        bool, typer.Option(help="Train what the file lacks alone: new cases for new operations.")
    ] = False,
    exactly: Annotated[bool, typer.Option(help="Hashes of everything, for this machine alone.")] = False,
) -> None:
    """Exit code 1: with --compare, something differs."""
    if find_compiler() is None:
        sys.exit("The lane and the block engine need a C++ compiler, and this machine has none.")
    kept = json.loads(to.read_text(encoding="utf-8"))["cases"] if missing else {}
    every = {**ENGINE_CASES, **FACE_CASES}
    cases = {name: kept[name] if name in kept else recorded(case(), exactly) for name, case in every.items()}
    found = {"data": data(), "cases": cases}
    if compare is None:
        to.write_text(as_text(found), encoding="utf-8")
        print(f"{len(cases)} cases, {to.stat().st_size:,} bytes: {to}")
        return
    told = changed(found, json.loads(compare.read_text(encoding="utf-8")))
    print("\n".join(told) or f"No difference in {len(cases)} cases.")
    sys.exit(1 if told else 0)


def changed(found: dict[str, Any], kept: dict[str, Any]) -> list[str]:
    told = [] if found["data"] == kept["data"] else ["The data that is trained on differs."]
    for name in sorted({*found["cases"], *kept["cases"]}):
        mine, theirs = (side["cases"].get(name, {"exact": {}}) for side in (found, kept))
        told += [f"{name}: {difference}" for difference in differences(mine, theirs)]
    return told


def as_text(found: dict[str, Any]) -> str:
    """A line for each case, so that a diff shows which ones changed."""
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(record)}" for name, record in found["cases"].items())
    return f'{{"data": {json.dumps(found["data"])},\n"cases": {{\n{lines}\n}}}}\n'


if __name__ == "__main__":
    typer.run(main)
