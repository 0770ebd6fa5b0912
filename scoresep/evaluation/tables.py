"""The figures of an evaluation as tables: text in cells, which a terminal and a page render each in its way."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from rich import table as rich_table
from rich.console import Group, RenderableType
from rich.text import Text

from scoresep.evaluation.baselines import BASELINES
from scoresep.evaluation.evaluate import PREFIX, Comparison, Evaluation, compared
from scoresep.evaluation.figures import SEPARATION, Figures
from scoresep.evaluation.metric_table import MEAN, METRICS, MODEL, OVERALL, STEMS, Metric
from scoresep.evaluation.metrics import ALONE, SCORED, SILENT

NOTHING = "-"
MIXTURE = "mixture"
"""The row of `BASELINES` over which nothing is an improvement."""
FROM = {
    "transcription": ("mixture", "off the mixture"),
    "transcription_separated": ("separated", "off the separated tracks"),
}
"""What notes were read off."""
LEFT_OUT = {SILENT: "the instrument is silent", ALONE: "it plays alone"}
"""Why pairs of track and instrument are left out, by their state."""


@dataclass(frozen=True)
class Cell:
    """A figure, the ends of its interval, and its median; '' or () where there is none."""

    text: str
    interval: tuple[str, ...] = ()
    median: str = ""


@dataclass(frozen=True)
class Line:
    """A line of a table.

    Attributes:
        label, title: its name, short and in full.
        cells: as many as columns.
        strong: whether it is the model's own among others.
        brief: its label where only strong lines are shown.
    """

    label: str
    title: str
    cells: tuple[Cell, ...]
    strong: bool = False
    brief: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title, about: for a page.
        corner: heads the labels, as `columns` head the figures.
        shown: as `metric_table.SHOWN`; also 'short', not shown where details are, and 'page', only on a page.
    """

    title: str
    about: str
    corner: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    shown: str = "table"


def tables_of(figures: Figures) -> list[Table]:
    """All tables, the most important first."""
    outputs = [output for output in figures.outputs if output != SEPARATION]
    return [
        *stem_tables(figures),
        *short_note_tables(figures, outputs),
        *(long_note_table(figures, output) for output in outputs),
        *(bleed_table(figures, output) for output in outputs if "bleed_notes" in figures.metrics(output)),
        *([track_table(figures)] if SEPARATION in figures.outputs else []),
    ]


def labels(figures: Figures) -> dict[str, tuple[str, str]]:
    """Short and full names of the estimators; one that is not known any more keeps its name."""
    known = {name: (each.label, each.title) for name, each in BASELINES.items()} | {MODEL: ("this model",) * 2}
    return {name: known.get(name, (name, name)) for name in figures.estimators}


def number(metric: Metric, value: float, decimals: int | None = None) -> str:
    """A value in the metric's format, without its unit except for %."""
    if math.isnan(value):
        return NOTHING
    percent = metric.unit == "%"
    sign, places = "+" if metric.signed else "", metric.decimals if decimals is None else decimals
    return f"{100 * value if percent else value:{sign}.{places}f}" + " %" * percent


def in_unit(metric: Metric, text: str) -> str:
    return f"{text} {metric.unit}" if metric.unit not in ("", "%") else text


def cell(figures: Figures, output: str, estimator: str, name: str, column: str) -> Cell:
    """A figure, in brackets the one `beside` it, and the interval of the latter if there is one."""
    metric, where = METRICS[name], (output, estimator)
    text, gained = number(metric, figures.value(*where, name, column)), metric.beside and estimator != MIXTURE
    if text == NOTHING or (metric.beside and not gained):
        return Cell(text)
    gain_name = metric.beside if gained else name
    ends = figures.interval(*where, gain_name, column) if METRICS[gain_name].interval else None
    interval = tuple(number(METRICS[gain_name], end) for end in ends or ())
    if not gained:
        return Cell(text, interval)
    gain, median = (number(METRICS[gain_name], of(*where, gain_name, column)) for of in (figures.value, figures.median))
    return Cell(f"{text} ({gain})", interval, median)


