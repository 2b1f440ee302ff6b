"""Artifacts: the kinds of array files that gpubp keeps (models, ensembles, estimators, checkpoints), with versions.

One writer, one reader, one check of versions. What is in a file is its kind's own business: arrays, and a description.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gpubp.errors import DataError, ModelFileError
from gpubp.storage.array_files import read_array_file, write_array_file

Upgrade = Callable[[dict[str, Any]], dict[str, Any]]
"""The description of an older version as the next one would have written it."""


@dataclass(frozen=True)
class Artifact:
    """One kind of file.

    format: what its description calls itself. what: "a model". remedy: what to do about a damaged one. version: that is
    written; None for files that live no longer than the program that reads them. upgrades: of older versions that are
    read, by their numbers. unread: what to do about any other version. others: what is said of a file of another
    format, by that format.
    """

    format: str
    what: str
    remedy: str
    version: int | None = None
    upgrades: Mapping[int, Upgrade] = field(default_factory=dict)
    unread: str = ""
    others: Mapping[str, str] = field(default_factory=dict)

    @property
    def _kind(self) -> str:
        return self.what.split(" ", 1)[1]

    def write(
        self, path: str | Path, tensors: Mapping[str, np.ndarray], description: Mapping[str, Any], alone: bool = False
    ) -> None:
        """Whole or not at all; see `write_array_file`. Files with a version hold finite numbers alone."""
        named = {"format": self.format} | ({} if self.version is None else {"version": self.version})
        write_array_file(path, tensors, {**named, **description}, alone=alone, finite=self.version is not None)

    def read(self, path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The arrays, and the description as this version writes it. ModelFileError, with the reason, for anything that
        is not a whole file of this kind, of a version that is read here.
        """
        tensors, found = read_array_file(path, self.what, self.remedy)
        other = found.get("format") if isinstance(found, dict) else None
        if isinstance(other, str) and other in self.others:
            raise ModelFileError(f"{path} is {self.others[other]}")
        if other != self.format:
            raise ModelFileError(f"{path} is not {self.what} of gpubp.{'' if self.version else f' {self.remedy}'}")
        return tensors, found if self.version is None else self._upgraded(path, found)

    def _upgraded(self, path: Path, found: dict[str, Any]) -> dict[str, Any]:
        assert self.version is not None
        version, readable = found.get("version"), (*sorted(self.upgrades), self.version)
        if isinstance(version, bool) or version not in readable:
            versions = f"version{'s' if len(readable) > 1 else ''} {' and '.join(map(str, readable))}"
            raise ModelFileError(
                f"{path} has the {self._kind} format version {version!r:.40}; this gpubp reads {versions}. "
                f"{self.unread}"
            )
        while version != self.version:
            found = self.upgrades[version](found)
            version += 1
        return found

    @contextmanager
    def assembling(self, path: str | Path, *errors: type[Exception]) -> Iterator[None]:
        """Within it, a DataError (or another of these errors) says that what was read does not fit together."""
        try:
            yield
        except (DataError, *errors) as error:  # type: ignore[misc]
            raise ModelFileError(f"{path} is damaged: {error} {self.remedy}") from error
