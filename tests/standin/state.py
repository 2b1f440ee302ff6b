"""What the stand-in pretends to be, and what it counts."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, fields

MIB = 1 << 20

NO_DRIVER_TEXT = "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version"
NO_DEVICE_TEXT = "cudaErrorNoDevice: no CUDA-capable device is detected"
FORKED_TEXT = "cudaErrorInitializationError: initialization error"
NO_MEMORY_TEXT = "cudaErrorMemoryAllocation: out of memory"


class CUDARuntimeError(RuntimeError):
    """`cupy.cuda.runtime.CUDARuntimeError`: the text is "<name>: <words>", the number is `status`."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.status = {NO_MEMORY_TEXT: 2, FORKED_TEXT: 3, NO_DRIVER_TEXT: 35, NO_DEVICE_TEXT: 100}.get(text, 999)


@dataclass(frozen=True)
class Machine:
    """The machine that CuPy finds: what is installed, and what its driver answers."""

    importable: bool = True  # False: CuPy is not installed
    import_error: str = ""  # CuPy is installed, but its import fails for this reason
    driver_error: str = ""  # the text of the CUDARuntimeError that every call to the driver raises
    memory_error: str = ""  # the text of the CUDARuntimeError that asking for memory raises
    devices: int = 1
    free: int = 8192 * MIB  # bytes
    total: int = 81920 * MIB  # bytes
    capability: int = 90
    pooled: int = 0  # bytes that CuPy keeps for arrays to come, no part of `free`
    cuda_core: bool = True  # False: cuda-core is not installed
    architectures: tuple[int, ...] = (75, 80, 86, 87, 88, 89, 90, 100, 103, 110, 120, 121)  # that NVRTC knows
    missing_libraries: tuple[str, ...] = ()  # "nvrtc", "cublas"
    builtins: bool = True  # False: NVRTC does not find its own
    headers: bool = True  # False: those of CUDA's runtime, which CuPy's own kernels include, are not there
    watchdog: bool = False  # True: a display's, which ends launches that take seconds


READY = Machine()
NOT_INSTALLED = Machine(importable=False)
BROKEN_IMPORT = Machine(import_error="libcudart.so.13: cannot open shared object file: No such file or directory")
NO_DRIVER = Machine(driver_error=NO_DRIVER_TEXT)
NO_DEVICE = Machine(driver_error=NO_DEVICE_TEXT)
ZERO_DEVICES = Machine(devices=0)
NO_MEMORY = Machine(memory_error=NO_MEMORY_TEXT)
LITTLE_MEMORY = Machine(free=8 * MIB)


@dataclass
class Counters:
    """What crossed between host and device, how often the host waited, what ran there, since the last `reset`."""

    to_device: int = 0
    to_host: int = 0
    synchronize: int = 0
    bytes_to_device: int = 0
    bytes_to_host: int = 0
    launches: int = 0  # of compiled kernels
    compilations: int = 0

    def reset(self) -> None:
        for field in fields(self):
            setattr(self, field.name, 0)

    def count_to_device(self, nbytes: int) -> None:
        self.to_device += 1
        self.bytes_to_device += nbytes

    def count_to_host(self, nbytes: int) -> None:
        """A transfer to the host also waits for the device."""
        self.to_host += 1
        self.bytes_to_host += nbytes
        self.synchronize += 1


class State:
    """The machine and the counters of the stand-in that is installed now."""

    def __init__(self) -> None:
        self.machine = READY
        self.counters = Counters()
        self.process: int | None = None  # that has begun to use the driver
        self.current = threading.local()

    @property
    def device(self) -> int:
        """The current one of this thread."""
        return getattr(self.current, "device", 0)

    @device.setter
    def device(self, number: int) -> None:
        self.current.device = number

    def require_driver(self) -> None:
        """Every call to the driver, in a process forked after the first one too, fails as it does there."""
        if self.process not in (None, os.getpid()):
            raise CUDARuntimeError(FORKED_TEXT)
        if self.machine.driver_error:
            raise CUDARuntimeError(self.machine.driver_error)
        if self.machine.devices:
            self.process = os.getpid()

    def require_memory(self) -> None:
        self.require_driver()
        if self.machine.devices == 0:
            raise CUDARuntimeError(NO_DEVICE_TEXT)
        if self.machine.memory_error:
            raise CUDARuntimeError(self.machine.memory_error)


STATE = State()
