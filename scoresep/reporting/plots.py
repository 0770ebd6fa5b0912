"""Arrays to plots for a page: a picture or a few paths in a box, and ticks around it.

Axes and labels are text of the page, not of a picture: they keep their size on a phone, follow light and dark, and can
be read aloud. All places are fractions of the box, 0 to 1 from left to right and from bottom to top.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from scoresep.grid import LOWEST_PITCH, PITCHES, Grid
from scoresep.plots.result import log_spectrogram
from scoresep.plots.style import FREQUENCIES, LOWEST_HZ, RANGE_DB, log_rows
from scoresep.reporting.curves import Curve
from scoresep.reporting.media import picture_uri

UNITS = 1000
"""Width and height of a box in the units of its paths."""
TITLE_FROM = 0.82
"""Place on an x axis from which on its title stands instead of ticks: on a phone it is as wide as that."""
LEAST_RATIO = 6.0
"""Ratio of the largest to the smallest value of a loss from which on its axis is logarithmic."""


@dataclass(frozen=True)
class Tick:
    """A label at a place of an axis."""

    at: float
    label: str


@dataclass(frozen=True)
class Mark:
    """A path (SVG, `UNITS` wide and high, y downwards), how it is drawn, and its colour if it has its own."""

    path: str
    style: str
    colour: str = ""


@dataclass(frozen=True)
class Plot:
    """A box with axes.

    Attributes:
        title: above it.
        alt: what a listener is told instead of the picture.
        kind: name of its look in the style sheet.
        x, y: ticks; `x_title`, `y_title` say what they are.
        image: data URI of the picture that fills the box, or ''.
        marks: what is drawn into the box.
        timed: whether x is the time of the sound that is played beside it.
        sound: data URI of that sound, or ''.
    """

    title: str
    alt: str
    kind: str
    x: tuple[Tick, ...]
    y: tuple[Tick, ...]
    x_title: str
    y_title: str
    image: str = ""
    marks: tuple[Mark, ...] = ()
    timed: bool = True
    sound: str = ""


def spectrogram(title: str, of: str, sound: np.ndarray, loudest: float, start: float, grid: Grid) -> Plot:
    """Levels of sound (L,) that begins at `start` s, black from `RANGE_DB` below `loudest` (dB) on."""
    levels = 1.0 + (log_spectrogram(sound, grid) - loudest) / RANGE_DB
    return time_frequency(title, f"Spectrogram of {of}: brighter is louder", levels, len(sound), start, grid)


def mask(title: str, of: str, values: np.ndarray, samples: int, start: float, grid: Grid) -> Plot:
    """A mask (T, F), 0 to 1 or bool, over `samples` samples; a row of the picture shows its largest bin."""
    values = values.astype(np.float32)
    rows = log_rows(values, np.zeros(values.shape, dtype=bool), grid)[0]
    return time_frequency(title, f"{of}: brighter lets more of the mixture through", rows, samples, start, grid)


def time_frequency(title: str, alt: str, values: np.ndarray, samples: int, start: float, grid: Grid) -> Plot:
    """A picture of (T, ROWS) values from 0 to 1 on axes of seconds and log frequency."""
    seconds = samples / grid.sample_rate
    top = grid.sample_rate / 2
    shown = [hertz for hertz in FREQUENCIES if LOWEST_HZ <= hertz <= 0.8 * top]
    places = [(math.log2(hertz / LOWEST_HZ) / math.log2(top / LOWEST_HZ), f"{hertz / 1000:g}") for hertz in shown]
    span = f"{start:.1f} to {start + seconds:.1f} s, {LOWEST_HZ:.0f} to {top:.0f} Hz"
    return Plot(
        title,
        f"{alt}; {span}.",
        "spectrum",
        time_ticks(start, seconds),
        tuple(Tick(*place) for place in places),
        "time / s",
        "kHz",
        picture_uri(values),
    )


def roll(
    title: str,
    of: str,
    notes: np.ndarray,
    behind: np.ndarray | None,
    keys: tuple[int, int],
    span: tuple[float, float],
    colour: str,
    pitched: bool,
) -> Plot:
    """Notes (K, 4) as bars on the keys from `keys[0]` to `keys[1]`; those `behind` are drawn pale below them."""
    low, high = keys
    rows, seconds = high - low + 1, span[1] - span[0]
    if pitched:
        ticks = [(pitch, f"C{pitch // 12 - 1}") for pitch in range(low, high + 1) if pitch % 12 == 0]
    else:
        ticks = [(pitch, str(pitch)) for pitch in range(low, high + 1, max(1, rows // 6))]
    octaves = "".join(
        f"M0 {units(1 - (pitch - low) / rows)}H{UNITS}" for pitch in range(low + 1, high + 1) if pitch % 12 == 0
    )
    grid_line = Mark(octaves, "grid")
    pale = [Mark(bars(behind, low, rows, span), "pale")] if behind is not None else []
    return Plot(
        title,
        f"Piano roll of {of}: {len(notes)} notes from {span[0]:.1f} to {span[1]:.1f} s.",
        "roll",
        time_ticks(span[0], seconds),
        tuple(Tick((pitch - low + 0.5) / rows, label) for pitch, label in ticks),
        "time / s",
        "pitch" if pitched else "key",
        marks=(grid_line, *pale, Mark(bars(notes, low, rows, span), "bar", colour)),
    )


def bars(notes: np.ndarray, low: int, rows: int, span: tuple[float, float]) -> str:
    """The path of notes (K, 4): a box each."""
    seconds = max(span[1] - span[0], 1e-9)
    height = 0.84 / rows
    boxes = []
    for onset, offset, pitch, _ in np.asarray(notes, dtype=np.float64):
        left, width = (onset - span[0]) / seconds, (offset - onset) / seconds
        top = 1 - (pitch - low + 0.92) / rows
        boxes.append(f"M{units(left)} {units(top)}h{units(width)}v{units(height)}h{units(-width)}z")
    return "".join(boxes)


def key_range(tables: Sequence[np.ndarray]) -> tuple[int, int]:
    """Lowest and highest key of notes (K, 4), two octaves at least; the piano's if there is none."""
    pitches = np.concatenate([table[:, 2] for table in tables]) if tables else np.zeros(0)
    if not len(pitches):
        return LOWEST_PITCH, LOWEST_PITCH + PITCHES - 1
    low, high = int(pitches.min()), int(pitches.max())
    missing = max(0, 24 - (high - low))
    return low - 1 - missing // 2, high + 1 + (missing + 1) // 2


