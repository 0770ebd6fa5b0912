"""What all pictures share: colours, the axes of frequency and pitch, notes as bars, writing the file.

Matplotlib is imported where it is used: that takes a second which other commands need not spend.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scoresep.console import printable
from scoresep.errors import InvalidValue, Unavailable, first_line
from scoresep.files import as_target, write_bytes
from scoresep.grid import LOWEST_PITCH, PITCHES, Grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#332288", "#8C6D1F")
"""After Okabe and Ito: told apart by people with any colour vision, and from grey. Repeated if there are more."""
LOWEST_HZ = 40.0
"""Where logarithmic frequency axes begin; they end at half the sample rate."""
RANGE_DB = 70.0
"""Levels that are shown span this much below the loudest bin of the mixture."""
FREQUENCIES = (50, 100, 200, 500, 1000, 2000, 4000, 8000, 16000)
LOG_ROWS = 256
"""Rows of a spectrogram with a logarithmic frequency axis."""
PALE, GREY, SATURATION, BRIGHTNESS = 0.32, 0.3, 0.8, 0.78
"""Of `tinted`: colour of a covered bin without sound; ink outside; least saturation and relative brightness of the ink
inside."""
CONTRAST = 1.8
"""Above 1, faint sound is drawn fainter."""
DOTS = 110
"""Dots per inch."""
SUFFIXES = "give a name that ends in .png, .svg or .pdf"


def load_matplotlib() -> None:
    """Import matplotlib, whatever way of showing windows the environment asks of it: nothing is shown here.

    A notebook passes its own on (`MPLBACKEND=module://matplotlib_inline.backend_inline`), also to where the package of
    that name is missing; matplotlib then refuses to be imported at all.

    Raises:
        Unavailable: it finds no place to write to.
    """
    try:
        importlib.import_module("matplotlib")
    except ValueError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
            del sys.modules[name]  # half of it is there
        wanted = os.environ.pop("MPLBACKEND", None)
        try:
            importlib.import_module("matplotlib")
        finally:
            os.environ.update({"MPLBACKEND": wanted} if wanted else {})
    except OSError as fault:
        problem = f"matplotlib finds no folder to write to ({first_line(fault)})"
        raise Unavailable(problem, remedy="name one with MPLCONFIGDIR") from fault


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches."""
    load_matplotlib()
    from matplotlib.figure import Figure  # not pyplot: no global state, no display

    return Figure(figsize=(width, height), dpi=DOTS, layout="constrained")


def check_picture(path: str | Path) -> Path:
    """The path of a picture that is going to be drawn, perhaps after long work.

    Raises:
        ScoresepError: as `files.as_target`.
        InvalidValue: the suffix is none of a picture.
    """
    path = as_target(path, "picture")
    if path.suffix[1:].lower() not in new_figure(1, 1).canvas.get_supported_filetypes():
        raise InvalidValue("no name of a picture", file=path, remedy=SUFFIXES)
    return path


