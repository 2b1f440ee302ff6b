"""PTX read into instructions: what stands in the text of a kernel, and nothing of what it means."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

from proof.instructions import BARRIERS, DTYPES, LOADS, MEANINGS, STORES

JUMPS = ("bra", "bra.uni", "ret")


class UnknownInstruction(Exception):
    """The text holds what the interpreter does not know, or knows and refuses."""


@dataclass(frozen=True)
class Instruction:
    opcode: str
    operands: tuple[str, ...]
    guard: str | None  # a predicate's register
    unless: bool  # runs where the predicate is false
    text: str


@dataclass
class Kernel:
    """One .entry: its parameters' names and types in order, registers' types by prefix, code, and labels' places;
    shared: the bytes of each array that a block's threads share."""

    name: str
    parameters: dict[str, np.dtype]
    registers: dict[str, np.dtype] = field(default_factory=dict)
    code: list[Instruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    shared: dict[str, int] = field(default_factory=dict)
    dynamic_shared: str | None = None  # the name of the array whose size the launch tells


def parse(ptx: str, name: str) -> Kernel:
    """Raises UnknownInstruction for the first line that the interpreter could not run."""
    match = re.search(rf"\.entry {name}\((.*?)\)(.*?)\n\{{\n(.*?)\n\}}", ptx, re.DOTALL)
    if match is None:
        raise UnknownInstruction(f"no kernel {name} in this PTX")
    parameters = re.findall(r"\.param \.(\w+)[^,\n]*?(\w+)(?:,|\n)", match[1] + "\n")
    kernel = Kernel(name, {its_name: DTYPES[type_] for type_, its_name in parameters})
    if dynamic := re.search(r"^\.extern \.shared \.align \d+ \.b8 (\w+)\[\];", ptx, re.MULTILINE):
        kernel.dynamic_shared = dynamic[1]
    for line in re.sub(r"//[^\n]*", "", match[3]).split("\n"):
        _read_line(kernel, re.sub(r";\s*\}$", ";", line.strip()).rstrip(";").strip())
    for instruction in kernel.code:
        if instruction.opcode in ("bra", "bra.uni") and instruction.operands[0] not in kernel.labels:
            raise UnknownInstruction(f"a jump to nowhere: {instruction.text}")
    return kernel


def _read_line(kernel: Kernel, line: str) -> None:
    if not line or line.startswith(".pragma"):
        return
    # a family of registers, or a scratch register between braces
    if declared := re.fullmatch(r"(?:\{ )?\.reg \.(\w+)\s+(%\w+)(?:<\d+>)?", line):
        kernel.registers[declared[2]] = DTYPES[declared[1]]
    elif array := re.fullmatch(r"\.shared (?:\.align \d+ )?\.b8 (\w+)\[(\d+)\]", line):
        kernel.shared[array[1]] = int(array[2])
    elif label := re.fullmatch(r"(\$\w+):", line):
        kernel.labels[label[1]] = len(kernel.code)
    elif found := re.fullmatch(r"(?:@(!?)(%\w+)\s+)?([a-z][\w.]*)(?:\s+(.*))?", line):
        operands = tuple(re.findall(r"\{[^}]*\}|[^\s,{}]+", found[4] or ""))
        _refuse_unknown(found[3], line)
        kernel.code.append(Instruction(found[3], operands, found[2], found[1] == "!", line))
    else:
        raise UnknownInstruction(f"not understood: {line}")


def _refuse_unknown(opcode: str, line: str) -> None:
    known = (MEANINGS, LOADS, STORES, JUMPS, BARRIERS)
    if any(opcode in some for some in known) or opcode.startswith("ld.param."):
        return
    if re.match(r"(add|sub|mul|mad)\.f(32|64)", opcode):
        raise UnknownInstruction(f"ptxas may contract this into an fma, for it names no rounding: {line}")
    if ".ftz" in opcode:
        raise UnknownInstruction(f"this flushes denormal numbers, which a CPU does not: {line}")
    raise UnknownInstruction(f"an instruction that the interpreter does not know: {line}")
