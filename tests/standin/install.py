"""Put the stand-in into `sys.modules` as `cupy`, `cupyx` and `cuda`, and take it out again."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import numpy as np
from scipy.special import erf, expit

from standin.array import ndarray
from standin.creation import CREATION
from standin.cuda import MemoryPool, fill_cuda
from standin.cuda_core import MODULES as CUDA_MODULES
from standin.cuda_core import fill_cuda_core
from standin.functions import FUNCTIONS, norm
from standin.state import READY, STATE, Counters, Machine
from standin.ufuncs import UFUNCS, matmul, ufunc

PACKAGES = ("cupy", "cupyx")
CUDA = "cuda"  # cuda-core's

# NumPy's own objects, in CuPy too
BORROWED = """
    pi inf nan e newaxis dtype iinfo finfo issubdtype can_cast promote_types
    bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128
    integer floating inexact
""".split()  # noqa: SIM905


@contextmanager
def installed(machine: Machine = READY) -> Iterator[Any]:
    """Within it, `import cupy` gives the stand-in, on the machine told; it yields the module.

    `cupy.counters` counts the transfers. Whatever `cupy`, `cupyx` and `cuda` were before is hidden, and is back
    afterwards. Where the machine has no working CuPy, the import fails as it would there, and None is given.
    """
    hidden = {name: sys.modules.pop(name) for name in list(sys.modules) if _is_hidden(name)}
    before = STATE.machine, STATE.counters, STATE.process, STATE.device
    STATE.machine, STATE.counters, STATE.process, STATE.device = machine, Counters(), None, 0
    finder = _FailingFinder(machine.import_error)
    try:
        if not machine.importable:
            sys.modules.update(dict.fromkeys(PACKAGES))  # None stops the import
            yield None
        elif machine.import_error:
            sys.meta_path.insert(0, finder)
            yield None
        else:
            modules = _modules()
            if not machine.cuda_core:
                modules |= dict.fromkeys(("cuda.core", "cuda.bindings", "cuda.bindings.nvrtc"))  # None stops the import
            sys.modules.update(modules)
            yield modules["cupy"]
    finally:
        STATE.machine, STATE.counters, STATE.process, STATE.device = before
        if finder in sys.meta_path:
            sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if _is_hidden(name)]:
            del sys.modules[name]
        sys.modules.update(hidden)


def is_standin(module: Any) -> bool:
    return getattr(module, "counters", None).__class__ is Counters


def _is_cupy(module_name: str) -> bool:
    return module_name.split(".")[0] in PACKAGES


def _is_hidden(module_name: str) -> bool:
    return _is_cupy(module_name) or module_name.split(".")[0] == CUDA


class _FailingFinder(MetaPathFinder):
    """An installation whose import fails, with CuPy's banner around the reason."""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if not _is_cupy(name):
            return None
        line = "=" * 64
        original = ImportError(self.reason)
        raise ImportError(
            f"\n{line}\nFailed to import CuPy.\n\nOriginal error:\n  ImportError: {self.reason}\n{line}\n"
        ) from original


def _modules() -> dict[str, Any]:
    names = (
        *CUDA_MODULES,
        "cupy",
        "cupy.cuda",
        "cupy.cuda.runtime",
        "cupy.linalg",
        "cupyx",
        "cupyx.scipy",
        "cupyx.scipy.special",
    )
    modules = {name: _strict_module(name) for name in names}
    for name, module in modules.items():
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(modules[parent], child, module)

    cupy = modules["cupy"]
    contents = {**CREATION, **FUNCTIONS, **UFUNCS, **{name: getattr(np, name) for name in BORROWED}}
    contents.update(ndarray=ndarray, ufunc=ufunc, matmul=matmul, is_available=lambda: cupy.cuda.is_available())
    contents.update(__version__="14.2.0", counters=STATE.counters, get_default_memory_pool=MemoryPool)
    if not STATE.machine.headers:
        contents["arange"] = _without_headers
    for name, value in contents.items():
        setattr(cupy, name, value)
    modules["cupy.linalg"].norm = norm
    modules["cupyx.scipy.special"].erf = ufunc("erf", erf)
    modules["cupyx.scipy.special"].expit = ufunc("expit", expit)
    fill_cuda(modules["cupy.cuda"], modules["cupy.cuda.runtime"])
    fill_cuda_core(modules)
    return modules


def _without_headers(*_: Any) -> Any:
    """What CuPy's first kernel comes to."""
    raise RuntimeError('carray.cuh(3): catastrophic error: cannot open source file "cuda_fp16.h"')


def _strict_module(name: str) -> ModuleType:
    """A module whose missing names say what to do about it."""
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None, is_package=True)
    module.__path__ = []

    def missing(attribute: str) -> Any:
        raise AttributeError(
            f"The stand-in has no {name}.{attribute}: CuPy lacks it, or no one has needed it yet. If CuPy's "
            "documentation has it, add it under tests/standin/ with the keywords that CuPy takes."
        )

    module.__getattr__ = missing
    return module
