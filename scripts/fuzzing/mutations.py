"""Sound bytes, spoiled: bit by bit, or by their structure, with a checksum that is right for what they say then."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from gpubp.storage.array_files import KEY
from gpubp.storage.array_files import sealed as sealed_arrays
from gpubp.storage.json_values import SEAL, sealed

NUMBERS: tuple[Any, ...] = (-1, 0, 1, 2, 3, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 0.5, -0.0, 1.5, 1e-320, 1e-300)
NUMBERS = (*NUMBERS, 1e100, 1e308, -1e308, float("nan"), float("inf"), float("-inf"))
TEXTS = ("", "x", "nan", "\ud800", "\x1b[31m", "\0", "é" * 40, "x" * 100_000, "softmax", "regression", "3", "<b>")
JUNK = (None, True, False, *NUMBERS, *TEXTS, [], {}, [[]], {"a": 1}, [None], {"": {}}, ["a", 1, None], {"\ud800": 1})
DTYPES = ("F8_E4M3", "F8_E5M2", "BF16", "C64", "F16", "F32", "F64", "I8", "I64", "U64", "BOOL", "X", "F4", "")


def bytes_changed(content: bytes, source: random.Random) -> bytes:
    """One to three times: bits flipped, bytes cut off, put in, taken out, exchanged, repeated, made 0 or 255."""
    found = bytearray(content)
    for _ in range(source.randint(1, 3)):
        if not found:
            break
        first = source.randrange(len(found))
        last = min(len(found), first + source.choice((1, 2, 8, 64, 1000)))
        kind = source.randrange(8)
        if kind <= 1:
            found[first] ^= 1 << source.randrange(8)
        elif kind == 2:
            found[first] = source.randrange(256)
        elif kind == 3:
            del found[first:]
        elif kind == 4:
            found[first:first] = source.randbytes(last - first)
        elif kind == 5:
            del found[first:last]
        elif kind == 6:
            other = source.randrange(len(found))
            found[other:other] = found[first:last]
        else:
            found[first:last] = bytes([source.choice((0, 255))]) * (last - first)
    return bytes(found)


def json_changed(value: Any, source: random.Random) -> Any:
    """One to three times, somewhere in it: a value of another kind, a name that is gone or new, a list of another
    length, a great depth.
    """
    found = {"": value}
    for _ in range(source.randint(1, 3)):
        outer, key = _place(found, source)
        inner, kind = outer[key], source.randrange(10)
        if kind <= 4:
            outer[key] = _junk(source)
        elif kind == 5 and isinstance(outer, dict) and outer is not found:
            del outer[key]
        elif kind == 6 and isinstance(inner, list) and inner:
            inner.append(copy.deepcopy(inner[source.randrange(len(inner))])) if source.random() < 0.5 else inner.pop()
        elif kind == 7 and isinstance(inner, (int, float)) and not isinstance(inner, bool) and abs(inner) < 1e30:
            outer[key] = source.choice((-inner, inner + 1, inner - 1, float(inner), inner * 10**20, 2 * inner))
        elif kind == 8 and isinstance(outer, dict):
            outer[source.choice(("when", "a", "members", "sha256", "choices"))] = _junk(source)
        else:
            outer[key] = [inner] if source.random() < 0.7 else _deep(source.choice((70, 500, 100_000)))
    return found.get("")


def _junk(source: random.Random) -> Any:
    """A value of its own: what is changed further is nobody else's."""
    return copy.deepcopy(source.choice(JUNK))


class _Raw(str):
    """JSON that is written as it is."""


def _deep(levels: int) -> _Raw:
    return _Raw("[" * levels + "]" * levels)


def _place(value: Any, source: random.Random) -> tuple[Any, Any]:
    """A list or an object in it, and a key of that: the deeper, the likelier."""
    outer, key = value, ""
    while True:
        inner = outer[key]
        if not isinstance(inner, (dict, list)) or not inner or source.random() < 0.12:
            return outer, key
        outer, key = inner, source.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))


def written(value: Any, source: random.Random) -> str:
    """As JSON; now and then with a name twice, or with numbers that are none."""
    raw = json.dumps(_marked(value))
    for part in _raws(value):
        raw = raw.replace(json.dumps(f"raw {len(part)}"), part, 1)
    if raw.startswith("{") and len(raw) > 2 and source.random() < 0.03:
        raw = raw[:-1] + ", " + raw[1:]
    return raw


def _marked(value: Any) -> Any:
    if isinstance(value, _Raw):
        return f"raw {len(value)}"
    if isinstance(value, dict):
        return {key: _marked(item) for key, item in value.items()}
    return [_marked(item) for item in value] if isinstance(value, list) else value


def _raws(value: Any) -> list[_Raw]:
    if isinstance(value, _Raw):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [found for item in inner for found in _raws(item)]


def document_changed(content: bytes, source: random.Random) -> bytes:
    """A JSON document, with its checksum made right, without one, or as it was."""
    if source.random() < 0.2:
        return bytes_changed(content, source)
    document = json.loads(content)
    seal = document.pop(SEAL, "")
    found = json_changed(document, source)
    way = source.random()
    if isinstance(found, dict) and way < 0.5 and not _raws(found):
        found = sealed(found)
    elif isinstance(found, dict) and way < 0.6:
        found[SEAL] = copy.deepcopy(source.choice((seal, *JUNK)))
    return written(found, source).encode(errors="surrogatepass")


