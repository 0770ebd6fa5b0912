"""Pictures of results: a separated and transcribed excerpt, and the piano roll of a transcription."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from scoresep.audio.spectrogram import stft
from scoresep.grid import Grid
from scoresep.plots.style import (
    LOG_ROWS,
    LOWEST_HZ,
    RANGE_DB,
    colours_of,
    decibels_at,
    draw_legend,
    draw_notes,
    frequency_axis,
    half_height,
    image_extent,
    new_figure,
    pitch_axis,
    pitch_range,
    plain_text,
    save_figure,
)
from scoresep.separation.separate import Options, separate_array
from scoresep.transcription.transcribe import transcribe_array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

    from scoresep.evaluation.evaluate import Subject

PICTURE_SECONDS = 30.0
"""Length of the excerpt that is shown."""
WIDTH, HEIGHT = 16.0, 10.0
"""Size of the picture in inches."""
LINE_SECONDS, MOST_LINES = 30.0, 12
"""A piano roll is written in lines of so many seconds; of more where these would be too many lines."""
LINE_HEIGHT = 2.6
"""Inches."""


def draw_picture(
    path: str | Path,
    mixture: np.ndarray,
    stems: Mapping[str, np.ndarray],
    grid: Grid,
    notes: Mapping[str, np.ndarray],
    true_notes: Mapping[str, np.ndarray] | None = None,
    title: str = "",
) -> None:
    """Draw the first `PICTURE_SECONDS`, separated and transcribed, to `path` (PNG, SVG or PDF by its suffix).

    Args:
        mixture: float32 (L,) at the grid's rate.
        stems: instrument -> float32 (L,).
        notes: instrument -> (K, 4) onset s, offset s, pitch, velocity, as transcribed.
        true_notes: the same as the score has them, or None.

    Raises:
        ScoresepError: `path` cannot be written.
    """
    seconds = min(PICTURE_SECONDS, len(mixture) / grid.sample_rate)
    colours = colours_of(list(stems))
    figure = new_figure(WIDTH, HEIGHT)
    figure.suptitle(plain_text(title), fontsize=15)
    left, right = cast("np.ndarray", figure.subfigures(1, 2, width_ratios=(1.1, 1)))
    _draw_spectrograms(left, mixture, stems, grid, seconds, colours)
    rolls = {"transcribed": notes} | ({"score (truth)": true_notes} if true_notes is not None else {})
    _draw_rolls(right, rolls, (0.0, seconds), colours)
    save_figure(figure, path)


def _draw_spectrograms(
    figure: FigureBase,
    mixture: np.ndarray,
    stems: Mapping[str, np.ndarray],
    grid: Grid,
    seconds: float,
    colours: Mapping[str, str],
) -> None:
    """One spectrogram below the other, mixture first, all on the mixture's colour scale."""
    panels = np.atleast_1d(figure.subplots(1 + len(stems), 1, sharex=True, sharey=True))
    loudest = None
    for axes, (name, signal) in zip(panels, {"mixture": mixture, **stems}.items(), strict=True):
        decibels = log_spectrogram(signal[: int(seconds * grid.sample_rate)], grid)
        loudest = float(decibels.max()) if loudest is None else loudest
        image = axes.imshow(
            (decibels - loudest).T,
            origin="lower",
            aspect="auto",
            extent=image_extent((0.0, seconds), grid),
            cmap="magma",
            vmin=-RANGE_DB,
            vmax=0.0,
            interpolation="antialiased",
        )
        frequency_axis(axes, grid)
        axes.set_title(name, loc="left", fontsize=13, fontweight="bold", color=colours.get(name, "black"))
        axes.set_ylabel("frequency / kHz", fontsize=11)
        axes.tick_params(labelsize=10)
    panels[-1].set_xlabel("time / s", fontsize=12)
    bar = figure.colorbar(image, ax=list(panels), aspect=50, pad=0.01)
    bar.set_label("level / dB (0: peak of the mixture)", fontsize=11)