def grouped(metrics: Mapping[str, Metric]) -> list[tuple[str, dict[str, Metric]]]:
    """Metrics by the table that they share."""
    groups: dict[str, dict[str, Metric]] = {}
    for name, metric in metrics.items():
        groups.setdefault(metric.heading or metric.name, {})[name] = metric
    return [*groups.items()]


def explained(metrics: Mapping[str, Metric]) -> str:
    """What metrics are, as sentences."""
    sentences = [metric.about.rstrip(".") for metric in metrics.values()]
    sentences += ["Less is better"] * (not any(metric.higher_is_better for metric in metrics.values()))
    return " ".join(f"{sentence}." for sentence in dict.fromkeys(sentences))


def stem_tables(figures: Figures) -> Iterator[Table]:
    """Metrics of stems: a line an estimator and metric."""
    columns = (*figures.instruments, MEAN)
    shown = {name: each for name, each in figures.metrics(SEPARATION).items() if each.shown != "no"}
    for heading, metrics in grouped(shown):
        first, several, lines = next(iter(metrics.values())), len(metrics) > 1, []
        for estimator, (label, title) in labels(figures).items():
            known = figures.metrics(SEPARATION, estimator)
            for name, metric in ((name, metric) for name, metric in metrics.items() if name in known):
                names = (f"{label} {metric.label}", f"{title}, {metric.name}") if several else (label, title)
                cells = tuple(cell(figures, SEPARATION, estimator, name, column) for column in columns)
                lines.append(Line(*names, cells, estimator == MODEL, metric.label))
        corner = ", ".join(filter(None, (heading if several else first.label, first.unit)))
        about = explained(metrics) + " Below: 95 % bootstrap interval over tracks; med.: median." * first.interval
        for state, why in LEFT_OUT.items():
            if (count := figures.count(SEPARATION, state)) and state not in first.states:
                about += f" {count} pairs of track and instrument are left out: {why}."
        shown_as = "details" if first.shown == "line" else first.shown
        yield Table(f"Separation: {heading}", about, corner, columns, tuple(lines), shown_as)


def note_table(
    figures: Figures, title: str, about: str, corner: str, lines: dict[tuple[str, str], tuple[str, str]], shown: str
) -> Table:
    """Metrics of transcription: label and title by output and metric."""
    columns = (*figures.instruments, MEAN, OVERALL)
    cells = {at: tuple(cell(figures, at[0], MODEL, at[1], column) for column in columns) for at in lines}
    return Table(title, about, corner, columns, tuple(Line(*names, cells[at]) for at, names in lines.items()), shown)


def short_note_tables(figures: Figures, outputs: list[str]) -> Iterator[Table]:
    """The choice of metrics of transcription, from the mixture and from the separated tracks."""
    chosen = {name: each for out in outputs for name, each in figures.metrics(out).items() if each.shown == "table"}
    for heading, metrics in grouped(chosen):
        lines = {}
        for output, (name, metric) in itertools.product(outputs, metrics.items()):
            names = (metric.short or metric.label, metric.name)
            if output != outputs[0]:  # a label has 14 letters
                names = (f"sep. {names[0].rpartition(', ')[2]}", f"{metric.name}, {FROM[output][1]}")
            lines[output, name] = names
        about = f"{explained(metrics)} Below: 95 % bootstrap interval over tracks. Overall: all instruments together."
        yield note_table(figures, f"Transcription: {heading}", about, f"this model, {heading}", lines, "short")


def long_note_table(figures: Figures, output: str) -> Table:
    metrics = {name: each for name, each in figures.metrics(output).items() if each.shown in ("table", "details")}
    lines = {(output, name): (each.label, each.label) for name, each in metrics.items()}
    source, words = FROM[output]
    return note_table(figures, f"All scores, {words}", explained(metrics), f"off {source}", lines, "details")


