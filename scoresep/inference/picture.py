"""A picture of a result: spectrograms of mixture and stems, transcribed and true notes. Called by the pipelines.

matplotlib is imported where it is used: it takes a second that other commands need not spend.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scoresep.errors import ScoresepError
from scoresep.features.spectrogram import stft
from scoresep.files import replacing
from scoresep.grid import LOWEST_PITCH, PITCHES, Grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D1F")
"""After Okabe and Ito: told apart by people with any colour vision. Repeated if there are more instruments."""
LOWEST_HZ = 40.0
ROWS = 256
"""Rows of a spectrogram with a logarithmic frequency axis."""
RANGE_DB = 70.0
"""Colours span this much below the loudest bin of the mixture."""
SECONDS = 30.0
"""Length of the excerpt that is shown, unless told otherwise."""
FREQUENCIES = (50, 100, 200, 500, 1000, 2000, 4000, 8000, 16000)
WIDTH, HEIGHT = 16.0, 10.0
"""Size of the picture in inches, at `DOTS` dots each."""
DOTS = 110


def draw_picture(
    path: str | Path,
    mixture: np.ndarray,
    stems: Mapping[str, np.ndarray],
    grid: Grid,
    notes: Mapping[str, np.ndarray],
    true_notes: Mapping[str, np.ndarray] | None = None,
    title: str = "",
    span: tuple[float, float] = (0.0, SECONDS),
) -> None:
    """Draw a separated and transcribed excerpt to `path` (PNG, SVG or PDF by its suffix).

    Args:
        mixture: float32 (L,) at the grid's rate.
        stems: instrument -> float32 (L,).
        notes: instrument -> (K, 4) onset s, offset s, pitch, velocity, as transcribed.
        true_notes: the same as the score has them, or None.
        span: seconds that are shown, from and to.

    Raises:
        ScoresepError: `path` cannot be written.
    """
    from matplotlib.figure import Figure  # not pyplot: no global state, no display

    stop = min(span[1], len(mixture) / grid.sample_rate)
    colours = {name: COLOURS[n % len(COLOURS)] for n, name in enumerate(stems)}
    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DOTS, layout="constrained")
    figure.suptitle(title, fontsize=15)
    left, right = figure.subfigures(1, 2, width_ratios=(1.1, 1))
    _draw_spectrograms(left, mixture, stems, grid, (span[0], stop), colours)
    rolls = {"transcribed": notes} | ({"score (truth)": true_notes} if true_notes is not None else {})
    _draw_rolls(right, rolls, (span[0], stop), colours)
    try:
        with replacing(path) as temporary:
            figure.savefig(temporary)
    except (OSError, ValueError) as fault:
        raise ScoresepError(f"{path} cannot be drawn ({fault}); give a name that ends in .png, .svg or .pdf") from fault


def _draw_spectrograms(
    figure: object,
    mixture: np.ndarray,
    stems: Mapping[str, np.ndarray],
    grid: Grid,
    span: tuple[float, float],
    colours: Mapping[str, str],
) -> None:
    """One spectrogram below the other, mixture first, all on the mixture's colour scale."""
    panels = figure.subplots(1 + len(stems), 1, sharex=True, sharey=True)
    loudest = None
    for axes, (name, signal) in zip(panels, {"mixture": mixture, **stems}.items(), strict=True):
        decibels = log_spectrogram(signal[int(span[0] * grid.sample_rate) : int(span[1] * grid.sample_rate)], grid)
        loudest = float(decibels.max()) if loudest is None else loudest
        image = _draw_spectrogram(axes, decibels - loudest, grid, span)
        axes.set_title(name, loc="left", fontsize=13, fontweight="bold", color=colours.get(name, "black"))
        axes.set_ylabel("frequency / kHz", fontsize=11)
        axes.tick_params(labelsize=10)
    panels[-1].set_xlabel("time / s", fontsize=12)
    bar = figure.colorbar(image, ax=list(panels), aspect=50, pad=0.01)
    bar.set_label("level / dB (0: peak of the mixture)", fontsize=11)


