"""Where a study is kept: databases that may be unreachable, full or misspelled, and URLs with passwords in them.

Passwords reach no file, log or message: whatever is shown or written of a URL goes through `masked`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote

from gpubp.errors import DataError, GpubpError, SettingsError

HIDDEN = "***"
_USER = re.compile(r"^([^/]*://[^:/@?#]*):([^@]*@(?:[^?]*@)?)")  # to the last @, lest a part of a password is shown
_PARAMETER = re.compile(r"([^=?&;\s]+)=([^&;\s]*)")
_SECRET = re.compile(r"pass|pwd|secret|token|key|cred|auth|odbc_connect", re.IGNORECASE)
_URL = re.compile(r"[A-Za-z][\w+.-]*://[^\s'\"]*")


def masked(url: str) -> str:
    """The URL with *** for its password, and for those among its parameters (?password=…)."""
    return _PARAMETER.sub(_hide_value, _USER.sub(rf"\1:{HIDDEN}@", url))


def masked_text(text: str) -> str:
    """The text with all URLs in it masked."""
    return _URL.sub(lambda found: masked(found[0]), text)


def shown(storage: Any) -> str:
    """A storage of Optuna's for a message or a file: its masked URL, or its kind where it has none."""
    url = storage if isinstance(storage, str) else getattr(storage, "url", None)
    return masked(url) if isinstance(url, str) else f"{type(storage).__module__}.{type(storage).__qualname__}"


def opened(optuna: Any, storage: Any) -> Any:
    """The storage itself. SettingsError for what is none, DataError for one that cannot be used now."""
    if not isinstance(storage, str):
        if not isinstance(storage, optuna.storages.BaseStorage):
            raise SettingsError(f"storage {type(storage).__name__}: give a URL, or one of Optuna's storage objects.")
        return storage
    try:
        from sqlalchemy.engine import make_url

        make_url(storage)
    except Exception:  # its text may quote the URL, or a part of a password
        raise SettingsError(
            f"The storage {masked(storage)!r} is no URL of a database: give one such as sqlite:///studies.sqlite3 or "
            "postgresql://user@host/name."
        ) from None
    try:
        return optuna.storages.get_storage(storage)
    except ImportError as error:
        needed = reason(error.__cause__ or error, storage)
        raise SettingsError(
            f"The storage {masked(storage)} needs a database driver that is not installed ({needed}): install it, or "
            "name another in the URL, as in postgresql+psycopg://…"
        ) from None
    except Exception as error:  # of a driver, a database or a URL: there is no common kind
        raise DataError(f"The storage {masked(storage)} cannot be used: {reason(error, storage)}.") from None


@contextmanager
def kept_in(optuna: Any, storage: Any, remedy: str = "") -> Iterator[None]:
    """DataError, with the remedy, where the storage fails in what is done with it."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except GpubpError:
        raise
    except (optuna.exceptions.OptunaError, SQLAlchemyError, OSError) as error:
        said = reason(error, storage)
        raise DataError(f"The storage {shown(storage)} takes no more of the study: {said}.{remedy}") from None


def reason(error: BaseException, storage: Any) -> str:
    """What went wrong, in one line, without what must not be shown."""
    while getattr(error, "orig", None) is None and error.__cause__ is not None:
        error = error.__cause__
    text = str(getattr(error, "orig", None) or error).strip() or type(error).__name__
    url = storage if isinstance(storage, str) else getattr(storage, "url", None)
    text = masked_text(text.splitlines()[0])[:300]
    for secret in _secrets(url) if isinstance(url, str) else ():
        text = text.replace(secret, HIDDEN)
    return text.rstrip(".")


def _hide_value(found: re.Match[str]) -> str:
    name, value = found[1], found[2]
    inner = unquote(value)
    secret = _SECRET.search(name) or ("=" in inner and _SECRET.search(inner))
    return f"{name}={HIDDEN}" if secret else found[0]


def _secrets(url: str) -> list[str]:
    """All that a message could quote of the passwords, the longest first."""
    found: set[str] = set()
    user = _USER.search(url)
    if user is not None:
        whole = user[2].removesuffix("@")
        found |= {whole, *re.split(r"[@:/?#]", whole)}
    found |= {each[2] for each in _PARAMETER.finditer(url) if HIDDEN in _hide_value(each)}
    found |= {unquote(each) for each in found}
    return sorted(found - {""}, key=len, reverse=True)
