"""The proof's own tools: exact multiply-adds, strict memory, and what the interpreter refuses to run."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from proof import nvrtc
from proof.exact import fma
from proof.machine import launch
from proof.memory import Memory
from proof.ptx import UnknownInstruction, parse

needs_nvrtc = pytest.mark.skipif(nvrtc.missing() is not None, reason=str(nvrtc.missing()))
HEAD = ".visible .entry k(\n\t.param .u64 k_param_0,\n\t.param .u32 k_param_1\n)\n{\n"
REGISTERS = "\t.reg .pred \t%p<9>;\n\t.reg .b32 \t%r<9>;\n\t.reg .b64 \t%rd<9>;\n\t.reg .f32 \t%f<9>;\n"
START = (
    "\tld.param.u64 \t%rd1, [k_param_0];\n\tcvta.to.global.u64 \t%rd2, %rd1;\n\tld.param.u32 \t%r1, [k_param_1];\n"
    "\tmov.u32 \t%r2, %tid.x;\n\tmul.wide.u32 \t%rd3, %r2, 4;\n\tadd.s64 \t%rd4, %rd2, %rd3;\n"
)


def run(body: str, out: np.ndarray, number: int = 0, threads: int = 4, blocks: int = 1) -> np.ndarray:
    launch(parse(f"{HEAD}{REGISTERS}{START}{body}\tret;\n\n}}\n", "k"), blocks, threads, [out, np.int32(number)])
    return out


def floats(width: int) -> st.SearchStrategy[np.ndarray]:
    """Any bit pattern, and numbers whose product and sum nearly cancel."""
    patterns = hnp.arrays(f"u{width // 8}", 3).map(lambda bits: bits.view(f"f{width // 8}"))
    near = hnp.arrays(f"f{width // 8}", 3, elements=st.floats(-4, 4, width=width))  # type: ignore[arg-type]
    cancelling = near.map(lambda v: np.array([v[0], v[1], -(v[0] * v[1])]))
    return st.one_of(patterns, near, cancelling)


@given(st.one_of(floats(32), floats(64)))
def test_the_fma_rounds_once(values: np.ndarray) -> None:
    with np.errstate(all="ignore"):
        found = fma(*(values[i : i + 1] for i in range(3)))[0]
        a, b, c = (float(value) for value in values)
        if not np.isfinite([a, b, c]).all():
            product = np.float64(a) * np.float64(b) if not (np.isfinite(a) and np.isfinite(b)) else np.float64(0)
            np.testing.assert_equal(found, values.dtype.type(product + np.float64(c)))
            return
    assert found.dtype == values.dtype
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    if np.isfinite(found):  # no neighbour is nearer; of two as near, the one with an even last bit
        error = abs(Fraction(float(found)) - exact)
        for side in (-np.inf, np.inf):
            neighbour = np.nextafter(found, values.dtype.type(side))
            other = abs(Fraction(float(neighbour)) - exact) if np.isfinite(neighbour) else error + 1
            assert error < other or (error == other and found.view(f"u{found.itemsize}") % 2 == 0)
    else:
        limits = np.finfo(values.dtype)
        half_step = Fraction(float(limits.max)) * Fraction(1, 2 ** (limits.nmant + 2))
        assert abs(exact) >= Fraction(float(limits.max)) + half_step * Fraction(99, 100)
        assert (found > 0) == (exact > 0)
    if exact == 0 and a * b != 0:
        assert not np.signbit(found)


def test_threads_part_and_meet_again() -> None:
    body = (
        "\tmov.u32 \t%r3, 0;\n\tmov.u32 \t%r4, %r2;\n"
        "$L__LOOP:\n\tsetp.eq.s32 \t%p1, %r4, 0;\n\t@%p1 bra \t$L__DONE;\n"
        "\tadd.s32 \t%r3, %r3, 10;\n\tadd.s32 \t%r4, %r4, -1;\n\tbra.uni \t$L__LOOP;\n"
        "$L__DONE:\n\tadd.s32 \t%r3, %r3, %r1;\n\tst.global.u32 \t[%rd4], %r3;\n"
    )
    np.testing.assert_array_equal(run(body, np.zeros(4, np.int32), 7), [7, 17, 27, 37])


def test_a_guard_spares_the_other_threads() -> None:
    body = (
        "\tmov.f32 \t%f1, 0f3F800000;\n\tsetp.gt.u32 \t%p1, %r2, 1;\n"
        "\t@%p1 neg.f32 \t%f1, %f1;\n\t@!%p1 st.global.f32 \t[%rd4], %f1;\n"
    )
    np.testing.assert_array_equal(run(body, np.full(4, 5, np.float32)), [1, 1, 5, 5])


FUNCTION = (
    ".func f(\n\t.param .b64 f_param_0,\n\t.param .b32 f_param_1\n)\n{\n"
    "\t.reg .b16 \t%rs<9>;\n\t.reg .b32 \t%r<9>;\n\t.reg .b64 \t%rd<9>;\n"
    "\tld.param.u64 \t%rd1, [f_param_0];\n\tld.param.s8 \t%rs1, [f_param_1];\n"
    "\tld.u32 \t%r1, [%rd1];\n\tadd.s32 \t%r1, %r1, 1;\n\tst.u32 \t[%rd1], %r1;\n\tst.u8 \t[%rd1+4], %rs1;\n"
    "\tret;\n\n}\n"
)


def call(byte: str) -> str:
    return (
        "\t{ // callseq 0, 0\n\t.reg .b32 temp_param_reg;\n\t.param .b64 param0;\n\tst.param.b64 \t[param0+0], %rd6;\n"
        f"\t.param .b32 param1;\n\tst.param.b32 \t[param1+0], {byte};\n"
        "\tcall.uni \n\tf, \n\t(\n\tparam0, \n\tparam1\n\t);\n\t} // callseq 0\n"
    )


@pytest.mark.parametrize(("beyond", "words"), [(0, ""), (8, "outside of every allocation")])
def test_functions_are_called_with_what_a_thread_has_for_itself(beyond: int, words: str) -> None:
    """From two places, by some threads each; every thread has its own memory at the same address."""
    body = (
        "\t.local .align 8 .b8 \t__local_depot0[8];\n\tmov.u64 \t%rd5, __local_depot0;\n"
        "\tcvta.local.u64 \t%rd6, %rd5;\n"
        f"\tst.local.v2.u32 \t[%rd5+{beyond}], {{%r1, %r2}};\n\tsetp.gt.u32 \t%p1, %r2, 1;\n\t@%p1 bra \t$L__LATE;\n"
        f"{call('%r2')}\tbra.uni \t$L__DONE;\n$L__LATE:\n{call('7')}{call('511')}$L__DONE:\n"
        "\tld.local.v2.u32 \t{%r3, %r4}, [%rd5];\n\tmad.lo.s32 \t%r3, %r4, 1000, %r3;\n\tst.global.u32 \t[%rd4], %r3;\n"
    )
    kernel = parse(f"{FUNCTION}{HEAD}{REGISTERS}{START}{body}\tret;\n\n}}\n", "k")
    out = np.zeros(4, np.int32)
    if words:
        with pytest.raises(RuntimeError, match=words):
            launch(kernel, 1, 4, [out, np.int32(40)])
    else:
        launch(kernel, 1, 4, [out, np.int32(40)])
        np.testing.assert_array_equal(out, [41, 1041, 255042, 255042])


SHARED = (
    "\t.shared .align 8 .b8 k_line[32];\n"
    "\tmov.u32 \t%r5, k_line;\n\tshl.b32 \t%r6, %r2, 2;\n\tadd.s32 \t%r6, %r5, %r6;\n"
)


def test_a_block_shares_memory_and_waits() -> None:
    """Each thread reads what its neighbours, of its own block, wrote: two numbers at a time."""
    body = (
        f"{SHARED}\tmov.u32 \t%r7, %ctaid.x;\n\tmad.lo.s32 \t%r3, %r7, 100, %r2;\n\tst.shared.u32 \t[%r6], %r3;\n"
        "\tbar.sync \t0;\n\tld.shared.v2.u32 \t{%r4, %r8}, [k_line+8];\n\tadd.s32 \t%r4, %r4, %r8;\n"
        "\tmul.wide.u32 \t%rd5, %r7, 16;\n\tadd.s64 \t%rd4, %rd4, %rd5;\n\tst.global.u32 \t[%rd4], %r4;\n"
    )
    np.testing.assert_array_equal(run(body, np.zeros(8, np.int32), blocks=2), [5] * 4 + [205] * 4)


def test_threads_meet_at_a_barrier_or_not_at_all() -> None:
    """The half that arrives first waits; a barrier that half of a block never reaches is an error."""
    branches = "\tsetp.gt.u32 \t%p1, %r2, 1;\n\t@%p1 bra \t$L__LATE;\n"
    late = "$L__LATE:\n\tst.global.u32 \t[%rd4], %r2;\n"
    run(f"{branches}\tst.global.u32 \t[%rd4], %r1;\n{late}\tbar.sync \t0;\n", np.zeros(4, np.int32))
    with pytest.raises(RuntimeError, match="some threads of a block wait"):
        run(f"{branches}\tbar.sync \t0;\n{late}", np.zeros(4, np.int32))


@pytest.mark.parametrize(
    ("body", "threads", "words"),
    [
        ("\tst.global.u32 \t[%rd4], %r1;\n", 5, "outside of every allocation"),
        ("\tld.global.u32 \t%r3, [%rd2+-4];\n", 4, "outside of every allocation"),
        ("\tld.global.u32 \t%r3, [%rd2+2];\n", 4, "misaligned"),
        ("\tst.global.u32 \t[%rd2], %r1;\n", 4, "two threads"),
        ("\tst.global.u32 \t[%rd4], %r8;\n", 4, "before it is written"),
        (SHARED + "\tst.shared.u32 \t[%r6+20], %r2;\n", 4, "outside of every allocation"),
        (SHARED + "\tst.shared.u32 \t[k_line], %r2;\n", 4, "two threads"),
        (SHARED + "\tld.shared.v2.u32 \t{%r3, %r4}, [%r6];\n", 4, "a vector of 2 numbers is misaligned"),
    ],
)
def test_what_a_program_must_not_do(body: str, threads: int, words: str) -> None:
    with pytest.raises(RuntimeError, match=words):
        run(body, np.zeros(4, np.int32), threads=threads)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("\tadd.f32 \t%f1, %f2, %f3;\n", "contract"),
        ("\tmul.f64 \t%f1, %f2, %f3;\n", "contract"),
        ("\tfma.rn.ftz.f32 \t%f1, %f2, %f3, %f4;\n", "denormal"),
        ("\tex2.approx.f32 \t%f1, %f2;\n", "does not know"),
        ("\t.const .align 4 .b8 \tk_table[16];\n", "not understood"),
        ("\t{\n\t.reg .b32 temp_param_reg;\n\tcall.uni \n\tg, \n\t(\n\t);\n\t}\n", "a call that"),
        ("\tbra \t$L__NOWHERE;\n", "nowhere"),
    ],
)
def test_what_the_interpreter_refuses(line: str, words: str) -> None:
    with pytest.raises(UnknownInstruction, match=words):
        run(line, np.zeros(4, np.int32))


def test_arguments_are_of_their_parameters_size() -> None:
    kernel = parse(f"{HEAD}{REGISTERS}{START}\tret;\n\n}}\n", "k")
    out = np.zeros(4, np.int32)
    with pytest.raises(TypeError, match="4 bytes"):
        launch(kernel, 1, 4, [out, np.int64(1)])
    with pytest.raises(TypeError, match="2 arguments"):
        launch(kernel, 1, 4, [out])
    with pytest.raises(ValueError, match="C-contiguous"):
        Memory([np.zeros((4, 4))[:, 1]])


@needs_nvrtc
@pytest.mark.parametrize(
    ("options", "words"), [(("-fmad=true",), "contract"), (("-fmad=false", "-ftz=true"), "denormal")]
)
def test_other_compiler_options_would_be_found_out(
    monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], words: str
) -> None:
    source = 'extern "C" __global__ void k(float *p) { p[0] = p[1] * p[2] + p[3]; p[4] = p[1] - p[5]; }'
    parse(nvrtc.compile_ptx(source, {}), "k")
    monkeypatch.setattr(nvrtc, "OPTIONS", options)
    with pytest.raises(UnknownInstruction, match=words):
        parse(nvrtc.compile_ptx(source, {}), "k")


@needs_nvrtc
def test_the_compilers_words_are_reported() -> None:
    with pytest.raises(nvrtc.NvrtcError, match="nonsense"):
        nvrtc.compile_ptx("nonsense", {})
    with pytest.raises(nvrtc.NvrtcError, match="says nothing"):
        nvrtc.parse_usage("ptxas info : something else", "k")
