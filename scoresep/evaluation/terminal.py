"""A result and a comparison as a terminal shows them."""

from __future__ import annotations

from collections.abc import Callable

from rich import table as rich_table
from rich.console import Group, RenderableType
from rich.text import Text

from scoresep.evaluation.compare import PREFIX, Comparison, compared
from scoresep.evaluation.evaluate import Evaluation
from scoresep.evaluation.figures import SEPARATION, Figures
from scoresep.evaluation.registry import METRICS, MODEL, OVERALL, STEMS
from scoresep.evaluation.tables import FROM, NOTHING, Table, number, tables_of


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
    found = empty(table.corner, table.columns, 0 if shares else 12 if OVERALL not in table.columns else 8)
    brief = table.shown == "brief" and not details
    for line in (line for line in table.lines if line.strong or not brief):
        bold = "bold" if line.strong and not brief else None
        found.add_row(line.brief if brief else line.label, *(each.text for each in line.cells), style=bold)
        if line.strong and any(each.interval for each in line.cells):
            found.add_row("  95 %", *("..".join(each.interval) or "-" for each in line.cells))
    return found


def empty(corner: str, columns: tuple[str, ...], width: int) -> rich_table.Table:
    found = rich_table.Table(header_style="bold")
    found.add_column(corner, no_wrap=True, min_width=14)
    for name in columns:
        found.add_column(name, justify="right", no_wrap=True, min_width=width)
    return found


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
            if values := listed(figures, figures.value, 0, output, name):
                lines.append(f"{', '.join((metric.about, *FROM.get(output, ())[1:]))}: {values}.")
    if "dropped_windows" in metrics:
        windows, dropped = figures.counts(SEPARATION, MODEL, "dropped_windows", OVERALL).sum(axis=0)
        lines.append(f"Left out: {dropped} of {windows} windows of BSS Eval, in which a source is silent.")
    lines += [
        f"Left out: {count} {why}."
        for state, why in (("silent", "silent stems"), ("alone", "where the instrument plays alone"))
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
    for figure, found in comparison.figures.items():
        output, name = compared()[figure]
        metric = METRICS[name]
        title = ", ".join(filter(None, (metric.name, metric.unit, "separated" * bool(PREFIX[output]))))
        lines = {name: values for name, values in found.items() if values}
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
                style="bold" if name == "mean" else None,
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
