"""Where a study is kept: databases that may be unreachable, full or misspelled, and URLs with passwords in them.

Passwords reach no file, log or message: whatever is shown or written of a URL goes through `masked`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import unquote, unquote_plus

from gpubp.errors import DataError, GpubpError, SettingsError

HIDDEN = "***"
LONGEST = 1000  # characters of what is searched for secrets; longer URLs are not shown at all
_SCHEME = re.compile(r"[^/@:=?]*:?/+")
_SQLITE_FILE = re.compile(r"\s*sqlite(\+(?!pysqlcipher)\w+)?:///")
_HOSTS = re.compile(r"((^|,)(\[[^\]]*\]|[^:,]*)(:\d*)?)*$")
_QUERY = re.compile(r"[\w.%-]+=[^&]*(&[\w.%-]+=[^&]*)*&?")
_SETTING = re.compile(r"""([^=?&;\s]+)\s*=\s*('[^']*'?|"[^"]*"?|\{[^}]*\}?|[^&;\s]*)""")  # of a DSN
_SECRET = re.compile(r"pass|pw|secret|token|key|cred|auth|odbc_connect", re.IGNORECASE)
_URL = re.compile(r"[A-Za-z][\w+.-]{0,40}://(?:.*@)?[^\s'\"]*", re.DOTALL)  # to the last @, lest a part of one is shown


def masked(url: str) -> str:
    """The URL with *** for its password, and for those among its parameters (?password=…)."""
    shown = url if len(url) <= LONGEST else HIDDEN
    for start, end in reversed(_secret_parts(url)):
        shown = shown[:start] + HIDDEN + shown[end:]
    return shown


def masked_text(text: str) -> str:
    """The text with all URLs in it masked."""
    return _URL.sub(lambda found: masked(found[0]), text)


def shown(storage: Any) -> str:
    """A storage of Optuna's for a message or a file: its masked URL, or its kind where it has none."""
    url = storage if isinstance(storage, str) else getattr(storage, "url", None)
    return masked(url) if isinstance(url, str) else f"{type(storage).__module__}.{type(storage).__qualname__}"


@contextmanager
def opened(optuna: Any, storage: Any) -> Iterator[Any]:
    """The storage itself; the database of a URL is closed again on leaving. SettingsError for what is none, DataError
    for one that cannot be used now.
    """
    if not isinstance(storage, str):
        if not isinstance(storage, optuna.storages.BaseStorage):
            raise SettingsError(f"storage {type(storage).__name__}: give a URL, or one of Optuna's storage objects.")
        yield storage
        return
    database = _database(optuna, storage)
    try:
        yield database
    finally:
        with suppress(Exception):  # of one that is gone: what is raised already says it
            database.remove_session()
            database.engine.dispose()


def _database(optuna: Any, storage: str) -> Any:
    """Optuna's storage of a URL, whose engine is its own; errors as `opened` has them."""
    try:
        from sqlalchemy.engine import make_url

        make_url(storage)
    except Exception:  # its text may quote the URL, or a part of a password
        raise SettingsError(
            f"The storage {masked(storage)!r} is no URL of a database: give one such as sqlite:///studies.sqlite3 or "
            "postgresql://user@host/name."
        ) from None
    try:
        return optuna.storages.RDBStorage(storage)
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
    if isinstance(url, str):
        text = text.replace(url, masked(url))
        for secret in _secrets(url):
            text = secret.sub(HIDDEN, text)
    return masked_text(text.splitlines()[0])[:300].rstrip(".")


def _secret_parts(url: str) -> list[tuple[int, int]]:
    """Where secrets begin and end, in order. In doubt it is one: what is no proper URL may be a misspelled one, and a
    password may have characters that should have been escaped.
    """
    if len(url) > LONGEST:
        return []
    scheme, sqlite = _SCHEME.match(url), _SQLITE_FILE.match(url) is not None
    begin, query = scheme.end() if scheme else 0, url.find("?")
    if query < 0 or not (sqlite or _is_query(url[begin:query], url[query + 1 :])):
        query = len(url)
    place = url[begin:query]
    settings = [each for each in _SETTING.finditer(place) if _hides(each[1], each[2])]
    found = [(begin + each.start(2), begin + each.end(2)) for each in settings]
    if not sqlite:
        at, colon = place.rfind("@"), place.find(":")
        if 0 <= colon < at:
            found.append((begin + colon + 1, begin + at))
        elif ":" in unquote(place[: max(at, 0)]):
            found.append((begin, begin + at))
        elif at < 0 and not _HOSTS.match(place.partition("/")[0]):  # no port: a password whose host is missing
            found.append((begin + colon + 1, query))
    start, before = query + 1, False
    for piece in url[start:].split("&"):
        name, equals, value = piece.partition("=")
        before = _hides(name, value) if equals else before  # else the rest of a value with a & in it
        if before:
            found.append((start + len(name + equals) if equals else start, start + len(piece)))
        start += len(piece) + 1
    return _joined(found)


def _is_query(before: str, text: str) -> bool:
    """Whether a ? begins a query, and does not belong to a password."""
    return "@" not in text or (_QUERY.fullmatch(text) is not None and ("@" in before or bool(_HOSTS.match(before))))


def _hides(name: str, value: str) -> bool:
    inner = unquote(value)
    return bool(_SECRET.search(unquote(name)) or ("=" in inner and _SECRET.search(inner)))


def _joined(parts: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """In order, those that overlap as one."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(parts):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        elif start < end:
            joined.append((start, end))
    return joined


def _secrets(url: str) -> list[re.Pattern[str]]:
    """All that a message could quote of the passwords, the longest first; what is short as a whole word alone."""
    whole = {url[start:end] for start, end in _secret_parts(url)}
    whole |= {decode(each) for each in whole for decode in (unquote, unquote_plus)}
    pieces = whole | {piece for each in whole for piece in re.split(r"[@:/?#&;=\s'\"]", each)}
    words = sorted(pieces - {""}, key=len, reverse=True)
    return [re.compile(re.escape(each) if len(each) > 3 else rf"(?<!\w){re.escape(each)}(?!\w)") for each in words]
