"""Results of rows and seeds as a Markdown table, a CSV and a figure."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scoresep.evaluation.evaluate import Evaluation
from scoresep.evaluation.figures import SEPARATION, finite
from scoresep.evaluation.metric_table import MEAN, METRICS, MODEL, STEMS, Metric
from scoresep.evaluation.tables import labels
from scoresep.files import write_text
from scoresep.plots.style import COLOURS, new_figure, save_figure

MEDIAN = "_median"
"""Ends the names of figures that are medians over tracks instead of means."""


def columns() -> dict[str, Metric]:
    """The figures of the table by name: the headline metrics, and the medians of those of separation."""
    found: dict[str, Metric] = {}
    for name, metric in METRICS.items():
        if metric.headline:
            found[name] = metric
            if metric.source == STEMS:
                found[name + MEDIAN] = replace(metric, title=f"median {metric.name}")
    return found


def title_of(metric: Metric) -> str:
    return f"{metric.name}, {metric.unit}" if metric.unit else metric.name


def figure_of(evaluation: Evaluation, name: str, estimator: str, instrument: str) -> float | None:
    """One of the `columns` of an estimator for an instrument or `MEAN`; None where there is none."""
    metric = name.removesuffix(MEDIAN)
    output = SEPARATION if METRICS[metric].source == STEMS else "transcription"
    figures = evaluation.figures
    return finite((figures.median if name != metric else figures.value)(output, estimator, metric, instrument))


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
        """One of the `columns` for an instrument or `MEAN`; None where there is none."""
        if columns()[figure].source == STEMS and self.evaluation.about["checkpoint"]["stage"] == 1:
            return None  # no separator has been trained yet
        return figure_of(self.evaluation, figure, MODEL, instrument)


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
    return [*results[0].evaluation.figures.instruments, MEAN]


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
    tracks = len(results[0].evaluation.tracks)
    lines = [
        f"Corpus {about['corpus']}, {tracks} {about['split']} tracks (split set {about['split_set']}). "
        "Mean ± standard deviation over seeds, of means (medians) over tracks.",
    ]
    for figure, metric in columns().items():
        lines += ["", f"## {title_of(metric)}", "", *header(["row", "seeds", *instruments])]
        if metric.source == STEMS:
            lines += [line(cells) for cells in references(results[0], figure, metric.fine)]
        for found in rows_of(results).values():
            cells = [spread((result.value(figure, name) for result in found), metric.fine) for name in instruments]
            if metric.source == STEMS or set(cells) != {"-"}:
                lines.append(line([found[0].title, str(len(found)), *cells]))
    lines += ["", "## How to make a row again", ""]
    lines += [f"- {found[0].title}: `{found[0].command}`" for found in rows_of(results).values()]
    return "\n".join(lines) + "\n"


def references(result: Result, figure: str, decimals: int) -> Iterable[list[str]]:
    """Cells of the rows that no training enters."""
    for name, (_, title) in labels(result.evaluation.figures).items():
        if name != MODEL:
            values = (figure_of(result.evaluation, figure, name, part) for part in instruments_of([result]))
            yield [title, "", *(spread([value], decimals) for value in values)]


def header(cells: list[str]) -> list[str]:
    return [line(cells), line(["---", *["---:"] * (len(cells) - 1)])]


def line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def comma_separated(results: Sequence[Result]) -> str:
    """A line for each row, seed and instrument."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "seed", "instrument", *columns()])
    for result in results:
        for name in instruments_of(results):
            values = [result.value(figure, name) for figure in columns()]
            writer.writerow([result.row, result.seed, name, *("" if v is None else f"{v:.6g}" for v in values)])
    return text.getvalue()


def draw(path: Path, results: Sequence[Result]) -> None:
    """Means over instruments: a dot a seed, a bar at their mean."""
    rows = rows_of(results)
    figure = new_figure(12.0, 1.6 + 0.4 * len(rows))
    shown = ("si_sdr_improvement", "frame_f1")
    panels = figure.subplots(1, len(shown), sharey=True)
    for axes, name in zip(panels, shown, strict=True):
        for place, found in enumerate(rows.values()):
            values = [value for result in found if (value := result.value(name, MEAN)) is not None]
            axes.scatter(values, [place] * len(values), color=COLOURS[0], alpha=0.6, zorder=3)
            if values:
                axes.plot([statistics.fmean(values)] * 2, [place - 0.3, place + 0.3], color=COLOURS[1], linewidth=3)
        axes.set_xlabel(f"{title_of(METRICS[name])}, mean over instruments", fontsize=11)
        axes.grid(axis="x", alpha=0.4)
    panels[0].set_yticks(range(len(rows)), [found[0].title for found in rows.values()])
    panels[0].invert_yaxis()
    figure.suptitle("Rows and seeds: a dot a seed, a bar at the mean", fontsize=13)
    save_figure(figure, path)
