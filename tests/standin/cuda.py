"""`cupy.cuda`: the device, the stream, and the few questions that a program asks the driver."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

from standin.state import NO_DEVICE_TEXT, STATE, CUDARuntimeError

DRIVER_VERSION = RUNTIME_VERSION = 13000

PROPERTIES: dict[str, Any] = {
    "name": b"Stand-in for a CUDA device",
    "multiProcessorCount": 132,
    "clockRate": 1_980_000,
    "warpSize": 32,
    "regsPerBlock": 65536,
    "regsPerMultiprocessor": 65536,
    "sharedMemPerBlock": 49152,
    "sharedMemPerBlockOptin": 232448,
    "sharedMemPerMultiprocessor": 233472,
    "maxThreadsPerBlock": 1024,
    "maxThreadsPerMultiProcessor": 2048,
}


def getDeviceCount() -> int:
    STATE.require_driver()
    return STATE.machine.devices


def getDevice() -> int:
    STATE.require_driver()
    return STATE.device


def setDevice(device: int) -> None:
    STATE.require_driver()
    if not 0 <= device < STATE.machine.devices:
        raise CUDARuntimeError(NO_DEVICE_TEXT)
    STATE.device = device


def getDeviceProperties(device: int) -> dict[str, Any]:
    STATE.require_driver()
    if not 0 <= device < STATE.machine.devices:
        raise CUDARuntimeError(NO_DEVICE_TEXT)
    major, minor = divmod(STATE.machine.capability, 10)
    of_machine = {"totalGlobalMem": STATE.machine.total, "kernelExecTimeoutEnabled": int(STATE.machine.watchdog)}
    return {**PROPERTIES, "major": major, "minor": minor, **of_machine}


def memGetInfo() -> tuple[int, int]:
    STATE.require_memory()
    return STATE.machine.free, STATE.machine.total


def driverGetVersion() -> int:
    return 0 if STATE.machine.driver_error else DRIVER_VERSION


def runtimeGetVersion() -> int:
    return RUNTIME_VERSION


def deviceSynchronize() -> None:
    STATE.require_driver()
    STATE.counters.synchronize += 1


class Device:
    """`cupy.cuda.Device`: the current one, or one by its number."""

    def __init__(self, device: int | None = None) -> None:
        self.id = getDevice() if device is None else device
        self.before: list[int] = []

    def __enter__(self) -> Device:
        self.before.append(getDevice())
        setDevice(self.id)
        return self

    def __exit__(self, *_: Any) -> None:
        setDevice(self.before.pop())

    def use(self) -> None:
        setDevice(self.id)

    @property
    def compute_capability(self) -> str:
        properties = getDeviceProperties(self.id)
        return f"{properties['major']}{properties['minor']}"

    @property
    def mem_info(self) -> tuple[int, int]:
        return memGetInfo()

    def synchronize(self) -> None:
        deviceSynchronize()


class MemoryPool:
    """CuPy's default pool, on the current device."""

    def free_bytes(self) -> int:
        return STATE.machine.pooled


class Stream:
    """The default stream; there is no other."""

    ptr = 0

    def synchronize(self) -> None:
        deviceSynchronize()


STREAM = Stream()


def is_available() -> bool:
    """False, and no error, without a driver."""
    try:
        return getDeviceCount() > 0
    except CUDARuntimeError:
        return False


RUNTIME = (
    getDeviceCount,
    getDevice,
    setDevice,
    getDeviceProperties,
    memGetInfo,
    driverGetVersion,
    runtimeGetVersion,
    deviceSynchronize,
    CUDARuntimeError,
)


def fill_cuda(cuda: ModuleType, runtime: ModuleType) -> None:
    """Put this file's names where CuPy has them."""
    for value in RUNTIME:
        setattr(runtime, value.__name__, value)
    names = SimpleNamespace(
        runtime=runtime, Device=Device, is_available=is_available, get_current_stream=lambda: STREAM
    )
    for name, value in vars(names).items():
        setattr(cuda, name, value)
