"""The sections of the page, one for each part."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from gpu.tables import number, share, table

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Facts:
    """What is known of the device: name, peak of float32 operations a second by its properties and as measured,
    bytes a second of a copy as measured.
    """

    name: str = "a device whose name is not known"
    peak: float | None = None
    measured_peak: float | None = None
    bandwidth: float | None = None

    @classmethod
    def of(cls, found: dict[str, dict[str, Any]]) -> Facts:
        rows = found.get("machine", {}).get("rows", [])
        by_item: dict[str, dict[str, Any]] = {row["item"]: row for row in rows if "error" not in row}
        device = by_item.get("device", {})
        return cls(
            device.get("name", cls.name),
            device.get("fp32_peak"),
            by_item.get("FP32 multiply-adds", {}).get("flops"),
            by_item.get("copy", {}).get("bytes_a_second"),
        )

    @property
    def ceiling(self) -> float | None:
        return self.measured_peak or self.peak


def machine(rows: Rows, facts: Facts) -> Iterable[str]:
    """What is installed, then the ceilings."""
    seen = {row["item"]: {key: value for key, value in row.items() if key != "item"} for row in rows}
    told = seen.get("device", {}) | seen.get("versions", {})
    yield from table(["", ""], ([key.replace("_", " "), value] for key, value in told.items() if key != "fp32_peak"))
    yield ""
    ceilings: list[list[Any]] = [
        ["FP32 by its properties", tera(facts.peak), "TFLOP/s"],
        ["FP32 multiply-adds", tera(facts.measured_peak), "TFLOP/s"],
        ["cuBLAS's sgemm, 4096 × 4096, without TF32", tera(seen.get("sgemm", {}).get("flops")), "TFLOP/s"],
        ["a copy, read and written", tera(facts.bandwidth), "TB/s"],
    ]
    launches = seen.get("launches", {})
    ceilings += [[name.removesuffix("_us").replace("_", " "), value, "µs"] for name, value in launches.items()]
    yield from table(["ceiling", "measured", ""], ceilings)


def doctor(rows: Rows, facts: Facts) -> Iterable[str]:
    for row in rows:
        yield f"{'All is well' if row['healthy'] else 'Something is wrong'}; C++ compiler: {row['compiler'] or 'none'}."
        yield ""
        yield from table(
            ["self-test", "backend", "difference", "tolerance", "seconds", "passed"],
            (
                [*picked(check, "name backend difference tolerance seconds"), "yes" if check["passed"] else "no"]
                for check in row["checks"]
            ),
        )


def bits(rows: Rows, facts: Facts) -> Iterable[str]:
    exact = [row for row in rows if row["wanted"] == "bits"]
    same = sum(row["differing"] == 0 for row in exact)
    yield f"The CPU's bits in {same} of {len(exact)} trainings by lane and block; the others, and the array engine:"
    yield ""
    told = [row for row in rows if row["wanted"] != "bits" or row["differing"]]
    yield from table(
        ["training", "wanted", "numbers", "differing", "by at most", "relative to the largest"],
        (picked(row, "item wanted numbers differing most relative") for row in told),
    )


def speed(rows: Rows, facts: Facts) -> Iterable[str]:
    yield (
        "Shuffled rows. An update of all networks takes “a step”. The share of FP32 is of the measured multiply-adds. "
        "Bandwidth counts what an update has to move where a network's state lies in device memory: parameters and the "
        "optimizer's arrays read and written once, the batch read; of lanes, whose state stays in registers, the batch "
        "alone. Blocks that fit into shared memory move less than that. “auto” is the engine that auto takes for 100 "
        "epochs of this."
    )
    yield ""
    measured = [row for row in rows if "us" in row]
    yield from table(
        [
            "training",
            "networks",
            "engine",
            "µs",
            "µs a step",
            "updates/s",
            "TFLOP/s",
            "of FP32",
            "of bandwidth",
            "first epoch, s",
            "auto",
        ],
        (
            [
                *picked(row, "training networks engine us step_us updates_a_second"),
                tera(row["flops"]),
                share(row["flops"], facts.ceiling),
                share(row["bytes_a_second"], facts.bandwidth),
                *picked(row, "first_s auto"),
            ]
            for row in sorted(measured, key=lambda row: (row["training"], row["networks"], row["us"]))
        ),
    )
    refused = {(row["training"], row["engine"]): row["refused"] for row in rows if "refused" in row}
    for (training, engine), reason in refused.items():
        yield from ["", f"No {engine} for {training}: {reason}"]


def case(rows: Rows, facts: Facts) -> Iterable[str]:
    yield "`gpubp case-study`, the whole command; cold: with empty kernel caches of gpubp and CuPy."
    yield ""
    yield from table(
        ["backend", "run", "seconds", "of it training", "engine", "mean accuracy"],
        ([*picked(row, "backend run seconds train_seconds engine"), f"{row['mean_accuracy']:.3f} %"] for row in rows),
    )


def peers(rows: Rows, facts: Facts) -> Iterable[str]:
    yield (
        "The same weights and batches in float32; each network has its own order of the rows, and peers get their "
        "batches cut before the clock starts. JAX: jit, scan and vmap; “as it comes” its products may use TF32. "
        "PyTorch: all networks' parameters stacked, batched products, fused optimizers. “apart”: the largest relative "
        "difference of an epoch's loss from gpubp's. “times”: of the best of gpubp in the same process."
    )
    yield ""
    measured = [row for row in rows if "us" in row]
    ours: dict[tuple[str, str], float] = {}
    for row in measured:
        if row["name"].startswith("gpubp"):
            key = (row["contest"], row["beside"])
            ours[key] = min(row["us"], ours.get(key, row["us"]))
    yield from table(
        ["networks", "beside", "", "µs", "updates/s", "TFLOP/s", "of FP32", "apart", "times"],
        (
            [
                *picked(row, "contest beside name us updates_a_second"),
                tera(row["flops"]),
                share(row["flops"], facts.ceiling),
                row.get("apart"),
                times(row, ours),
            ]
            for row in sorted(measured, key=lambda row: (row["contest"], row["beside"], row["us"]))
        ),
    )


def times(row: dict[str, Any], ours: dict[tuple[str, str], float]) -> str | None:
    best = ours.get((row["contest"], row["beside"]))
    return None if best is None else f"× {number(row['us'] / best)}"


def variants(rows: Rows, facts: Facts) -> Iterable[str]:
    first = {row["place"]: row["us"] for row in reversed(rows)}
    yield "“times”: of the first of its place. A variant whose numbers differ fails."
    yield ""
    yield from table(
        [
            "training",
            "variant",
            "µs",
            "TFLOP/s",
            "of FP32",
            "times",
            "registers",
            "local bytes",
            "layout",
            "numbers that differ",
        ],
        (
            [
                *picked(row, "place variant us"),
                tera(row["flops"]),
                share(row["flops"], facts.ceiling),
                row["us"] / first[row["place"]],
                row.get("registers"),
                row.get("local_bytes"),
                row["layout"],
                row["differing"],
            ]
            for row in rows
        ),
    )


def sanitize(rows: Rows, facts: Facts) -> Iterable[str]:
    yield from table(["tool", "engine", "what it says"], (picked(row, "tool engine summary") for row in rows))


def tests(rows: Rows, facts: Facts) -> Iterable[str]:
    for row in rows:
        counts = ", ".join(f"{count} {outcome}" for outcome, count in row["counts"].items())
        yield f"{counts or 'no test'}, in {row['files']} files, {row['workers']} at a time."
        yield from (f"- {count} skipped: {reason}" for reason, count in row["skipped"].items())
        yield from (f"- {file} cannot be imported here: {reason}" for file, reason in row["uncollected"].items())


def picked(row: dict[str, Any], keys: str) -> list[Any]:
    return [row[key] for key in keys.split()]


def tera(value: float | None) -> float | None:
    return None if value is None else value / 1e12


SECTIONS: dict[str, Callable[[Rows, Facts], Iterable[str]]] = {
    "machine": machine,
    "doctor": doctor,
    "bits": bits,
    "speed": speed,
    "case": case,
    "peers": peers,
    "variants": variants,
    "sanitize": sanitize,
    "tests": tests,
}