def curve_plot(title: str, curve: Curve, steps: int) -> Plot:
    """A loss over the steps of a stage: training as a line, validation as a line with dots."""
    values = np.concatenate([curve.train[:, 1], curve.validation[:, 1]])
    scale = value_axis(values)
    lines = [
        line(points / (max(steps, 1), 1.0), scale, style)
        for points, style in ((curve.train, "train"), (curve.validation, "validation"))
        if len(points)
    ]
    dots = [line(curve.validation / (max(steps, 1), 1.0), scale, "dots")] if len(curve.validation) else []
    courses = course("Training", curve.train), course("Validation", curve.validation)
    return Plot(
        f"{title} (log scale)" if scale.logarithmic else title,
        " ".join([f"{title} over {steps} steps.", *filter(None, courses)]),
        "curve",
        clear(Tick(place / max(steps, 1), step_text(place)) for place in round_places(0, steps, 4)),
        scale.ticks,
        "step",
        "",
        marks=(
            Mark("".join(f"M0 {units(1 - tick.at)}H{UNITS}" for tick in scale.ticks), "grid"),
            *lines,
            *dots,
        ),
        timed=False,
    )


@dataclass(frozen=True)
class Scale:
    """An axis of values from `low` to `high`."""

    low: float
    high: float
    logarithmic: bool
    ticks: tuple[Tick, ...] = ()

    def place(self, values: np.ndarray) -> np.ndarray:
        """Values to places, 0 to 1."""
        if self.logarithmic:
            return np.log(values / self.low) / math.log(self.high / self.low)
        return (values - self.low) / (self.high - self.low)


def value_axis(values: np.ndarray) -> Scale:
    """The axis of a loss: logarithmic where its values are positive and far apart, else from 0 if that is near."""
    low, high = float(values.min()), float(values.max())
    logarithmic = low > 0 and high / low >= LEAST_RATIO
    if logarithmic:
        scale = Scale(low / 1.1, high * 1.1, True)
        wanted = [step * 10.0**power for power in range(-12, 13) for step in (1, 2, 5)]
        inside = [value for value in wanted if scale.low <= value <= scale.high]
        if len(inside) > 5:
            powers = [value for value in inside if f"{value:e}"[0] == "1"]
            inside = powers[:: -(-len(powers) // 6)]
    else:
        spread = max(high - low, abs(high) * 0.1, 1e-12)
        scale = Scale(0.0 if 0 <= low < 2 * spread else low - 0.1 * spread, high + 0.1 * spread, False)
        inside = round_places(scale.low, scale.high, 4)
    places = scale.place(np.array(inside)) if inside else []
    return replace(
        scale, ticks=tuple(Tick(float(at), f"{value:.3g}") for at, value in zip(places, inside, strict=True))
    )


def line(points: np.ndarray, scale: Scale, style: str) -> Mark:
    """The path through points (K, 2), x from 0 to 1; as `dots`, a stroke of no length at each."""
    places = [f"{units(x)} {units(1 - y)}" for x, y in zip(points[:, 0], scale.place(points[:, 1]), strict=True)]
    if style == "dots":
        return Mark("".join(f"M{place}h0" for place in places), style)
    return Mark("M" + "L".join(places), style)


def course(name: str, points: np.ndarray) -> str:
    """Where a curve begins and ends, in words."""
    return f"{name}: from {points[0, 1]:.3g} to {points[-1, 1]:.3g}." if len(points) else ""


def time_ticks(start: float, seconds: float) -> tuple[Tick, ...]:
    """Ticks at round seconds of the track."""
    places = round_places(start, start + seconds, 6)
    return clear(Tick((place - start) / max(seconds, 1e-9), f"{place:g}") for place in places)


def clear(ticks: Iterable[Tick]) -> tuple[Tick, ...]:
    """Ticks that leave the end of an axis to its title."""
    return tuple(tick for tick in ticks if tick.at <= TITLE_FROM)


def round_places(low: float, high: float, most: int) -> list[float]:
    """At most `most` + 1 round numbers (1, 2 or 5 times a power of ten apart) from `low` to `high`."""
    if not high > low:
        return [low]
    from matplotlib.ticker import MaxNLocator

    places = MaxNLocator(most, steps=[1, 2, 5, 10]).tick_values(low, high)
    return [round(float(place), 10) for place in places if low - 1e-9 <= place <= high + 1e-9]


def step_text(step: float) -> str:
    """12000 as 12k."""
    return f"{step / 1000:g}k" if step >= 10000 else f"{step:g}"


def units(value: float) -> str:
    """A fraction of the box as a number of its paths."""
    return f"{value * UNITS:.1f}".removesuffix(".0")
