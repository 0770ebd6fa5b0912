"""Pictures and sound of the page, as text that needs no other file.

Matplotlib draws the pictures, as SVG elements whose colours follow the page's light or dark scheme.

All pictures of one kind have their axes at the same place, so that a line over them can show what is being played.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
from markupsafe import Markup

from scoresep.errors import Mismatch, first_line
from scoresep.grid import Grid
from scoresep.plots.result import log_spectrogram
from scoresep.plots.style import (
    LOWEST_HZ,
    RANGE_DB,
    draw_notes,
    frequency_axis,
    half_height,
    image_extent,
    load_matplotlib,
    log_rows,
    pitch_axis,
)
from scoresep.reporting.sources import Curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE, CURVE_SIZE = (4.6, 1.75), (3.2, 1.75)
"""Inches of a picture over time and of a curve; on the page they are as wide as their column."""
LEFT, RIGHT, BOTTOM, TOP = 0.09, 0.985, 0.2, 0.97
"""Place of the axes in a picture over time. The style sheet has LEFT and RIGHT, too."""
CURVE_LEFT = 0.16
PALETTE_SIZE = 64
"""Of a spectrogram: more cannot be told apart, fewer show as bands."""
LEAST_RATIO = 6.0
"""Ratio of the largest to the smallest value of a loss from which on its axis is logarithmic."""
TEXT, LINE, TRAIN, VALIDATION = "#010203", "#010204", "#010205", "#010206"
"""Colours to draw in that become those of the page."""
PAGE_COLOURS = {
    TEXT: "currentColor",
    LINE: "var(--line)",
    TRAIN: "var(--train)",
    VALIDATION: "var(--validation)",
    "#e0e0e0": "var(--line)",
}
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "scoresep",
    "font.size": 7.5,
    "font.sans-serif": ["DejaVu Sans"],
    "axes.linewidth": 0.6,
    "axes.edgecolor": LINE,
    "axes.labelcolor": TEXT,
    "text.color": TEXT,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": TEXT,
    "ytick.labelcolor": TEXT,
    "axes.labelpad": 2.0,
}


@dataclass(frozen=True)
class AudioFormat:
    """How sound is embedded: libsndfile's names, the media type, and what to know about it."""

    container: str
    subtype: str
    media_type: str
    about: str


AUDIO_FORMATS = {
    "flac": AudioFormat("FLAC", "PCM_16", "audio/flac", "FLAC, 16 bit, without loss"),
    "mp3": AudioFormat("MP3", "MPEG_LAYER_III", "audio/mpeg", "MP3, which has artefacts of its own"),
    "ogg": AudioFormat("OGG", "VORBIS", "audio/ogg", "Ogg Vorbis, which has artefacts of its own"),
}
"""FLAC is the usual one: all current browsers play it, and no artefact of a codec is taken for one of separation."""


def fitting(form: AudioFormat, rate: int, channels: int = 1) -> AudioFormat:
    """The format, or FLAC where it cannot hold the rate or the channels."""
    try:
        with soundfile.SoundFile(io.BytesIO(), "w", rate, channels, form.subtype, format=form.container):
            return form
    except (soundfile.LibsndfileError, ValueError, TypeError):
        return AUDIO_FORMATS["flac"]


@dataclass(frozen=True)
class Picture:
    """A picture of the page.

    Attributes:
        title: above it.
        svg: the element, with a text for those who do not see it.
        timed: whether x is the time of the sound that is played beside it.
        sound: data URI of that sound, or ''.
    """

    title: str
    svg: Markup
    timed: bool = True
    sound: str = ""


@contextmanager
def figure_of(size: tuple[float, float], left: float) -> Iterator[tuple[Figure, Axes]]:
    """A new figure and its axes, in the style of the page."""
    load_matplotlib()
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=size)
        yield figure, figure.add_axes((left, BOTTOM, RIGHT - left, TOP - BOTTOM), facecolor="none")


def svg_of(figure: Figure, text: str) -> Markup:
    """A figure as an element whose ids are like no other's on the page; `text` describes it."""
    file = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    drawn = file.getvalue().partition("<svg")[2]
    drawn = re.sub(r' (xmlns|xmlns:xlink|version)="[^"]*"| (width|height)="[\d.]+pt"', "", drawn)
    drawn = re.sub(r"<style.*?</style>|<!--.*?-->|\n *", "\n", drawn, flags=re.DOTALL)
    prefix = hashlib.sha256(f"{text}{drawn}".encode()).hexdigest()[:8]
    drawn = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>p{prefix}-", drawn)
    drawn = re.sub(r"data:image/png;base64,([A-Za-z0-9+/=\s]*)", with_palette, drawn)
    drawn = re.sub("|".join(PAGE_COLOURS), lambda match: PAGE_COLOURS[match[0]], drawn)
    return Markup('<svg role="img" aria-label="{}" {}').format(text, Markup(drawn.strip()))


def with_palette(match: re.Match[str]) -> str:
    """The data URI of a PNG of few colours, made a third as large."""
    from PIL import Image

    file = io.BytesIO()
    image = Image.open(io.BytesIO(base64.b64decode(match[1]))).convert("RGB")
    image.quantize(PALETTE_SIZE).save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def spectrogram(title: str, what: str, sound: np.ndarray, loudest: float, start: float, grid: Grid) -> Picture:
    """Levels of sound (L,) that begins at `start` s, black from `RANGE_DB` below `loudest` (dB) on."""
    levels = 1.0 + (log_spectrogram(sound, grid) - loudest) / RANGE_DB
    return time_frequency(title, f"Spectrogram of {what}: brighter is louder", levels, len(sound), start, grid)


