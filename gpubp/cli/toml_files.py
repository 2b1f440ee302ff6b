"""TOML, read and written."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpubp.errors import DataError, SettingsError
from gpubp.storage.json_values import check_depth


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The file's tables. SettingsError where it is none; `what` says what it should be, as in "search space"."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
        check_depth(found)
    except FileNotFoundError:
        raise SettingsError(f"There is no {what} file {path}.") from None
    except OSError as error:
        raise SettingsError(f"Cannot read the {what} {path}: {error.strerror or error}.") from None
    except DataError as error:
        raise SettingsError(f"{path} is no {what}: {error}") from None
    except RecursionError:
        raise SettingsError(f"{path} is no {what}: too many lists and tables inside each other.") from None
    except ValueError as error:  # no TOML, no UTF-8, or a number with thousands of digits
        raise SettingsError(f"{path} is no TOML: {error}.") from None
    return found


def toml_table(name: str, values: Mapping[str, Any]) -> str:
    """`[name]` and a line for each value: texts, numbers, true or false, and lists of these."""
    return "\n".join([f"[{name}]", *(f"{key} = {toml_value(value)}" for key, value in values.items())]) + "\n"


def toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(toml_value, value))}]"
    # the escapes of JSON are those of TOML, which wants one more character escaped
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
