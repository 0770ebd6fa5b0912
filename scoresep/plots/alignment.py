"""A score over the spectrogram of its recording, before and after it was aligned, with the confidence of each bar."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scoresep.alignment.align import Alignment
from scoresep.alignment.confidence import TRUSTED
from scoresep.audio.loading import read_audio
from scoresep.grid import Grid
from scoresep.plots.result import log_spectrogram
from scoresep.plots.style import (
    COLOURS,
    LOWEST_HZ,
    RANGE_DB,
    check_picture,
    frequency_axis,
    image_extent,
    new_figure,
    plain_text,
    save_figure,
)
from scoresep.score.parts import Part

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SECONDS_AN_INCH, NARROWEST, WIDEST = 5.0, 12.0, 60.0
"""Width of the picture, in inches."""
HEIGHT = 9.0
NOTE, DOUBT = COLOURS[5], COLOURS[1]


def plot_alignment(path: str | Path, audio: str | Path, alignment: Alignment) -> None:
    """Draw an alignment with its recording to `path` (PNG, SVG or PDF by its suffix).

    Raises:
        ScoresepError: `path` cannot be written, or the recording not be read.
    """
    path, grid = check_picture(path), Grid()
    samples, _ = read_audio(audio, grid.sample_rate)
    width = min(max(alignment.seconds / SECONDS_AN_INCH, NARROWEST), WIDEST)
    figure = new_figure(width, HEIGHT)
    figure.suptitle(plain_text(f"{Path(audio).name}: confidence {alignment.confidence:.2f}"), fontsize=14)
    panels = figure.subplots(3, 1, sharex=True, height_ratios=(4, 4, 1))
    decibels = log_spectrogram(samples, grid)
    end = max((float(part.offset.max()) for part in alignment.score.parts if len(part)), default=1.0)
    shift = alignment.placement.transposition
    ratio = alignment.seconds / max(end, 1e-3)
    before = [(part if part.is_drum else part.transposed(shift)) for part in alignment.score.parts]
    for axes, title, parts, pace in (
        (panels[0], "score as written, stretched to the recording's length", before, ratio),
        (panels[1], "score aligned", alignment.parts, 1.0),
    ):
        _draw(axes, decibels, grid, alignment.seconds, parts, pace, alignment.tuning)
        axes.set_title(title, loc="left", fontsize=12)
    for begin, stop in alignment.doubtful:
        panels[1].axvspan(begin, stop, color=DOUBT, alpha=0.35, linewidth=0)
    _draw_confidence(panels[2], alignment)
    save_figure(figure, path)


def _draw(
    axes: Axes,
    decibels: np.ndarray,
    grid: Grid,
    seconds: float,
    parts: Sequence[Part],
    pace: float,
    tuning: float,
) -> None:
    """A spectrogram with the fundamentals of pitched notes, at `pace` times their moments, as lines."""
    from matplotlib.collections import LineCollection

    axes.imshow(
        decibels.T - decibels.max(),
        origin="lower",
        aspect="auto",
        extent=image_extent((0.0, seconds), grid),
        cmap="gray_r",
        vmin=-RANGE_DB,
        vmax=0.0,
    )
    frequency_axis(axes, grid)
    lines = []
    for part in parts:
        if part.is_drum:
            continue
        height = np.log2(440.0) + (part.pitch - 69 + tuning) / 12
        for on, off, y in zip(pace * part.onset, pace * part.offset, height, strict=True):
            lines.append([(on, y), (off, y)])
    axes.add_collection(LineCollection(lines, colors=NOTE, linewidths=1.5))
    axes.set_ylim(np.log2(LOWEST_HZ), np.log2(grid.sample_rate / 2))
    axes.set_xlim(0.0, seconds)
    axes.set_ylabel("frequency / kHz")


def _draw_confidence(axes: Axes, alignment: Alignment) -> None:
    """A bar of the picture for each bar of the music, in another colour where it is not trusted."""
    bars = alignment.bars
    begin, width = [bar.begin for bar in bars], [bar.end - bar.begin for bar in bars]
    height = [bar.confidence for bar in bars]
    colours = [COLOURS[2] if bar.trusted else DOUBT for bar in bars]
    axes.bar(begin, height, width, align="edge", color=colours, edgecolor="white", linewidth=0.5)
    axes.axhline(TRUSTED, color="0.4", linewidth=0.8)
    axes.set_ylim(0.0, 1.0)
    axes.set_ylabel("confidence")
    axes.set_xlabel("time / s")
