"""Whose code is loaded: the user's own files, as they were written, and nobody else's."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import standin

from gpubp.backends import kernel_cache
from gpubp.backends.cupy_backend import CupyBackend
from gpubp.backends.host_compiler import HostLibrary, compile_library, find_compiler
from gpubp.backends.kernel_cache import cache_entries, clear_cache, find_library, private_subfolder
from gpubp.errors import BackendError

OPTIMISATION = "shipped"
ANSWER = 'extern "C" int answer() { return VALUE; }\n'

pytestmark = [
    pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler on this machine"),
    pytest.mark.skipif(not hasattr(os, "getuid"), reason="folders are private by their access lists on this system"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GPUBP_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("CXX", raising=False)
    return tmp_path / "cache"


def build(value: int = 42) -> HostLibrary:
    return compile_library(ANSWER, {"VALUE": value}, include=())


def answer(library: HostLibrary) -> int:
    return int(library.function("answer", (), ctypes.c_int)())


def record_of(library: Path) -> Path:
    return library.with_name(f"{library.name[:64]}.json")


def plant(entry: Path, library: bytes) -> Path:
    """In an entry's place, another library with a record that fits it; returns the library."""
    key, record = entry.name[:64], json.loads(record_of(entry).read_text())
    planted = entry.with_name(f"{key}-{hashlib.sha256(library).hexdigest()}.so")
    planted.write_bytes(library)
    record_of(entry).write_text(json.dumps(record | {"library": planted.name, "bytes": len(library)}))
    return planted