def _draw_spectrogram(axes: Axes, decibels: np.ndarray, grid: Grid, span: tuple[float, float]) -> AxesImage:
    highest = grid.sample_rate / 2
    image = axes.imshow(
        decibels.T,
        origin="lower",
        aspect="auto",
        extent=(*span, np.log2(LOWEST_HZ), np.log2(highest)),
        cmap="magma",
        vmin=-RANGE_DB,
        vmax=0.0,
        interpolation="antialiased",
    )
    shown = [hertz for hertz in FREQUENCIES if LOWEST_HZ <= hertz <= highest]
    axes.set_yticks(np.log2(shown), [f"{hertz / 1000:g}" for hertz in shown])
    return image


def log_spectrogram(signal: np.ndarray, grid: Grid) -> np.ndarray:
    """Magnitudes in dB of (L,) samples on logarithmically spaced frequencies from `LOWEST_HZ`: float32 (T, `ROWS`)."""
    magnitude = np.abs(stft(signal.astype(np.float32), grid.n_fft, grid.hop))
    position = np.geomspace(LOWEST_HZ, grid.sample_rate / 2, ROWS) / grid.bin_width
    below = np.minimum(position.astype(np.int64), grid.bins - 2)
    share = (position - below).astype(np.float32)
    picked = magnitude[:, below] * (1 - share) + magnitude[:, below + 1] * share
    return 20 * np.log10(np.maximum(picked, 1e-6))


def _draw_rolls(
    figure: object,
    rolls: Mapping[str, Mapping[str, np.ndarray]],
    span: tuple[float, float],
    colours: Mapping[str, str],
) -> None:
    """Piano rolls one below the other on common axes, a colour an instrument."""
    panels = np.atleast_1d(figure.subplots(len(rolls), 1, sharex=True, sharey=True))
    for axes, (label, notes) in zip(panels, rolls.items(), strict=True):
        for n, (name, table) in enumerate(notes.items()):
            _draw_notes(axes, table, colours[name], half_height=max(0.46 - 0.09 * n, 0.12))
        axes.set_title(label, loc="left", fontsize=13, fontweight="bold")
        axes.set_ylabel("pitch", fontsize=11)
        axes.tick_params(labelsize=10)
        axes.grid(color="0.88", linewidth=0.8)
        axes.set_axisbelow(True)
    low, high = _pitch_range([table for notes in rolls.values() for table in notes.values()], span)
    octaves = [pitch for pitch in range(low, high + 1) if pitch % 12 == 0]
    panels[0].set_yticks(octaves, [f"C{pitch // 12 - 1}" for pitch in octaves])
    panels[0].set_ylim(low - 1, high + 1)
    panels[0].set_xlim(*span)
    panels[-1].set_xlabel("time / s", fontsize=12)
    _draw_legend(figure, colours)


def _draw_notes(axes: Axes, table: np.ndarray, colour: str, half_height: float) -> None:
    """Bars of one instrument; later instruments are thinner, so that a key that several play shows all of them."""
    from matplotlib.collections import PolyCollection

    corners = [
        [(on, pitch - half_height), (on, pitch + half_height), (off, pitch + half_height), (off, pitch - half_height)]
        for on, off, pitch in np.asarray(table)[:, :3]
    ]
    axes.add_collection(PolyCollection(corners, facecolor=colour, edgecolor="white", linewidth=0.3))


def _draw_legend(figure: object, colours: Mapping[str, str]) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(facecolor=colour, label=name) for name, colour in colours.items()]
    figure.legend(handles=handles, loc="outside upper right", ncols=min(len(handles), 4), fontsize=12, frameon=False)


def _pitch_range(tables: list[np.ndarray], span: tuple[float, float]) -> tuple[int, int]:
    """Lowest and highest pitch heard within the span, the piano's range if there is none; at least two octaves."""
    pitches = [table[(table[:, 1] > span[0]) & (table[:, 0] < span[1]), 2] for table in map(np.asarray, tables)]
    heard = np.concatenate(pitches) if pitches else np.zeros(0)
    if not len(heard):
        return LOWEST_PITCH, LOWEST_PITCH + PITCHES - 1
    low, high = int(heard.min()), int(heard.max())
    return low - max(0, 12 - (high - low) // 2), high + max(0, 12 - (high - low) // 2)
