"""`gpubp cache`: the compiled kernels that are kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import typer

from gpubp.cli import shapes
from gpubp.cli.options import ReportOptions
from gpubp.cli.panels import RESULT


def cache(
    report: ReportOptions,
    clear: Annotated[
        bool,
        typer.Option(
            "--clear", rich_help_panel=RESULT, help="Remove all of them; they are compiled again when needed."
        ),
    ] = False,
) -> None:
    """Show the compiled kernels that are kept, or clear them.

    They lie in the folder that the environment variable GPUBP_CACHE_DIR names,
    or in the user's cache folder.

    \b
    Examples:
      gpubp cache
      gpubp cache --clear
    """
    from gpubp.backends.kernel_cache import cache_entries, cache_folder, clear_cache

    if clear:
        files, size = clear_cache()
        outcome: dict[str, Any] = {"folder": str(cache_folder()), "removed_files": files, "removed_bytes": size}
        words = f"Removed {shapes.counted(files, 'file')} ({size:,} bytes) from {cache_folder()}."
        report.give(outcome, lambda: [shapes.line(words)])
        return
    entries = cache_entries()
    outcome = {
        "folder": str(cache_folder()),
        "kernels": [{"shape": shape(entry.definitions), "bytes": entry.bytes, **described(entry)} for entry in entries],
    }
    report.give(outcome, lambda: parts(outcome))


def described(entry: Any) -> dict[str, Any]:
    return {"definitions": dict(entry.definitions), "compiler": entry.compiler, "seconds": entry.seconds}


def shape(definitions: dict[str, str]) -> str:
    return definitions.get("SIZES", "").replace(",", "-") or "–"


def parts(outcome: dict[str, Any]) -> Iterable[Any]:
    kernels = outcome["kernels"]
    yield shapes.facts(
        [
            ("folder", outcome["folder"]),
            ("kernels", f"{len(kernels)}, {sum(kernel['bytes'] for kernel in kernels):,} bytes"),
        ]
    )
    if kernels:
        rows = [
            (
                kernel["shape"],
                kernel["definitions"].get("REAL", "–"),
                kernel["definitions"].get("OPTIMIZER", "–").lower(),
                f"{kernel['bytes']:,}",
                shapes.seconds(kernel["seconds"]),
            )
            for kernel in kernels
        ]
        yield shapes.table(["network", "numbers", "optimizer", "bytes>", "compiled in>"], rows)