def log_spectrogram(signal: np.ndarray, grid: Grid) -> np.ndarray:
    """Magnitudes in dB of (L,) samples on log-spaced frequencies from `LOWEST_HZ`: float32 (T, `LOG_ROWS`)."""
    magnitude = np.abs(stft(signal.astype(np.float32), grid.n_fft, grid.hop))
    return decibels_at(magnitude, np.geomspace(LOWEST_HZ, grid.sample_rate / 2, LOG_ROWS), grid)


def _draw_rolls(
    figure: FigureBase,
    rolls: Mapping[str, Mapping[str, np.ndarray]],
    span: tuple[float, float],
    colours: Mapping[str, str],
) -> None:
    """Piano rolls one below the other on common axes, a colour an instrument."""
    panels = np.atleast_1d(figure.subplots(len(rolls), 1, sharex=True, sharey=True))
    keys = pitch_range([table for notes in rolls.values() for table in notes.values()], span)
    for axes, (label, notes) in zip(panels, rolls.items(), strict=True):
        _draw_panel(axes, notes, colours, keys, span)
        axes.set_title(label, loc="left", fontsize=13, fontweight="bold")
    panels[-1].set_xlabel("time / s", fontsize=12)
    draw_legend(figure, colours)


def _draw_panel(
    axes: Axes,
    notes: Mapping[str, np.ndarray],
    colours: Mapping[str, str],
    keys: tuple[int, int],
    span: tuple[float, float],
) -> None:
    """The notes of all instruments that sound within the span, on the keys from `keys[0]` to `keys[1]`."""
    for n, (name, table) in enumerate(notes.items()):
        shown = table[(table[:, 1] > span[0]) & (table[:, 0] < span[1])]
        draw_notes(axes, shown, colours[name], half_height(n))
    axes.set_ylabel("pitch", fontsize=11)
    axes.tick_params(labelsize=10)
    pitch_axis(axes, *keys)
    axes.set_xlim(*span)


def draw_roll(path: str | Path, notes: Mapping[str, np.ndarray], seconds: float, title: str = "") -> None:
    """Draw transcribed notes to `path` (PNG, SVG or PDF by its suffix), line by line like a score.

    Args:
        notes: instrument -> (K, 4) onset s, offset s, pitch, velocity.
        seconds: length of the recording.

    Raises:
        ScoresepError: `path` cannot be written.
    """
    lines = min(max(int(np.ceil(seconds / LINE_SECONDS)), 1), MOST_LINES)
    span = max(LINE_SECONDS, seconds / lines) if lines > 1 else max(seconds, 1.0)
    colours = colours_of(list(notes))
    figure = new_figure(WIDTH, LINE_HEIGHT * lines + 1.0)
    figure.suptitle(plain_text(title), fontsize=15)
    keys = pitch_range(list(notes.values()), (0.0, seconds))
    panels = figure.subplots(lines, 1, sharey=True, squeeze=False)[:, 0]
    for line, axes in enumerate(panels):
        _draw_panel(axes, notes, colours, keys, (line * span, (line + 1) * span))
    panels[-1].set_xlabel("time / s", fontsize=12)
    draw_legend(figure, colours)
    save_figure(figure, path)


def plot_track(path: str | Path, subject: Subject, device: str) -> None:
    """Draw the first track of the split: spectrograms of mixture and estimates, transcription and score.

    Raises:
        ScoresepError: `path` cannot be written.
    """
    cache, settings = subject.cache, subject.settings
    model, row = subject.checkpoint.model.to(device), int(cache.rows(settings.split)[0])
    mixture, rate, truth = cache.mixture(row), cache.grid.sample_rate, cache.notes(row)
    draw_picture(
        path,
        mixture,
        separate_array(mixture, rate, model, Options(refine=settings.refine)),
        cache.grid,
        transcribe_array(mixture, rate, model).notes if model.transcribes else {},
        {name: truth[truth[:, 4] == n][:, :4] for n, name in enumerate(model.names)},
        title=f"{cache.tracks['id'][row]} of {cache.corpus}, split '{settings.split}'",
    )
