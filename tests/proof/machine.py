"""A CUDA device in NumPy: runs parsed PTX, every register an array with one element for each thread.

Threads that stand at the same instruction run it together; of several groups, the one that is furthest behind goes
first, so that they meet again where their ways join, as on the device. At a barrier a thread waits until nothing else
runs; then all threads of its block have to stand at the same one. Each thread knows for each function where it goes on.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from proof.instructions import BARRIERS, DTYPES, LOADS, LOCAL_WINDOW, MEANINGS, SHARED_WINDOW, STORES, VECTORS
from proof.memory import Memory
from proof.ptx import Instruction, Kernel, UnknownInstruction


@dataclass
class Machine:
    """One launch. `executed` counts the instructions that thread 0 ran, by opcode."""

    kernel: Kernel
    memory: Memory
    parameters: dict[str, np.ndarray]
    blocks: int
    threads: int
    shared_bytes: int = 0  # of the array whose size the launch tells
    executed: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.n = self.blocks * self.threads
        thread = np.arange(self.n, dtype=np.uint32)
        self.special = {
            "%tid.x": thread % self.threads,
            "%ctaid.x": thread // self.threads,
            "%ntid.x": np.full(self.n, self.threads, np.uint32),
            "%nctaid.x": np.full(self.n, self.blocks, np.uint32),
        }
        # What a block shares is poison at first; each block has its own, with red zones.
        arrays = dict(self.kernel.shared)
        if self.kernel.dynamic_shared is not None:
            arrays[self.kernel.dynamic_shared] = self.shared_bytes
        sizes = [size for size in arrays.values() for _ in range(self.blocks)]
        self.shared = Memory([np.full(-(-size // 8), -1, dtype=np.int64) for size in sizes])
        for i, name in enumerate(arrays):
            of_blocks = self.shared.addresses[i * self.blocks : (i + 1) * self.blocks]
            self.special[name] = np.repeat(np.array(of_blocks, dtype=np.uint32), self.threads)
        # What a thread has for itself is at the same addresses in all threads; own: how far its memory is from there.
        sizes = [*self.kernel.local.values()] * self.n
        self.local = Memory([np.full(-(-size // 8), -1, dtype=np.int64) for size in sizes])
        firsts = self.local.addresses[:: len(self.kernel.local)] if self.kernel.local else [0] * self.n
        self.own = np.array(firsts, dtype=np.uint64) - np.uint64(firsts[0])
        for name, address in zip(self.kernel.local, self.local.addresses, strict=False):
            self.special[name] = np.full(self.n, address, np.uint32)
        self.returns: dict[str, np.ndarray] = {}
        self.registers: dict[str, np.ndarray] = {}
        self.types: dict[str, np.dtype] = {}  # of the registers that were written
        self.constants: dict[tuple[str, str], np.ndarray] = {}

    def run(self) -> None:
        code, labels = self.kernel.code, self.kernel.labels
        waiting = {labels[self.kernel.name]: np.ones(self.n, dtype=bool)}  # the threads at each place of the code
        at_barrier: dict[int, np.ndarray] = {}  # and those that wait before it
        with np.errstate(all="ignore"):
            while waiting or at_barrier:
                if not waiting:
                    self._check_barriers(at_barrier)
                    waiting, at_barrier = at_barrier, {}
                at = min(waiting)
                active = waiting.pop(at)
                whole = bool(active.all())
                while True:
                    instruction = code[at]
                    at += 1
                    if active[0]:
                        self.executed[instruction.opcode] += 1
                    mask = active if instruction.guard is None else active & self._guard(instruction)
                    if instruction.opcode in ("bra", "bra.uni"):
                        _add(waiting, labels[instruction.operands[0]], mask)
                        _add(waiting, at, active & ~mask)
                        break
                    if instruction.opcode == "call":
                        function = instruction.operands[0]
                        self.returns[function] = np.where(mask, at, self.returns.get(function, -1))
                        _add(waiting, labels[function], mask)
                        break
                    if instruction.opcode == "ret":
                        _add(waiting, at, active & ~mask)
                        places = self.returns.get(instruction.operands[0], np.full(self.n, -1))
                        for place in {*places[mask].tolist()} - {-1}:
                            _add(waiting, place, mask & (places == place))
                        break
                    if instruction.opcode in BARRIERS:
                        _add(at_barrier, at, mask)
                        _add(waiting, at, active & ~mask)
                        break
                    self._execute(instruction, mask, whole and instruction.guard is None)
                    if at in waiting:
                        active = active | waiting.pop(at)
                        whole = bool(active.all())

    def _check_barriers(self, at_barrier: dict[int, np.ndarray]) -> None:
        for at, mask in at_barrier.items():
            of_block = mask.reshape(self.blocks, self.threads)
            if (of_block.any(axis=1) & ~of_block.all(axis=1)).any():
                text = self.kernel.code[at - 1].text
                raise RuntimeError(f"some threads of a block wait, the others are elsewhere or done, at: {text}")

    def _guard(self, instruction: Instruction) -> np.ndarray:
        predicate = self._read(str(instruction.guard), "pred")
        return ~predicate if instruction.unless else predicate

    def _execute(self, instruction: Instruction, mask: np.ndarray, whole: bool) -> None:
        """whole: in all threads, as far as that is known."""
        opcode, operands = instruction.opcode, instruction.operands
        try:
            if meaning := MEANINGS.get(opcode):
                pairs = zip(operands[1:], meaning.operands, strict=True)
                sources = [self._read(operand, type_) for operand, type_ in pairs]
                self._write(operands[0], meaning.compute(*sources), mask, whole)
            elif opcode in LOADS:
                for register, addresses in self._numbers(opcode, operands[0], operands[1], mask):
                    values = np.zeros(self.n, LOADS[opcode])
                    values[mask] = self._load(opcode, addresses, mask)
                    self._write(register, values, mask, whole)
            elif opcode in STORES:
                for source, addresses in self._numbers(opcode, operands[1], operands[0], mask):
                    values = np.broadcast_to(self._read(source, opcode.rsplit(".")[-1]), self.n)
                    self._store(opcode, addresses, values[mask], mask)
            else:  # ld.param
                name, type_ = operands[1].strip("[]"), opcode.rsplit(".")[-1]
                of_function = name.startswith("%")
                value = self._read(name, type_) if of_function else self.parameters[name].view(DTYPES[type_])
                self._write(operands[0], value, mask, whole)
        except (IndexError, ValueError, KeyError) as error:
            raise RuntimeError(f"{error!r} at: {instruction.text}") from error

    def _load(self, opcode: str, addresses: np.ndarray, mask: np.ndarray) -> np.ndarray:
        values = np.zeros(len(addresses), LOADS[opcode])
        for memory, chosen, its_addresses in self._memories(opcode, addresses, mask):
            values[chosen] = memory.read(its_addresses, LOADS[opcode])
        return values

    def _store(self, opcode: str, addresses: np.ndarray, values: np.ndarray, mask: np.ndarray) -> None:
        for memory, chosen, its_addresses in self._memories(opcode, addresses, mask):
            memory.write(its_addresses, values[chosen].astype(STORES[opcode], copy=False))

    def _memories(
        self, opcode: str, addresses: np.ndarray, mask: np.ndarray
    ) -> Iterator[tuple[Memory, Any, np.ndarray]]:
        """The memories that the addresses lie in, which of them, and where: generic ones may lie in any."""
        if ".shared" in opcode:
            yield self.shared, slice(None), addresses
        elif ".global" in opcode:
            yield self.memory, slice(None), addresses
        elif ".local" in opcode:
            yield self.local, slice(None), addresses + self.own[mask]
        else:
            own, near = addresses >= LOCAL_WINDOW, addresses >= SHARED_WINDOW
            if own.any():
                yield self.local, own, addresses[own] - LOCAL_WINDOW + self.own[mask][own]
            if (near & ~own).any():
                yield self.shared, near & ~own, addresses[near & ~own] - SHARED_WINDOW
            if not near.all():
                yield self.memory, ~near, addresses[~near]

    def _numbers(self, opcode: str, operand: str, address: str, mask: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """The register or constant, and the addresses, of each number that an instruction loads or stores."""
        *_, vector, type_ = opcode.split(".")
        count, size = VECTORS.get(f".{vector}", 1), DTYPES[type_].itemsize
        addresses = self._addresses(address, "u32" if ".shared" in opcode else "u64")[mask]
        if (addresses % np.uint64(count * size)).any():
            raise IndexError(f"a vector of {count} numbers is misaligned")
        for i, name in enumerate(re.findall(r"[^\s,{}]+", operand)):
            yield name, addresses + np.uint64(i * size)

    def _addresses(self, operand: str, type_: str) -> np.ndarray:
        match = re.fullmatch(r"\[([%\w]+)(?:\+(-?\d+))?\]", operand)
        if match is None:
            raise UnknownInstruction(f"an address like {operand}")
        base = np.broadcast_to(self._read(match[1], type_), self.n).astype(np.uint64)
        return (base.view(np.int64) + int(match[2] or 0)).view(np.uint64)

    def _read(self, operand: str, type_: str) -> np.ndarray:
        """(threads,) or (1,)"""
        register = self.registers.get(operand)
        if register is not None:
            dtype = DTYPES[type_]
            if register.dtype is dtype:
                return register
            if register.itemsize > dtype.itemsize:  # its lower bits
                register = register.astype(f"u{dtype.itemsize}")
            return register.view(dtype)
        if operand in self.special:
            special = self.special[operand]
            wide = DTYPES[type_].itemsize > special.itemsize  # the address of a shared array in a register of 64 bits
            return special.astype(DTYPES[type_]) if wide else special.view(DTYPES[type_])
        if operand.startswith("{"):
            return self._packed(operand).view(DTYPES[type_])[:, 0]
        if operand.startswith("%"):
            raise ValueError(f"{operand} is read before it is written")
        if (operand, type_) not in self.constants:
            self.constants[operand, type_] = _constant(operand, DTYPES[type_])
        return self.constants[operand, type_]

    def _packed(self, operand: str) -> np.ndarray:
        """(threads or 1, 2): the halves of a wider number. One that was never written, for nothing will read it, is
        poison."""
        halves = re.findall(r"[^\s,{}]+", operand)
        written = [half in self.registers or not half.startswith("%") for half in halves]
        poison = np.full(1, -1, np.int32).view(np.uint32)
        pairs = zip(halves, written, strict=True)
        return np.stack(np.broadcast_arrays(*(self._read(h, "b32") if it else poison for h, it in pairs)), axis=-1)

    def _write(self, register: str, values: np.ndarray, mask: np.ndarray, whole: bool) -> None:
        """A register is replaced, never changed: another may be the same array."""
        dtype = self.types.get(register)
        if dtype is None:
            dtype = self.types[register] = self.kernel.registers[register.rstrip("0123456789")]
        # a load of 32 bits into a register of 64 extends the sign, or zeros
        if values.dtype is not dtype:
            values = values.view(dtype) if values.dtype.itemsize == dtype.itemsize else values.astype(dtype)
        if not (whole or mask.all()):
            values = np.where(mask, values, self.registers.get(register, np.zeros(1, dtype)))
        self.registers[register] = values


def _add(waiting: dict[int, np.ndarray], at: int, threads: np.ndarray) -> None:
    if threads.any():
        waiting[at] = waiting[at] | threads if at in waiting else threads


def _constant(text: str, dtype: np.dtype) -> np.ndarray:
    """(1,): an integer, or the bits of a float, as 0f3F800000 or 0d3FF0000000000000."""
    if text.startswith(("0f", "0d")):
        bits = np.uint32 if text.startswith("0f") else np.uint64
        return np.array([int(text[2:], 16)], bits).view(dtype)
    unsigned = np.dtype(f"u{dtype.itemsize}")
    return np.array([int(text, 0) % (1 << 8 * dtype.itemsize)], unsigned).view(dtype)


def launch(kernel: Kernel, blocks: int, threads: int, arguments: Sequence[Any], shared_bytes: int = 0) -> Machine:
    """Run a kernel as CuPy would: arrays are passed by address, NumPy scalars by value; arrays are changed in place.

    Raises TypeError for an argument that is not of its parameter's size, RuntimeError with the instruction at which the
    program did something that a device must not do.
    """
    if len(arguments) != len(kernel.parameters):
        raise TypeError(f"{kernel.name} takes {len(kernel.parameters)} arguments, not {len(arguments)}")
    memory = Memory([argument for argument in arguments if isinstance(argument, np.ndarray)])
    addresses = iter(memory.addresses)
    parameters = {}
    for (name, dtype), argument in zip(kernel.parameters.items(), arguments, strict=True):
        value = np.uint64(next(addresses)) if isinstance(argument, np.ndarray) else argument
        if not isinstance(value, np.generic) or value.dtype.itemsize != dtype.itemsize:
            raise TypeError(f"{name} is of {dtype.itemsize} bytes, and so takes no {value!r}")
        parameters[name] = np.array([value])
    machine = Machine(kernel, memory, parameters, blocks, threads, shared_bytes)
    machine.run()
    memory.copy_back()
    return machine
