"""What compiles for a CUDA device: which architecture, what is in the cache's key, and what is said where it fails."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import standin
from standin.cuda_core import ProgramOptions

from gpubp.backends import get_backend, nvrtc
from gpubp.backends.cupy_backend import CupyBackend
from gpubp.backends.cupy_program import compile_for_device
from gpubp.backends.host_compiler import find_compiler
from gpubp.backends.kernel_cache import cache_entries
from gpubp.backends.nvrtc import OPTIONS, SETTINGS, Nvrtc, Target, define_options, definition_texts, load_builtins
from gpubp.errors import BackendError

needs_compiler = pytest.mark.skipif(find_compiler() is None, reason="no C++ compiler on this machine")
KERNEL = 'extern "C" __global__ void set(int* out, int first, int last) { out[threadIdx.x] = 7; }'
CUDA_13 = Nvrtc((13, 0), 1000, (75, 80, 86, 90, 100, 120), Path("libnvrtc.so.13"))
DEFINITIONS = {"SIZES": (3, 5, 2), "FLAG": True, "REAL": "float"}


@pytest.mark.parametrize(
    ("capability", "target"),
    [(90, "sm_90"), (75, "sm_75"), (89, "compute_86"), (103, "compute_100"), (130, "compute_120")],
)
def test_a_device_that_nvrtc_does_not_know_gets_ptx_of_the_newest_below(capability: int, target: str) -> None:
    assert str(CUDA_13.target(capability)) == target
    assert CUDA_13.target(capability).kind == ("cubin" if target.startswith("sm") else "ptx")


@pytest.mark.parametrize("capability", [52, 61, 70, 72])
def test_a_device_that_cuda_13_has_dropped_is_sent_to_cuda_12(capability: int) -> None:
    words = rf"capability is {capability // 10}\.{capability % 10}, and NVRTC 13\.0 compiles for 7\.5 and newer.*cuda12"
    with pytest.raises(BackendError, match=words):
        CUDA_13.target(capability)


def test_the_options_are_those_of_cuda_core() -> None:
    given = ProgramOptions(define_macro=[*definition_texts(DEFINITIONS).items()], **SETTINGS)
    assert sorted(given.as_options()) == sorted((*OPTIONS, *define_options(DEFINITIONS)))
    assert define_options(DEFINITIONS)[-1] == "--define-macro=SIZES=3,5,2"


def with_nvrtc(**changes: Any) -> Any:
    return standin.installed(replace(standin.READY, **changes))


@needs_compiler
def test_everything_that_decides_the_code_is_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    found = find = nvrtc.find_nvrtc
    paths = []
    for machine, size in ((90, 1), (90, 1), (90, 2), (80, 1), (125, 1)):
        with with_nvrtc(capability=machine) as cupy:
            found = replace(find(), size=size)
            monkeypatch.setattr("gpubp.backends.cupy_program.find_nvrtc", lambda found=found: found)
            paths.append(compile_for_device(cupy, KERNEL, {}))
    assert paths[0] == paths[1]
    assert len({path for path, _ in paths}) == 4
    assert [str(target) for _, target in paths[2:]] == ["sm_90", "sm_80", "compute_121"]
    assert {"NVRTC 13.0 for sm_90", "NVRTC 13.0 for compute_121"} <= {each.compiler for each in cache_entries()}


@needs_compiler
def test_a_new_device_runs_what_the_driver_makes_of_ptx() -> None:
    with with_nvrtc(capability=130) as cupy:
        out = cupy.zeros(3, "int32")
        get_backend("cupy").compile(KERNEL, {"THREADS": 3}).launch("set", [[out, 0, 3]])
        assert out.get().tolist() == [7, 7, 7]


def test_a_missing_nvrtc_is_named_with_the_remedy() -> None:
    with (
        with_nvrtc(missing_libraries=("nvrtc",)),
        pytest.raises(BackendError, match=r"NVRTC, .* cannot be loaded .*pip install 'gpubp\[cuda13\]'"),
    ):
        nvrtc.find_nvrtc()


MISSING = {
    "no cuda-core": ({"cuda_core": False}, r"cuda-core, .* cannot be used .*pip install 'gpubp\[cuda13\]'"),
    "no builtins": ({"builtins": False}, r"does not compile even a tiny kernel.*pip install --force-reinstall"),
    "an old device": (
        {"capability": 75, "architectures": (80, 90)},
        r"7\.5, and NVRTC 13\.0 compiles for 8\.0 and newer",
    ),
}


@pytest.mark.parametrize(("changes", "words"), MISSING.values(), ids=MISSING)
def test_what_is_missing_is_named_and_is_no_defect_of_gpubp(
    changes: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GPUBP_CACHE_DIR", str(tmp_path / "empty"))
    monkeypatch.setattr("gpubp.backends.notices._said", set())
    with with_nvrtc(**changes):
        backend = CupyBackend()
        with pytest.warns(UserWarning, match=words):
            reason = backend.compiler_missing()
        assert reason is not None
        assert "defect" not in reason
        assert backend.compiler_missing() == reason  # looked for, and said, once
        with pytest.raises(BackendError) as caught:
            backend.compile(KERNEL, {"THREADS": 3})
        assert "defect" not in str(caught.value)
        assert str(caught.value) == reason


@pytest.mark.parametrize(("name", "found"), [("libnvrtc-builtins.so.13.0", True), ("libnvrtc.so.13", False)])
def test_builtins_are_looked_for_beside_the_library(
    name: str, found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []
    monkeypatch.setattr(nvrtc.ctypes, "CDLL", lambda path, mode: loaded.append(path))
    (tmp_path / name).touch()
    assert load_builtins(tmp_path / "libnvrtc.so.13") is found
    assert loaded == ([str(tmp_path / name)] if found else [])


@needs_compiler
def test_builtins_that_were_not_found_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    class Once(Exception):
        pass

    said = [Once("nvrtc: error: failed to open libnvrtc-builtins.so.13.0.")]

    def compiled(source: str, definitions: object, target: Target) -> bytes:
        if said:
            raise said.pop()
        return b"code"

    monkeypatch.setattr(nvrtc, "_compiled_once", compiled)
    monkeypatch.setattr(nvrtc, "load_builtins", lambda library: True)
    assert nvrtc.compile_source(CUDA_13, KERNEL, {}, CUDA_13.target(90)) == b"code"