def by_another_user(path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give a file to another user")
    os.chown(path, 65534, 65534)


def by_all(path: Path) -> None:
    path.chmod(0o722)


def by_the_group(path: Path) -> None:
    path.chmod(0o720)


def by_a_link(path: Path) -> None:
    target = path.parent.parent / f"target-{path.name}"
    shutil.move(path, target)
    path.symlink_to(target)


def by_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A library of a program of its own: this process may have loaded the same one already."""
    other = tmp_path_factory.mktemp("other") / "cache"
    subprocess.run([sys.executable, "-c", CHILD, "13"], env=os.environ | {"GPUBP_CACHE_DIR": str(other)}, check=True)
    return next(other.glob("*.so")).read_bytes()


@pytest.mark.parametrize("which", ["library", "record"])
@pytest.mark.parametrize("doubtful", [by_another_user, by_all, by_the_group, by_a_link, by_a_pipe])
def test_a_file_that_may_be_anothers_is_not_loaded(
    doubtful: Callable[[Path], None], which: str, folder: Path, evil: bytes
) -> None:
    good = build()
    planted = plant(good.path, evil)
    doubtful(planted if which == "library" else record_of(planted))
    again = build()
    assert (answer(again), again.cached) == (42, False)
    assert build().cached


CHILD = """
import sys
from gpubp.backends.host_compiler import compile_library
compile_library('extern "C" int answer() { return VALUE; }', {"VALUE": int(sys.argv[1])}, include=())
"""


def test_what_the_owner_planted_would_be_loaded(folder: Path, tmp_path: Path) -> None:
    """So the test above can fail: it is the owner and the mode that it looks at."""
    good, other = build(), build(13)
    plant(good.path, other.path.read_bytes())
    assert answer(build()) == 13


@pytest.mark.parametrize("mask", [0o000, 0o002, 0o077])
def test_our_own_files_are_private_whatever_the_umask(mask: int, folder: Path) -> None:
    before = os.umask(mask)
    try:
        path = build().path
        assert build().cached
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE(record_of(path).stat().st_mode) == 0o600


def test_the_advice_for_an_open_folder_removes_what_was_planted(folder: Path) -> None:
    library = build().path
    folder.chmod(0o777)
    with pytest.raises(BackendError, match=r"could have put code there .* `chmod 700 .*cache`, then `gpubp cache --cl"):
        build()
    folder.chmod(0o700)
    (folder / f"{'a' * 64}.so").mkdir()  # planted, too
    assert clear_cache()[0] == 2
    assert list(folder.iterdir()) == []
    assert not library.exists()


def test_no_advice_to_close_a_place_that_all_share(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o1777)
    with pytest.raises(BackendError, match="Others may write") as caught:
        build()
    assert "chmod" not in str(caught.value)
    assert "Set GPUBP_CACHE_DIR to a folder of your own" in str(caught.value)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no paths of descriptors on this system")
def test_nothing_is_exchanged_between_the_check_and_loading(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole folder, by whoever may rename it, at the last moment."""
    build()
    code = f"""
import ctypes, os, shutil
from gpubp.backends.host_compiler import compile_library
load = ctypes.CDLL
def exchange(path, *more):
    shutil.copytree({str(folder)!r}, {str(folder)!r} + "-mine")
    os.rename({str(folder)!r}, {str(folder)!r} + "-old")
    os.mkdir({str(folder)!r})
    return load(path, *more)
ctypes.CDLL = exchange
library = compile_library({ANSWER!r}, {{"VALUE": 42}}, include=())
print(library.function("answer", (), ctypes.c_int)(), library.cached)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "42 True\n"


# ------------------------------------------------------------------------------------------------ what does not load
def rubbish_of_the_right_sum(library: Path) -> None:
    plant(library, b"\x7fELF rubbish").chmod(0o700)


def test_what_does_not_load_is_built_again(folder: Path) -> None:
    """A kept library of another C library, say: whole, and of no use here."""
    rubbish_of_the_right_sum(build().path)
    again = build()
    assert (answer(again), again.cached) == (42, False)
    assert len(list(folder.glob("*.so"))) == 1  # the other was deleted
    assert build().cached


def test_what_never_loads_is_one_clear_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> Any:
        raise OSError(f"{path}: failed to map segment from shared object")

    monkeypatch.setattr(ctypes, "CDLL", refuse)  # as on a file system that is mounted with noexec
    with pytest.raises(BackendError, match=r"cannot be loaded: .*failed to map(.|\n)*GPUBP_CACHE_DIR"):
        build()
    assert cache_entries() == []
    assert list(folder.iterdir()) == []


# ------------------------------------------------------------------------------------------------------ CUDA's cache
SOURCE = 'extern "C" __global__ void f(int* values, int first, int last) { values[first] = N; }'


def test_machine_code_for_a_device_is_looked_at_the_same_way(folder: Path) -> None:
    with standin.installed() as cupy:
        backend = CupyBackend()
        backend.compile(SOURCE, {"N": 3, "THREADS": 1})
        kept = [entry.library for entry in cache_entries() if "NVRTC" in entry.compiler]
        assert len(kept) == 1
        assert find_library(folder, kept[0].name[:64]) == kept[0]
        kept[0].chmod(0o777)
        assert find_library(folder, kept[0].name[:64]) is None
        before = cupy.counters.compilations
        backend.compile(SOURCE, {"N": 3, "THREADS": 1})  # it has that one loaded
        assert cupy.counters.compilations == before
        CupyBackend().compile(SOURCE, {"N": 3, "THREADS": 1})
        assert cupy.counters.compilations == before + 1
        assert find_library(folder, kept[0].name[:64]) == kept[0]


def test_a_device_needs_no_cache(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The stand-in's own compiler has one."""
    from gpubp.backends import cupy_program, notices

    def closed() -> Path:
        raise BackendError("The kernel cache folder cannot be used.")

    monkeypatch.setattr(notices, "_said", set())
    monkeypatch.setattr(cupy_program, "private_folder", closed)
    with standin.installed():
        backend = CupyBackend()
        with pytest.warns(UserWarning, match="compiled anew in every process. The kernel cache folder cannot be used"):
            backend.compile(SOURCE, {"N": 4, "THREADS": 1})
        backend.compile(SOURCE, {"N": 5, "THREADS": 1})  # and says nothing more


# ------------------------------------------------------------------------------------------------ folders inside it
def test_a_folder_for_more_is_private_too(folder: Path, tmp_path: Path) -> None:
    place = private_subfolder("zig")
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    (place / "o").mkdir()
    (place / "o" / "object").write_bytes(bytes(10))
    place.chmod(0o770)
    with pytest.raises(BackendError, match="Others may write to the kernel cache folder"):
        private_subfolder("zig")
    assert clear_cache() == (1, 10)
    assert not place.exists()
    place.symlink_to(tmp_path)
    with pytest.raises(BackendError, match="it is a link"):
        private_subfolder("zig")


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"GPUBP_CACHE_DIR": "~no-such-user-here/x"}, "~no-such-user-here/x cannot be found"),
        ({"GPUBP_CACHE_DIR": "/proc/1/x"}, "cannot be used"),
        ({"GPUBP_CACHE_DIR": "/" + "x" * 300}, "cannot be used: File name too long"),
    ],
)
def test_places_that_are_none(variables: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BackendError, match=words) as caught:
        kernel_cache.private_folder()
    assert "Set GPUBP_CACHE_DIR to a folder of your own" in str(caught.value)


def test_no_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A user who is in no list and has no HOME: `~` stays as it is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GPUBP_CACHE_DIR", "")
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *_, **__: "~/.cache/gpubp")
    with pytest.raises(
        BackendError, match=r"There is no home folder for the kernel cache \(it would be '~/.cache/gpubp'"
    ):
        kernel_cache.private_folder()
    assert list(tmp_path.iterdir()) == []