def mask(title: str, what: str, values: np.ndarray, samples: int, start: float, grid: Grid) -> Picture:
    """A mask (T, F), 0 to 1 or bool, over `samples` samples; a row of the picture shows its largest bin."""
    rows = log_rows(values.astype(np.float32), np.zeros(values.shape, dtype=bool), grid)[0]
    return time_frequency(title, f"{what}: brighter lets more of the mixture through", rows, samples, start, grid)


def time_frequency(title: str, text: str, values: np.ndarray, samples: int, start: float, grid: Grid) -> Picture:
    """Values (T, R) from 0 to 1 over seconds and log frequency."""
    stop = start + samples / grid.sample_rate
    with figure_of(SIZE, LEFT) as (figure, axes):
        from matplotlib import colormaps

        axes.imshow(
            values.T,
            colormaps["magma"].resampled(PALETTE_SIZE),
            origin="lower",
            aspect="auto",
            extent=image_extent((start, stop), grid),
            vmin=0,
            vmax=1,
            interpolation="none",
        )
        frequency_axis(axes, grid)
        axes.set(xlabel="time / s", ylabel="kHz")
        span = f"{start:.1f} to {stop:.1f} s, {LOWEST_HZ:.0f} to {grid.sample_rate / 2:.0f} Hz"
        return Picture(title, svg_of(figure, f"{text}; {span}."))


def roll(
    title: str,
    what: str,
    tables: Sequence[np.ndarray],
    keys: tuple[int, int],
    span: tuple[float, float],
    colour: str,
    pitched: bool,
) -> Picture:
    """Notes (K, 4) as bars on the keys from `keys[0]` to `keys[1]`: the first table, others pale behind it."""
    with figure_of(SIZE, LEFT) as (figure, axes):
        for table in tables[1:]:
            draw_notes(axes, table, TEXT, half_height(0))
            axes.collections[-1].set(alpha=0.28, edgecolor="none")
        draw_notes(axes, tables[0], colour, half_height(0))
        axes.collections[-1].set(gid="bar", edgecolor="none")
        pitch_axis(axes, *keys)
        if not pitched:
            axes.set_yticks(range(keys[0], keys[1] + 1, max(1, (keys[1] - keys[0]) // 6)))
        axes.set(xlim=span, xlabel="time / s", ylabel="pitch" if pitched else "key")
        text = f"Piano roll of {what}: {len(tables[0])} notes from {span[0]:.1f} to {span[1]:.1f} s."
        return Picture(title, svg_of(figure, text))


def curve_picture(title: str, curve: Curve, steps: int) -> Picture:
    """A loss over the steps of a stage: training as a line, validation as a line with dots."""
    values = np.concatenate([curve.train[:, 1], curve.validation[:, 1]])
    logarithmic = values.min() > 0 and values.max() / values.min() >= LEAST_RATIO
    with figure_of(CURVE_SIZE, CURVE_LEFT) as (figure, axes):
        axes.plot(*curve.train.T, color=TRAIN, linewidth=0.9, gid="train")
        axes.plot(*curve.validation.T, color=VALIDATION, linewidth=1.3, marker=".", markersize=4, gid="validation")
        if logarithmic:
            from matplotlib.ticker import LogLocator, NullFormatter

            axes.set_yscale("log")
            decades = np.log10(values.max() / values.min())
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 3 else (1.0,), numticks=6))
            axes.yaxis.set_minor_formatter(NullFormatter())
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
        axes.locator_params(axis="x", nbins=4)
        axes.xaxis.set_major_formatter(lambda value, _: step_text(value))
        axes.grid(color=LINE, linewidth=0.5)
        axes.set(xlim=(0, max(steps, 1)), xlabel="step")
        courses = (course("Training", curve.train), course("Validation", curve.validation))
        text = " ".join([f"{title} over {steps} steps.", *filter(None, courses)])
        return Picture(f"{title} (log scale)" if logarithmic else title, svg_of(figure, text), timed=False)


def course(name: str, points: np.ndarray) -> str:
    """Where a curve begins and ends, in words."""
    return f"{name}: from {points[0, 1]:.3g} to {points[-1, 1]:.3g}." if len(points) else ""


def step_text(step: float) -> str:
    """12000 as 12k."""
    return f"{step / 1000:g}k" if step >= 10000 else f"{step:g}"


def audio_uri(samples: np.ndarray, rate: int, form: AudioFormat) -> str:
    """Sound (L,) in full scale +-1 at `rate` Hz as a data URI; what is louder is clipped.

    Raises:
        Mismatch: the format cannot hold the rate.
    """
    file = io.BytesIO()
    try:
        soundfile.write(file, np.clip(samples, -1.0, 1.0), rate, form.subtype, format=form.container)
    except soundfile.LibsndfileError as fault:
        problem = f"{form.container} cannot hold {rate} Hz ({first_line(fault)})"
        raise Mismatch(problem, remedy="choose another --audio") from fault
    return f"data:{form.media_type};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"
