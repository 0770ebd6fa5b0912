"""Results for people: the table and the picture. Called by the command line, which prints the one, names the other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from scoresep.evaluation.evaluate import Evaluation, open_cache
from scoresep.inference.picture import draw_picture
from scoresep.inference.separate import separate_array
from scoresep.inference.transcribe import transcribe_array
from scoresep.training.checkpoint import load_checkpoint

ROWS = {
    "mixture": "mixture",
    "harmonic_mask": "harmonic mask",
    "model": "this model",
    "oracle_mask": "oracle mask",
}
"""Rows in the order of knowledge; the label of each."""
SCORES = {"frame_f1": "frames", "note_f1": "notes"}


def report(evaluation: Evaluation) -> RenderableType:
    """Tables of SI-SDR (and improvement) of every row and of the model's frame and note F1; counts and notes below.

    Fits 80 columns for three instruments.
    """
    summary, about = evaluation.summary, evaluation.about
    tracks = summary["counts"]["tracks"]
    heading = f"{about['corpus']} corpus, {tracks} {about['split']} tracks (split set {about['split_set']})"
    lines = [Text(line, style="dim") for line in [*_legend(summary), *evaluation.notes]]
    transcribed = bool(summary["transcription"])
    tables = [_separation_table(summary)] * _separated(summary) + [_transcription_table(summary)] * transcribed
    return Group(Text(heading, style="bold"), *tables, *lines)


def _separated(summary: Mapping[str, Any]) -> bool:
    """Whether there were stems to compare with."""
    return any(summary["counts"][state] for state in ("scored", "silent", "alone"))


def _separation_table(summary: Mapping[str, Any]) -> Table:
    table = _table("SI-SDR, dB", summary)
    for row, label in ROWS.items():
        ours = row == "model"
        figures = summary["separation"] if ours else summary["baselines"][row]
        mean = summary["mean"]["separation"] if ours else summary["mean"]["baselines"][row]
        cells = [_separation(values, row != "mixture") for values in (*figures.values(), mean)]
        table.add_row(label, *cells, style="bold" if ours else None)
    return table


def _transcription_table(summary: Mapping[str, Any]) -> Table:
    table = _table("this model, F1", summary)
    for key, label in SCORES.items():
        known = summary["transcription"]
        figures = [*(known.get(name, {}) for name in summary["separation"]), summary["mean"]["transcription"]]
        table.add_row(label, *["-" if values.get(key) is None else f"{values[key]:.2f}" for values in figures])
    return table


def _table(corner: str, summary: Mapping[str, Any]) -> Table:
    table = Table(header_style="bold")
    table.add_column(corner, no_wrap=True, min_width=14)
    for name in (*summary["separation"], "mean"):
        table.add_column(name, justify="right", no_wrap=True, min_width=12)
    return table


def _separation(figures: Mapping[str, Any], improvement: bool) -> str:
    if figures["si_sdr"] is None:
        return "-"
    gain = f" ({figures['si_sdr_improvement']:+.1f})" if improvement else ""
    return f"{figures['si_sdr']:.1f}{gain}"


def _legend(summary: Mapping[str, Any]) -> list[str]:
    """What the figures are, and which pairs are not in them."""
    separation = "SI-SDR: mean over tracks (improvement over mixture). " * _separated(summary)
    lines = [separation + "Notes: onset within 50 ms." * bool(summary["transcription"])]
    medians = [
        f"{name} {figures['si_sdr_improvement_median']:+.1f}"
        for name, figures in summary["separation"].items()
        if figures["si_sdr_improvement_median"] is not None
    ]
    if medians:
        lines.append(f"Median improvement: {', '.join(medians)} dB.")
    counts = summary["counts"]
    leaks = [
        f"{name} {figures['leak_db']:.0f}"
        for name, figures in summary["separation"].items()
        if figures["leak_db"] is not None
    ]
    if leaks:
        lines.append(f"Left out: {counts['silent']} silent stems; energy there, dB re mixture: {', '.join(leaks)}.")
    if counts["alone"]:
        lines.append(f"Left out: {counts['alone']} where the instrument plays alone.")
    return lines


def plot_track(
    path: str | Path, checkpoint_path: str | Path, cache_path: str | Path | None, split: str, device: str
) -> None:
    """Draw the first track of `split`: spectrograms of mixture and estimates, transcription and score.

    Raises:
        ScoresepError: as `evaluate`, or `path` cannot be written.
    """
    checkpoint = load_checkpoint(checkpoint_path)
    cache = open_cache(checkpoint, checkpoint_path, cache_path)
    model, row = checkpoint.model.to(device), int(cache.rows(split)[0])
    mixture, rate, truth = cache.mixture(row), cache.grid.sample_rate, cache.notes(row)
    draw_picture(
        path,
        mixture,
        separate_array(mixture, rate, model),
        cache.grid,
        transcribe_array(mixture, rate, model).notes if model.transcribes else {},
        {name: truth[truth[:, 4] == n][:, :4] for n, name in enumerate(model.names)},
        title=f"{cache.tracks['id'][row]} of {cache.corpus}, split '{split}'",
    )
