"""A device's memory: one block of bytes, with red zones between its allocations."""

from __future__ import annotations

import numpy as np

RED_ZONE = 256  # bytes before, between and after allocations; as floats they are NaN
ALIGNMENT = 256  # as cudaMalloc's


class Memory:
    """Allocations are copies of arrays; what is not in an allocation can neither be read nor written."""

    def __init__(self, arrays: list[np.ndarray]) -> None:
        """Allocate each array (C-contiguous); `addresses` are theirs."""
        self.arrays = arrays
        self.addresses: list[int] = []
        top = RED_ZONE
        for array in arrays:
            if not array.flags.c_contiguous:
                raise ValueError("a kernel reads C-contiguous arrays only")
            self.addresses.append(top)
            top = -(-(top + array.nbytes + RED_ZONE) // ALIGNMENT) * ALIGNMENT
        self.starts = np.array(self.addresses, dtype=np.uint64)
        self.ends = np.array([0, *(a + b.nbytes for a, b in zip(self.addresses, arrays, strict=True))], dtype=np.uint64)
        self.bytes = np.full(top // 8, -1, dtype=np.int64).view(np.uint8)
        for address, array in zip(self.addresses, arrays, strict=True):
            self.bytes[address : address + array.nbytes] = array.reshape(-1).view(np.uint8)

    def read(self, addresses: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """Raises IndexError for an address that is misaligned or (partly) outside of every allocation."""
        self._check(addresses, dtype.itemsize)
        return self.bytes.view(dtype)[addresses // np.uint64(dtype.itemsize)]

    def write(self, addresses: np.ndarray, values: np.ndarray) -> None:
        """Raises as `read`, and where two threads write to one place in one instruction."""
        self._check(addresses, values.dtype.itemsize)
        if len(np.unique(addresses)) < len(addresses):
            raise IndexError("two threads write to one address")
        self.bytes.view(values.dtype)[addresses // np.uint64(values.dtype.itemsize)] = values

    def copy_back(self) -> None:
        """Into the arrays."""
        for address, array in zip(self.addresses, self.arrays, strict=True):
            found = self.bytes[address : address + array.nbytes].view(array.dtype).reshape(array.shape)
            if not np.array_equal(found.view(np.uint8), array.view(np.uint8)):
                array[...] = found

    def _check(self, addresses: np.ndarray, size: int) -> None:
        at = np.searchsorted(self.starts, addresses, side="right")  # 0: before the first, which begins and ends at 0
        good = (addresses % np.uint64(size) == 0) & (addresses + np.uint64(size) <= self.ends[at])
        if not good.all():
            address = int(addresses[~good][0])
            raise IndexError(f"address {address}, {size} bytes: outside of every allocation, or misaligned")