def bleed_table(figures: Figures, output: str) -> Table:
    """Whose notes an instrument's estimated notes are."""
    names, lines = figures.names(output), []
    for place, name in enumerate(names):
        counts = figures.counts(output, MODEL, "bleed_notes", name).sum(axis=0).tolist()
        estimated, others, *of_each = counts or (0, 0)  # none in a file that was changed
        of_none = estimated - sum(of_each[place : place + 1]) - others
        shares = [math.nan if not estimated else count / estimated for count in (*of_each, of_none)]
        lines.append(Line(name, name, tuple(Cell(number(METRICS["bleed_notes"], share)) for share in shares)))
    source, words = FROM[output]
    about = "Whose notes an instrument's estimated notes truly are: those of another are bleed."
    columns = (*(f"of {name}" for name in names), "of none")
    return Table(f"Whose notes they are, {words}", about, f"notes, {source}", columns, tuple(lines), "details")


def track_table(figures: Figures) -> Table:
    """The model's improvement on every track, or why a pair is left out."""
    name, lines = "si_sdr_improvement", []
    for place, track in enumerate(figures.tracks):
        texts = []
        for part in figures.instruments:
            state, gains = figures.states[SEPARATION].get((track, part)), figures.series(SEPARATION, MODEL, name, part)
            texts.append(number(METRICS[name], float(gains[place])) if state == SCORED else state or NOTHING)
        lines.append(Line(track, track, tuple(map(Cell, texts))))
    about = "Improvement of SI-SDR by this model, dB."
    return Table("Track by track", about, "track", figures.instruments, tuple(lines), "page")


def pair_lines(figures: Figures, track: str, instrument: str) -> list[Line]:
    """What was measured of one instrument on one track, left out or not; nothing if it was not evaluated."""
    lines, titles = [], {name: title for name, (_, title) in labels(figures).items()}
    for row in figures.rows:
        metric, stems = METRICS.get(row.metric), row.output == SEPARATION
        here = (row.track, row.instrument) == (track, instrument) and (stems or row.output == "transcription")
        if here and metric and metric.compared:
            label = f"{metric.name}, {titles[row.estimator]}" if stems else metric.name
            cells = (Cell(in_unit(metric, number(metric, row.value))),)
            lines.append(Line(label, label, cells, stems and row.estimator == MODEL))
    return lines


def result_tables(evaluation: Evaluation, details: bool = False) -> RenderableType:
    """Tables of SI-SDR (and improvement) of every row and of the model's frame and note scores; counts and notes below.

    Fits 80 columns for three instruments, 100 for four.

    Args:
        details: all tables whole instead of a choice.
    """
    figures, about = evaluation.figures, evaluation.about
    heading = (
        f"{about['corpus']} corpus, {len(figures.tracks)} {about['split']} tracks (split set {about['split_set']})"
    )
    hidden = ("page", "short") if details else ("page", "details")
    tables = [rendered(table, details) for table in tables_of(figures) if table.shown not in hidden]
    lines = [Text(line, style="dim") for line in [*legend(figures), *map(str, evaluation.notes)]]
    return Group(Text(heading, style="bold"), *tables, *lines)


def rendered(table: Table, details: bool) -> rich_table.Table:
    """A table; of a brief one only the strong lines, unless details are asked for."""
    shares = table.corner.startswith("notes, ")
    rendered_table = empty(table.corner, table.columns, 0 if shares else 12 if OVERALL not in table.columns else 8)
    brief = table.shown == "brief" and not details
    for line in (line for line in table.lines if line.strong or not brief):
        bold = "bold" if line.strong and not brief else None
        rendered_table.add_row(line.brief if brief else line.label, *(each.text for each in line.cells), style=bold)
        if line.strong and any(each.interval for each in line.cells):
            rendered_table.add_row("  95 %", *("..".join(each.interval) or "-" for each in line.cells))
    return rendered_table


def empty(corner: str, columns: tuple[str, ...], width: int) -> rich_table.Table:
    rendered_table = rich_table.Table(header_style="bold")
    rendered_table.add_column(corner, no_wrap=True, min_width=14)
    for name in columns:
        rendered_table.add_column(name, justify="right", no_wrap=True, min_width=width)
    return rendered_table


