"""Results of rows and seeds as a Markdown table, a CSV and a figure. Called by `run`."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scoresep.evaluation.baselines import BASELINES
from scoresep.evaluation.evaluate import Evaluation
from scoresep.files import write_text
from scoresep.plotting import COLOURS, new_figure, save_figure

MEAN = "mean"
"""Stands for the mean over the instruments."""
FIGURES = {
    "si_sdr_improvement": ("separation", "SI-SDR improvement over the mixture, dB", 1),
    "si_sdr_improvement_median": ("separation", "median SI-SDR improvement, dB", 1),
    "frame_f1": ("transcription", "frame F1", 3),
    "note_f1": ("transcription", "note F1", 3),
}
"""Of the summary of a result: where it stands, what it is, decimals."""
SHOWN = ("si_sdr_improvement", "frame_f1")
"""Figures of the picture."""


@dataclass(frozen=True)
class Result:
    """One row with one seed.

    Attributes:
        row, title: the row's name, and that for people.
        seed: of the training.
        evaluation: what came out.
        command: how to make it again.
    """

    row: str
    title: str
    seed: int
    evaluation: Evaluation
    command: str

    def value(self, figure: str, instrument: str) -> float | None:
        """A figure of `FIGURES` for an instrument or `MEAN`; None where there is none."""
        kind = FIGURES[figure][0]
        if kind == "separation" and self.evaluation.about["checkpoint"]["stage"] == 1:
            return None  # no separator has been trained yet
        summary = self.evaluation.summary
        values = summary["mean"][kind] if instrument == MEAN else summary[kind].get(instrument, {})
        return values.get(figure)


def write_results(out: Path, results: Sequence[Result], stem: str = "table") -> None:
    """Write `table.md`, `table.csv` and `table.png` to `out`, or the same by another `stem`."""
    if not results:
        return
    write_text(out / f"{stem}.md", markdown(results))
    write_text(out / f"{stem}.csv", comma_separated(results))
    draw(out / f"{stem}.png", results)


def rows_of(results: Sequence[Result]) -> dict[str, list[Result]]:
    """The results by row, in order."""
    rows: dict[str, list[Result]] = {}
    for result in results:
        rows.setdefault(result.row, []).append(result)
    return rows


def instruments_of(results: Sequence[Result]) -> list[str]:
    return [*results[0].evaluation.summary["separation"], MEAN]


def spread(values: Iterable[float | None], decimals: int) -> str:
    """Mean ± standard deviation of the values there are; the latter (of a sample) from two on."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    text = f"{statistics.fmean(known):.{decimals}f}"
    return f"{text} ± {statistics.stdev(known):.{decimals}f}" if len(known) > 1 else text


def markdown(results: Sequence[Result]) -> str:
    """A table for each figure, the references, and the commands."""
    about, instruments = results[0].evaluation.about, instruments_of(results)
    tracks = results[0].evaluation.summary["counts"]["tracks"]
    lines = [
        f"Corpus {about['corpus']}, {tracks} {about['split']} tracks (split set {about['split_set']}). "
        "Mean ± standard deviation over seeds, of means (medians) over tracks.",
    ]
    for figure, (kind, title, decimals) in FIGURES.items():
        lines += ["", f"## {title}", "", *header(["row", "seeds", *instruments])]
        if kind == "separation":
            lines += [line(cells) for cells in references(results[0], figure, decimals)]
        for found in rows_of(results).values():
            cells = [spread((result.value(figure, name) for result in found), decimals) for name in instruments]
            if kind == "separation" or set(cells) != {"-"}:
                lines.append(line([found[0].title, str(len(found)), *cells]))
    lines += ["", "## How to make a row again", ""]
    lines += [f"- {found[0].title}: `{found[0].command}`" for found in rows_of(results).values()]
    return "\n".join(lines) + "\n"


def references(result: Result, figure: str, decimals: int) -> Iterable[list[str]]:
    """Cells of the rows that no training enters."""
    summary = result.evaluation.summary
    for name, figures in summary["baselines"].items():
        values: dict[str, Any] = {**figures, MEAN: summary["mean"]["baselines"][name]}
        yield [BASELINES[name].title, "", *(spread([values[i][figure]], decimals) for i in instruments_of([result]))]


def header(cells: list[str]) -> list[str]:
    return [line(cells), line(["---", *["---:"] * (len(cells) - 1)])]


def line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def comma_separated(results: Sequence[Result]) -> str:
    """A line for each row, seed and instrument."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "seed", "instrument", *FIGURES])
    for result in results:
        for name in instruments_of(results):
            values = [result.value(figure, name) for figure in FIGURES]
            writer.writerow([result.row, result.seed, name, *("" if v is None else f"{v:.6g}" for v in values)])
    return text.getvalue()


def draw(path: Path, results: Sequence[Result]) -> None:
    """Means over instruments: a dot a seed, a bar at their mean."""
    rows = rows_of(results)
    figure = new_figure(12.0, 1.6 + 0.4 * len(rows))
    panels = figure.subplots(1, len(SHOWN), sharey=True)
    for axes, name in zip(panels, SHOWN, strict=True):
        for place, found in enumerate(rows.values()):
            values = [value for result in found if (value := result.value(name, MEAN)) is not None]
            axes.scatter(values, [place] * len(values), color=COLOURS[0], alpha=0.6, zorder=3)
            if values:
                axes.plot([statistics.fmean(values)] * 2, [place - 0.3, place + 0.3], color=COLOURS[1], linewidth=3)
        axes.set_xlabel(f"{FIGURES[name][1]}, mean over instruments", fontsize=11)
        axes.grid(axis="x", alpha=0.4)
    panels[0].set_yticks(range(len(rows)), [found[0].title for found in rows.values()])
    panels[0].invert_yaxis()
    figure.suptitle("Rows and seeds: a dot a seed, a bar at the mean", fontsize=13)
    save_figure(figure, path)
