"""The benchmark's ratios as a picture. The one place that needs matplotlib."""

from __future__ import annotations

from pathlib import Path

from benchmarks.contest import OURS, Outcome

COLOURS = {
    "gpubp lane": "#1b7837",
    "gpubp block": "#4d9221",
    "gpubp array": "#7fbf7b",
    "gpubp case_study()": "#b8e186",
    "JAX": "#762a83",
    "JAX tuned": "#af8dc3",
    "PyTorch": "#e08214",
    "scikit-learn": "#2166ac",
    "plain Python": "#878787",
}
BAR = 0.32  # inches
NOT_NAMED = "#444444"


def draw(outcomes: list[Outcome], machine: dict[str, str], file: Path) -> None:
    """A bar for each contender of each row: how many times the time of gpubp's fastest engine, on a logarithmic scale.

    The format is that of the file's ending: .png, .svg, .pdf.
    """
    from matplotlib.figure import Figure

    heights = [len(outcome.times) + 0.9 for outcome in outcomes]
    figure = Figure(figsize=(9.5, BAR * sum(heights) + 1.5), layout="constrained")
    panels = figure.subplots(len(outcomes), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    every = [ratio for outcome in outcomes for ratio in outcome.ratios().values()]
    left = 0.6 * min(every)
    for panel, outcome in zip(panels, outcomes, strict=True):
        medians, ratios = outcome.medians(), sorted(outcome.ratios().items(), key=lambda item: item[1])
        names = [name for name, _ in ratios]
        bars = panel.barh(names, [ratio - left for _, ratio in ratios], left=left, height=0.78,
                          color=[COLOURS.get(name, NOT_NAMED) for name in names])  # fmt: skip
        texts = [f"×{short(ratio)}   ({short(medians[name])})" for name, ratio in ratios]
        panel.bar_label(bars, texts, padding=4, fontsize=8.5, color="#333333")
        panel.set_title(f"{outcome.row.title}  ({outcome.row.unit})", loc="left", fontsize=10, fontweight="bold")
        panel.set_xscale("log")
        panel.set_xlim(left, max(every) * 8)
        panel.axvline(1, color="#333333", linewidth=0.8, linestyle=":", zorder=0)
        panel.invert_yaxis()
        panel.tick_params(axis="y", length=0, labelsize=9)
        panel.tick_params(axis="x", which="both", length=0, labelbottom=False)
        panel.spines[["top", "right", "bottom"]].set_visible(False)
        for label, name in zip(panel.get_yticklabels(), names, strict=True):
            label.set_fontweight("bold" if name.startswith(OURS) else "normal")
    heading = "Time, as a multiple of gpubp's fastest engine: less is better (logarithmic scale)"
    figure.suptitle(f"{heading}\n{machine['CPU']}", fontsize=11)
    figure.savefig(file, dpi=130)


def short(value: float) -> str:
    """Two or three digits."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
