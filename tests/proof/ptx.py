"""PTX read into instructions: what stands in the text of a kernel, and nothing of what it means."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

from proof.instructions import BARRIERS, DTYPES, LOADS, MEANINGS, STORES

JUMPS = ("bra", "bra.uni", "call", "ret")
PARAMETER = re.compile(r"\.param \.(\w+)[^,\n]*?(\w+)(?:,|\n)")
SHARED = re.compile(r"^\s*\.shared (?:\.align \d+ )?\.b8 (\w+)\[(\d+)\];", re.MULTILINE)


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
    """One .entry, behind the code of the functions that it calls: its parameters' names and types in order, registers'
    types by prefix, code, and the places of labels and functions; shared, local: the bytes of each array that a block's
    threads share, and that a thread has for itself.

    A register of a function is named for it, as are its parameters, which are registers too. Who calls stands behind
    what is called, so that no function runs twice at a time in one thread.
    """

    name: str
    parameters: dict[str, np.dtype]
    registers: dict[str, np.dtype] = field(default_factory=dict)
    code: list[Instruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    functions: dict[str, list[str]] = field(default_factory=dict)  # each one's parameters
    shared: dict[str, int] = field(default_factory=dict)
    local: dict[str, int] = field(default_factory=dict)
    dynamic_shared: str | None = None  # the name of the array whose size the launch tells


def parse(ptx: str, name: str) -> Kernel:
    """Raises UnknownInstruction for the first line that the interpreter could not run."""
    match = re.search(rf"\.entry {name}\((.*?)\)(.*?)\n\{{\n(.*?)\n\}}", ptx, re.DOTALL)
    if match is None:
        raise UnknownInstruction(f"no kernel {name} in this PTX")
    kernel = Kernel(name, {its_name: DTYPES[type_] for type_, its_name in PARAMETER.findall(match[1] + "\n")})
    if dynamic := re.search(r"^\.extern \.shared \.align \d+ \.b8 (\w+)\[\];", ptx, re.MULTILINE):
        kernel.dynamic_shared = dynamic[1]
    kernel.shared = {array: int(size) for array, size in SHARED.findall(ptx)}
    for function in re.finditer(
        r"^\.func (\w+)\((.*?)\)\n\{\n(.*?)\n\}", ptx[: match.start()], re.DOTALL | re.MULTILINE
    ):
        _read_function(kernel, *function.groups())
    _read_code(kernel, name, match[3])
    for instruction in kernel.code:
        if instruction.opcode in ("bra", "bra.uni") and instruction.operands[0] not in kernel.labels:
            raise UnknownInstruction(f"a jump to nowhere: {instruction.text}")
    return kernel


def _read_function(kernel: Kernel, name: str, parameters: str, code: str) -> None:
    own, registers = f"%{len(kernel.functions)}_", []
    code = re.sub(r"%(?!n?(tid|ctaid)\.x)", own, code)
    for type_, parameter in PARAMETER.findall(parameters + "\n"):
        its_register = f"{own}{parameter}_"  # without a number at its end: it is no family
        registers.append(its_register)
        kernel.registers[its_register] = DTYPES[type_]
        code = code.replace(f"[{parameter}]", f"[{its_register}]")
    _read_code(kernel, name, code)
    kernel.functions[name] = registers


def _read_code(kernel: Kernel, name: str, code: str) -> None:
    """The body of a function or of the kernel; what a call passes is written to the function's parameters before."""
    kernel.labels[name] = len(kernel.code)
    code = re.sub(r"//[^\n]*", "", code)
    for piece in re.split(r"(\{\s*\.reg \.b32 temp_param_reg;.*?\n\t\})", code, flags=re.DOTALL):
        if "temp_param_reg" in piece:
            _read_call(kernel, piece)
        else:
            for line in piece.split("\n"):
                _read_line(kernel, re.sub(r";\s*\}$", ";", line.strip()).rstrip(";").strip(), name)


def _read_call(kernel: Kernel, text: str) -> None:
    """.param .b64 param0; st.param.b64 [param0+0], %rd1; ... call.uni name, (param0, ...);"""
    call = re.search(r"call\.uni\s+(\w+),\s*\(([\w\s,]*)\);", text)
    if call is None or call[1] not in kernel.functions or "@" in text:
        raise UnknownInstruction(f"a call that the interpreter does not know: {text}")
    values = {
        name: (type_, value) for type_, name, value in re.findall(r"st\.param\.(\w+)\s+\[(\w+)\+0\], (\S+);", text)
    }
    for parameter, name in zip(kernel.functions[call[1]], re.findall(r"\w+", call[2]), strict=True):
        type_, value = values[name]
        kernel.code.append(Instruction(f"mov.{type_}", (parameter, value), None, False, text))
    kernel.code.append(Instruction("call", (call[1],), None, False, text))


def _read_line(kernel: Kernel, line: str, function: str) -> None:
    if not line or line.startswith((".pragma", ".shared")):
        return
    # a family of registers, or a scratch register between braces
    if declared := re.fullmatch(r"(?:\{ )?\.reg \.(\w+)\s+(%\w+)(?:<\d+>)?", line):
        kernel.registers[declared[2]] = DTYPES[declared[1]]
    elif array := re.fullmatch(r"\.local (?:\.align \d+ )?\.b8\s+(\w+)\[(\d+)\]", line):
        kernel.local[array[1]] = int(array[2])
    elif label := re.fullmatch(r"(\$\w+):", line):
        kernel.labels[label[1]] = len(kernel.code)
    elif found := re.fullmatch(r"(?:@(!?)(%\w+)\s+)?([a-z][\w.]*)(?:\s+(.*))?", line):
        operands = tuple(re.findall(r"\{[^}]*\}|[^\s,{}]+", found[4] or ""))
        _refuse_unknown(found[3], line)
        operands = (function,) if found[3] == "ret" else operands
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