def plain_text(text: str) -> str:
    """A text that matplotlib neither takes for a formula nor fails to write."""
    return printable(text).replace("$", r"\$")


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure to `path`, PNG, SVG or PDF by its suffix, whole or not at all.

    Raises:
        InvalidValue: the suffix is none of a picture.
        Unwritable: the file cannot be written.
    """
    picture = io.BytesIO()
    try:
        figure.savefig(picture, format=Path(path).suffix[1:].lower())
    except ValueError as fault:
        raise InvalidValue(f"cannot be drawn ({first_line(fault)})", file=path, remedy=SUFFIXES) from fault
    write_bytes(path, picture.getvalue())


def colours_of(names: Sequence[str]) -> dict[str, str]:
    """A colour for each name, by its place."""
    return {name: COLOURS[n % len(COLOURS)] for n, name in enumerate(names)}


def image_extent(span: tuple[float, float], grid: Grid) -> tuple[float, float, float, float]:
    """Where `imshow` puts a spectrogram of seconds `span` whose frequency axis is log2 Hz from `LOWEST_HZ`."""
    return (*span, float(np.log2(LOWEST_HZ)), float(np.log2(grid.sample_rate / 2)))


def frequency_axis(axes: Axes, grid: Grid) -> None:
    """Ticks in kHz on a y axis of log2 Hz."""
    shown = [hertz for hertz in FREQUENCIES if LOWEST_HZ <= hertz <= grid.sample_rate / 2]
    axes.set_yticks(np.log2(shown), [f"{hertz / 1000:g}" for hertz in shown])


def pitch_axis(axes: Axes, low: int, high: int) -> None:
    """Octave names on a y axis of MIDI pitches from `low` to `high`, with a grid behind what is drawn."""
    octaves = [pitch for pitch in range(low, high + 1) if pitch % 12 == 0]
    axes.set_yticks(octaves, [f"C{pitch // 12 - 1}" for pitch in octaves])
    axes.set_ylim(low - 1, high + 1)
    axes.grid(color="0.88", linewidth=0.8)
    axes.set_axisbelow(True)


def pitch_range(tables: Sequence[np.ndarray], span: tuple[float, float]) -> tuple[int, int]:
    """Lowest and highest pitch heard within the span, the piano's range if there is none; at least two octaves.

    Args:
        tables: (K, 3 or more) onset s, offset s, pitch.
    """
    pitches = [table[(table[:, 1] > span[0]) & (table[:, 0] < span[1]), 2] for table in map(np.asarray, tables)]
    sounding = np.concatenate(pitches) if pitches else np.zeros(0)
    if not len(sounding):
        return LOWEST_PITCH, LOWEST_PITCH + PITCHES - 1
    low, high = int(sounding.min()), int(sounding.max())
    return low - max(0, 12 - (high - low) // 2), high + max(0, 12 - (high - low) // 2)


def half_height(place: int) -> float:
    """Half the height of the bars of the instrument at `place`, in keys.

    Later instruments are thinner, so that a key that several play shows all of them.
    """
    return max(0.46 - 0.07 * place, 0.16)


def draw_notes(axes: Axes, table: np.ndarray, colour: str, half: float) -> None:
    """Bars of one instrument: (K, 3 or more) onset s, offset s, height of the middle (the pitch)."""
    from matplotlib.collections import PolyCollection

    corners = [
        [(on, middle - half), (on, middle + half), (off, middle + half), (off, middle - half)]
        for on, off, middle in np.asarray(table)[:, :3]
    ]
    axes.add_collection(PolyCollection(corners, facecolor=colour, edgecolor="white", linewidth=0.3))


def draw_legend(figure: FigureBase, colours: Mapping[str, str]) -> None:
    """Names in their colours at the upper right, outside the panels."""
    from matplotlib.patches import Patch

    handles = [Patch(facecolor=colour, label=name) for name, colour in colours.items()]
    figure.legend(handles=handles, loc="outside upper right", ncols=min(len(handles), 4), fontsize=12, frameon=False)


def decibels_at(magnitude: np.ndarray, hertz: np.ndarray, grid: Grid) -> np.ndarray:
    """Levels of magnitudes (T, F) at R frequencies, interpolated between bins: float32 (T, R), dB, -120 or more."""
    position = hertz / grid.bin_width
    below = np.minimum(position.astype(np.int64), grid.bins - 2)
    share = np.minimum(position - below, 1.0).astype(np.float32)
    low, high = (magnitude[:, bins].astype(np.float32, copy=False) for bins in (below, below + 1))
    decibels: np.ndarray = 20 * np.log10(np.maximum(low * (1 - share) + high * share, 1e-6))
    return decibels


def log_rows(magnitude: np.ndarray, mask: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bins on logarithmically spaced rows from `LOWEST_HZ`; a row takes its loudest bin, so that no partial is lost.

    Returns:
        of R = `LOG_ROWS` rows: float32 (T, R) level; bool (T, R) whether the loudest bin is in the mask; float32 (T, R)
        share of the row's bins that are.
    """
    edges = np.geomspace(LOWEST_HZ, grid.sample_rate / 2, LOG_ROWS + 1) / grid.bin_width
    level = np.empty((len(magnitude), LOG_ROWS), dtype=np.float32)
    covered = np.empty_like(level)
    inside = np.empty(level.shape, dtype=bool)
    for r in range(LOG_ROWS):
        low, high = int(np.ceil(edges[r])), int(np.ceil(edges[r + 1]))
        if low == high:  # narrower than a bin: the nearest
            low = int(np.rint((edges[r] + edges[r + 1]) / 2))
            high = low + 1
        bins = magnitude[:, low:high]
        loud = bins.argmax(axis=1)[:, None]
        level[:, r] = np.take_along_axis(bins, loud, axis=1)[:, 0]
        inside[:, r] = np.take_along_axis(mask[:, low:high], loud, axis=1)[:, 0]
        covered[:, r] = mask[:, low:high].mean(axis=1)
    return level, inside, covered


def tinted(level: np.ndarray, inside: np.ndarray, covered: np.ndarray, colour: str) -> np.ndarray:
    """Colours of a spectrogram on white, float (T, LOG_ROWS, 3): levels 0 to 1 from background to ink."""
    load_matplotlib()
    from matplotlib.colors import hsv_to_rgb, rgb_to_hsv, to_rgb

    pure = np.array(to_rgb(colour))
    hue, saturation, value = rgb_to_hsv(pure)
    strong = hsv_to_rgb((hue, max(saturation, SATURATION), BRIGHTNESS * value))
    background = 1.0 - PALE * covered[..., None] * (1.0 - pure)
    ink = np.where(inside[..., None], strong, GREY if covered.any() else 0.0)
    return background + (ink - background) * (level**CONTRAST)[..., None]


def notes_of_roll(roll: np.ndarray, onset: np.ndarray, start: float, grid: Grid) -> np.ndarray:
    """Notes of a roll, float (K, 3): from s, to s, pitch. A key that is struck again while it sounds makes two.

    Args:
        roll, onset: bool (T, P).
        start: seconds at which the first frame begins.
    """
    sounding = np.pad(roll, ((1, 1), (0, 0)))
    struck = np.pad(onset & roll, ((1, 1), (0, 0)))
    begins = sounding[1:] & (~sounding[:-1] | struck[1:])
    ends = sounding[:-1] & (~sounding[1:] | struck[1:])
    pitch, first = np.nonzero(begins.T)
    _, stop = np.nonzero(ends.T)
    return np.stack([start + first / grid.frame_rate, start + stop / grid.frame_rate, pitch + LOWEST_PITCH], axis=1)