def legend(figures: Figures) -> list[str]:
    """What the figures are, and which pairs are not in them."""
    outputs = figures.outputs
    metrics = {name: each for output in outputs for name, each in figures.metrics(output).items()}
    shown = [each for each in metrics.values() if each.shown in ("table", "brief")]
    parts = ([each.about for each in shown if (each.source == STEMS) == stems] for stems in (True, False))
    lines = [" ".join(dict.fromkeys(abouts)) for abouts in parts if abouts]
    if outputs and outputs != [SEPARATION]:
        lines.append("sep.: read off the separated tracks. overall: all instruments' keys and notes taken together.")
    if SEPARATION in outputs:
        gain = "si_sdr_improvement"
        if any(figures.interval(SEPARATION, MODEL, gain, name) for name in figures.instruments):
            lines.append("95 %: bootstrap interval, over tracks, of the mean improvement.")
        if medians := listed(figures, figures.median, 1, SEPARATION, gain):
            lines.append(f"Median improvement: {medians} dB.")
    for name, metric in metrics.items():
        if metric.shown == "line":
            output = next(output for output in reversed(outputs) if name in figures.metrics(output))
            if values := listed(figures, figures.value, 0 if metric.unit else metric.decimals, output, name):
                lines.append(f"{', '.join((metric.about, *FROM.get(output, ())[1:]))}: {values}.")
    if "dropped_windows" in metrics:
        windows, dropped = figures.counts(SEPARATION, MODEL, "dropped_windows", OVERALL).sum(axis=0)
        lines.append(f"Left out: {dropped} of {windows} windows of BSS Eval, in which a source is silent.")
    lines += [
        f"Left out: {count} {why}."
        for state, why in ((SILENT, "silent stems"), (ALONE, "where the instrument plays alone"))
        if (count := figures.count(SEPARATION, state))
    ]
    return lines


def listed(figures: Figures, of: Callable[..., float], decimals: int, output: str, metric: str) -> str:
    """'piano +1.5, bass +4.1'; '' if no instrument has a value."""
    values = {name: of(output, MODEL, metric, name) for name in figures.names(output)}
    texts = {name: number(METRICS[metric], value, decimals) for name, value in values.items()}
    return ", ".join(f"{name} {text}" for name, text in texts.items() if text != NOTHING)


def comparison_table(comparison: Comparison) -> RenderableType:
    """A table of differences: a line a figure and instrument; fits 100 columns."""
    about = comparison.about
    table = empty("b - a", ("instrument", "n", "a", "b", "difference", "95 %", "p"), 0)
    table.columns[1].justify = "left"
    for figure, columns in comparison.figures.items():
        output, name = compared()[figure]
        metric = METRICS[name]
        title = ", ".join(filter(None, (metric.name, metric.unit, "separated" * bool(PREFIX[output]))))
        lines = {name: values for name, values in columns.items() if values}
        for name, values in lines.items():
            fine = max(metric.fine, 2)
            ends = "..".join(f"{end:+.{fine}f}" for end in values["interval"] or ())
            table.add_row(
                title if name == next(iter(lines)) else "",
                name,
                str(values["n"]),
                *[f"{values[key]:.{metric.fine}f}" for key in ("a", "b")],
                f"{values['difference']:+.{fine}f}",
                ends or "-",
                f"{values['p']:.3f}" if values["p"] >= 0.001 else "<0.001",
                style="bold" if name == MEAN else None,
                end_section=name == [*lines][-1],
            )
    heading = f"{about['corpus']} corpus, {about['tracks']} {about['split']} tracks (split set {about['split_set']})"
    legend = [
        f"a: {about['a']['path']} (stage {about['a']['stage']})",
        f"b: {about['b']['path']} (stage {about['b']['stage']})",
        "n: tracks that count. 95 %: bootstrap interval of the mean difference. p: Wilcoxon's signed-rank test, two-",
        "sided, not corrected for the number of lines. It is about these two checkpoints, not about seeds or methods.",
    ]
    return Group(Text(heading, style="bold"), table, *(Text(line, style="dim") for line in legend))