def arrays_changed(content: bytes, source: random.Random) -> bytes:
    """A file of arrays: its bytes, the header of safetensors, the description, or the arrays."""
    way = source.random()
    if way < 0.2:
        return bytes_changed(content, source)
    if way < 0.35:
        return _header_changed(content, source)
    length = int.from_bytes(content[:8], "little")
    tensors: dict[str, np.ndarray] = dict(sorted(load(content).items()))
    described = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][KEY])
    described.pop(SEAL)
    if way < 0.7:
        text = written(json_changed(described, source), source)
    else:
        text = json.dumps(described)
        _array_changed(tensors, source)
    if source.random() < 0.7 and text.startswith("{"):
        text = sealed_arrays(tensors, text)
    return save(tensors, {KEY: text})


def _array_changed(tensors: dict[str, np.ndarray], source: random.Random) -> None:
    name = source.choice(sorted(tensors))
    array, way = tensors[name], source.randrange(8)
    kind = source.choice(("float16", "float32", "float64", "int8", "int32", "int64", "uint64", "bool"))
    if way == 0:
        del tensors[name]
    elif way == 1:
        tensors[source.choice((*tensors, "x", "slots.x", "\ud7ff", ""))] = tensors.pop(name)
    elif way <= 3:
        with np.errstate(all="ignore"):
            tensors[name] = array.astype(kind)
    elif way == 4:
        shapes: tuple[Callable[[], np.ndarray], ...] = (
            lambda: array.ravel().copy(),
            lambda: array[None].copy(),
            lambda: array[:0].copy(),
            lambda: np.concatenate([array, array]),
            lambda: np.zeros((), array.dtype),
            lambda: np.zeros((3, 0, 2), array.dtype),
            lambda: np.ascontiguousarray(array.T),
        )
        tensors[name] = source.choice(shapes)()
    else:
        number = source.choice([n for n in NUMBERS if abs(n) < 1e300 or isinstance(n, float)])
        with np.errstate(all="ignore"):
            value = np.float64(number).astype(array.dtype)
        changed = array.copy()
        if changed.size and way < 7:
            changed.flat[source.randrange(changed.size)] = value
        else:
            changed[...] = value
        tensors[name] = changed


def _header_changed(content: bytes, source: random.Random) -> bytes:
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    rest = content[8 + length :]
    way = source.random()
    if way < 0.4:
        name = source.choice([name for name in header if name != "__metadata__"])
        header[name]["dtype"] = source.choice(DTYPES)
        if source.random() < 0.5:  # as many bytes as before, so that nothing but the type is odd
            first, last = header[name]["data_offsets"]
            header[name]["shape"] = [(last - first) // source.choice((1, 2, 4, 8))]
    elif way < 0.5:
        header["__metadata__"].pop(source.choice([*header["__metadata__"]]))
    else:
        header = json_changed(header, source)
    text = written(header, source).encode(errors="surrogatepass")
    size = len(text) if source.random() < 0.9 else source.choice((0, 1, 2**31, 2**63, 2**64 - 1))
    return size.to_bytes(8, "little") + text + rest


def toml_changed(content: bytes, source: random.Random) -> bytes:
    if source.random() < 0.3:
        return bytes_changed(content, source)
    lines = content.decode().splitlines()
    for _ in range(source.randint(1, 3)):
        place, way = source.randrange(len(lines)), source.randrange(6)
        name, equals, _ = lines[place].partition("=")
        if way <= 2 and equals:
            lines[place] = f"{name}= {_toml_value(source)}"
        elif way == 3:
            lines.insert(
                place, f"{source.choice(('hidden', 'l2', 'epochs', 'a', 'when', 'if'))} = {_toml_value(source)}"
            )
        elif way == 4:
            lines.insert(place, source.choice(("[when]", "[[when]]", "[a.b.c]", "[[l2]]", "[if]")))
        else:
            del lines[place]
        if not lines:
            break
    return "\n".join(lines).encode()


def _toml_value(source: random.Random) -> str:
    depth = source.choice((2, 70, 500, 5000))
    simple = ["true", "1", "-1", "0", "9" * 30, "9" * 5000, "1e308", "1e999", "inf", "nan", "0x7fffffffffffffff", '""']
    simple += ['"adam"', '"\\ud800"', "1979-05-27T07:32:00Z", "[]", "{}", "[[]]", "[[1, 2], 3]", "[1, [2, [3]]]", "''"]
    simple += ["{low = 1}", "{low = 1, high = 0}", "{low = 0, high = 1, log = true}", "{low = '1', high = 2}"]
    simple += ["{low = 1, high = 9999999999999999999999}", "{low = -inf, high = inf}", "{low = 1, high = 2, log = 3}"]
    simple += ["[" * depth + "]" * depth, "{a=" * depth + "1" + "}" * depth, '"' + "x" * 10_000 + '"', "[1, 1]"]
    return source.choice(simple)
