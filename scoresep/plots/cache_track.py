"""A picture of one track of a cache: mixture, piano rolls, masks over spectrograms; and which excerpt is shown.

It shows at a glance whether score and audio agree: sound that a mask misses stays grey, a mask without sound is pale.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scoresep.audio.spectrogram import stft
from scoresep.cache.reader import Cache
from scoresep.errors import InvalidValue, NotFound
from scoresep.grid import LOWEST_PITCH, PITCHES, Grid
from scoresep.instruments import DRUM_PROGRAM, Instrument, suggestion
from scoresep.plots.style import (
    RANGE_DB,
    colours_of,
    draw_notes,
    frequency_axis,
    half_height,
    image_extent,
    log_rows,
    new_figure,
    notes_of_roll,
    pitch_axis,
    pitch_range,
    plain_text,
    save_figure,
    tinted,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

EXCERPT_SECONDS = 16.0
"""Length of the excerpt by default."""
PLAYS = 0.1
"""Share of an excerpt's time from which on an instrument counts as playing in it."""
TITLE_PAD = 9.0
"""Points between a panel and its title, for the onsets."""
WIDTH = 15.0
"""Of the picture, in inches; its height depends on the number of instruments."""
CAPTION = (
    "Below, an instrument's colour is what its mask covers: strong where there is sound, pale where there is none. "
    "Grey is sound outside its mask. Ticks above a panel are the onsets of its score."
)


@dataclass(frozen=True)
class TrackExcerpt:
    """What is drawn: T frames of one track.

    Attributes:
        instruments, grid: of the cache.
        span: seconds, from and to, half a hop before the first and after the last frame.
        mixture: float32 (T, F), magnitudes.
        stems: float32 (T, N, F), magnitudes, or None if the cache has none.
        roll, onset: bool (T, N, P).
        mask: bool (T, N, F).
    """

    instruments: tuple[Instrument, ...]
    grid: Grid
    span: tuple[float, float]
    mixture: np.ndarray
    stems: np.ndarray | None
    roll: np.ndarray
    onset: np.ndarray
    mask: np.ndarray

    @cached_property
    def colours(self) -> list[str]:
        """One for each instrument."""
        return [*colours_of([instrument.name for instrument in self.instruments]).values()]

    @cached_property
    def loudest(self) -> float:
        """The largest magnitude of the mixture."""
        return float(self.mixture.max())


def row_of(cache: Cache, track: str) -> int:
    """Row of a track by its id.

    Raises:
        NotFound: there is none; the reason if it was left out, else the nearest name.
    """
    rows = np.flatnonzero(cache.tracks["id"] == track)
    if len(rows):
        return int(rows[0])
    for item in cache.excluded:
        if item.track == track:
            problem = f"track {track} was left out: {item.reason}"
            raise NotFound(problem, file=cache.path, remedy="choose another track, or prepare the cache anew")
    ids = [str(name) for name in cache.tracks["id"]]
    close = suggestion(track, ids)
    remedy = close if "did you mean" in close else f"the first is '{ids[0]}'"
    raise NotFound(f"no track '{track}'", file=cache.path, remedy=remedy)


def chosen_frames(cache: Cache, row: int, span: tuple[float, float] | None) -> tuple[int, int]:
    grid, frames = cache.grid, int(cache.tracks["frames"][row])
    if span is None:
        return busiest_frames(cache, row, frames, grid.frame_at(EXCERPT_SECONDS))
    first, stop = grid.frame_at(max(span[0], 0.0)), min(grid.frame_at(span[1]) + 1, frames)
    if first >= stop - 1:
        problem = f"{span[0]:g} to {span[1]:g} s lies outside of {cache.tracks['id'][row]}"
        raise InvalidValue(problem, remedy=f"it lasts {grid.seconds(frames - 1):.1f} s")
    return first, stop - first


def busiest_frames(cache: Cache, row: int, frames: int, count: int) -> tuple[int, int]:
    """`busiest` of the first `frames` frames of a track: an excerpt of `count`, or of all where there are fewer."""
    scored = [instrument.scored for instrument in cache.instruments]
    sounding = np.asarray(cache.roll(row, 0, frames)[:, scored].any(axis=2))
    return busiest(sounding, min(frames, count), max(1, cache.grid.frame_at(1.0)))


def busiest(sounding: np.ndarray, count: int, step: int) -> tuple[int, int]:
    """First frame and length of the excerpt in which most instruments play, then play longest; the earliest of equals.

    Args:
        sounding: bool (T, N).
        count: frames of the excerpt.
        step: frames between the excerpts that are compared.
    """
    sums = np.concatenate([np.zeros((1, sounding.shape[1]), dtype=np.int64), sounding.cumsum(axis=0, dtype=np.int64)])
    starts = np.arange(0, len(sounding) - count + 1, step)
    inside = sums[starts + count] - sums[starts]
    playing = (inside >= max(1.0, PLAYS * count)).sum(axis=1)
    return int(starts[np.lexsort((-inside.sum(axis=1), -playing))[0]]), count


def read_excerpt(cache: Cache, row: int, first: int, count: int) -> TrackExcerpt:
    """Read `count` frames from `first` on."""
    grid = cache.grid
    return TrackExcerpt(
        cache.instruments,
        grid,
        span=(grid.seconds(first - 0.5), grid.seconds(first + count - 0.5)),
        mixture=cache.magnitude(row, first, count).astype(np.float32),
        stems=read_stems(cache, row, first, count) if cache.has_stems else None,
        roll=cache.roll(row, first, count),
        onset=cache.onset(row, first, count),
        mask=cache.harmonic(row, first, count),
    )


def read_stems(cache: Cache, row: int, first: int, count: int) -> np.ndarray:
    """Magnitudes of the stems, float32 (T, N, F), from no more samples than the frames need."""
    grid = cache.grid
    margin = -(-grid.n_fft // 2 // grid.hop)  # frames on either side that a window reaches into
    before = min(first, margin)
    start = (first - before) * grid.hop
    stop = min((first + count + margin) * grid.hop, int(cache.tracks["samples"][row]))
    samples = cache.slice("stems", row, start, max(stop - start, 0)) * np.float32(cache.tracks["scale"][row])
    spectra = [np.abs(stft(stem, grid.n_fft, grid.hop))[before : before + count] for stem in samples.T]
    return np.stack(spectra, axis=1)


def draw_track(path: str | Path, cache: Cache, track: str, span: tuple[float, float] | None = None) -> None:
    """Draw an excerpt of a track to `path` (PNG, SVG or PDF by its suffix).

    Where the cache has stems, masks are drawn over the spectrogram of the instrument's stem, else over the mixture's.

    Args:
        track: id of the track.
        span: seconds that are shown, from and to; None: the `EXCERPT_SECONDS` in which most instruments sound.

    Raises:
        NotFound, InvalidValue: there is no such track, or `span` lies outside it.
        Unwritable: `path` cannot be written.
    """
    row = row_of(cache, track)
    first, count = chosen_frames(cache, row, span)
    excerpt = read_excerpt(cache, row, first, count)
    title = f"{track} ({cache.tracks['split'][row]}) of corpus '{cache.corpus}', split set '{cache.split_set}'"
    length = int(cache.tracks["samples"][row]) / cache.grid.sample_rate
    which = "" if span else f": the {min(EXCERPT_SECONDS, length):.0f} s in which most instruments sound"
    shown = f"{clock(cache.grid.seconds(first))} to {clock(cache.grid.seconds(first + count - 1))} of {clock(length)}"
    figure = draw_excerpt(excerpt, f"{title}\n{shown}{which}")
    save_figure(figure, path)


def draw_excerpt(excerpt: TrackExcerpt, title: str) -> Figure:
    """Panels below one another on one time axis: mixture, rolls of pitched and of percussive groups, masks.

    An instrument that neither sounds nor is written in the excerpt has no panel; the title names it.
    """
    instruments = excerpt.instruments
    shown = [n for n in range(len(instruments)) if has_panel(excerpt, n)]
    pitched = [n for n in shown if instruments[n].pitched and excerpt.roll[:, n].any()]
    struck = [n for n in shown if instruments[n].kind == "percussive" and excerpt.roll[:, n].any()]
    drums = np.flatnonzero(excerpt.roll[:, struck].any(axis=(0, 1)))
    heights = [2.0] + [2.7] * bool(pitched) + [0.3 + 0.17 * max(len(drums), 3)] * bool(struck) + [1.45] * len(shown)
    figure = new_figure(WIDTH, sum(heights) + 0.34 * len(heights) + 1.3)
    absent = [i.name for n, i in enumerate(instruments) if n not in shown and (i.scored or excerpt.stems is not None)]
    silent = f"; silent here: {', '.join(absent)}" if absent else ""
    figure.suptitle(plain_text(title + silent), fontsize=14)
    panels = list(np.atleast_1d(figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)))
    rest = iter(panels)
    draw_spectrum(next(rest), excerpt, excerpt.mixture, None, "black")
    panels[0].set_title("mixture", loc="left", fontsize=11, fontweight="bold")
    if pitched:
        draw_rolls(next(rest), excerpt, pitched)
    if struck:
        draw_strokes(next(rest), excerpt, struck, drums)
    for n in shown:
        draw_mask(next(rest), excerpt, n)
    for axes in panels:
        axes.tick_params(labelsize=9)
    panels[0].set_xlim(*excerpt.span)
    panels[-1].set_xlabel("time / s", fontsize=11)
    figure.supxlabel(CAPTION, fontsize=10, color="0.25")
    return figure


def has_panel(excerpt: TrackExcerpt, n: int) -> bool:
    """Whether instrument n has notes or a stem loud enough to be seen."""
    faintest = excerpt.loudest * 10.0 ** (-RANGE_DB / 20.0)
    audible = excerpt.stems is not None and bool(excerpt.stems[:, n].max() > faintest)
    return audible or bool(excerpt.roll[:, n].any())


def draw_mask(axes: Axes, excerpt: TrackExcerpt, n: int) -> None:
    """The spectrogram that instrument n is found in, its mask in colour, its onsets above."""
    instrument, colour = excerpt.instruments[n], excerpt.colours[n]
    magnitude = excerpt.mixture if excerpt.stems is None else excerpt.stems[:, n]
    mask = excerpt.mask[:, n] if instrument.scored else None
    draw_spectrum(axes, excerpt, magnitude, mask, colour)
    ink = colour if instrument.scored else "0.3"
    axes.set_title(instrument.name, loc="left", fontsize=11, fontweight="bold", color=ink, pad=TITLE_PAD)
    axes.set_title(mask_caption(excerpt, n), loc="right", fontsize=10, pad=TITLE_PAD)
    times = excerpt.span[0] + (np.flatnonzero(excerpt.onset[:, n].any(axis=1)) + 0.5) / excerpt.grid.frame_rate
    axes.vlines(times, 1.01, 1.06, transform=axes.get_xaxis_transform(), color=colour, linewidth=1.0, clip_on=False)


def mask_caption(excerpt: TrackExcerpt, n: int) -> str:
    """What the panel of instrument n shows, and how much of its stem its mask covers."""
    if excerpt.stems is None:
        return "mask over the mixture"
    if not excerpt.instruments[n].scored:
        return "its stem; it has no score"
    energy = excerpt.stems[:, n].astype(np.float64) ** 2
    total = energy.sum()
    if not total:
        return "mask over its stem, which is silent here"
    return f"mask over its stem: {100 * energy[excerpt.mask[:, n]].sum() / total:.0f} % of the energy lies inside"


def draw_spectrum(
    axes: Axes, excerpt: TrackExcerpt, magnitude: np.ndarray, mask: np.ndarray | None, colour: str
) -> None:
    """A spectrogram (T, F) in grey on a logarithmic frequency axis; what lies inside `mask` (T, F) is in `colour`."""
    mask = np.zeros(magnitude.shape, dtype=bool) if mask is None else mask
    level, inside, covered = log_rows(magnitude, mask, excerpt.grid)
    shown = np.clip(1.0 + 20.0 * np.log10(np.maximum(level, 1e-9) / max(excerpt.loudest, 1e-9)) / RANGE_DB, 0.0, 1.0)
    picture = tinted(shown, inside, covered, colour)
    extent = image_extent(excerpt.span, excerpt.grid)
    axes.imshow(picture.transpose(1, 0, 2), origin="lower", aspect="auto", extent=extent)
    frequency_axis(axes, excerpt.grid)
    axes.set_ylabel("kHz", fontsize=10)


def draw_rolls(axes: Axes, excerpt: TrackExcerpt, chosen: list[int]) -> None:
    """The rolls of pitched instruments on one axis, each note's onset a dark stroke."""
    tables = [notes_of_roll(excerpt.roll[:, n], excerpt.onset[:, n], excerpt.span[0], excerpt.grid) for n in chosen]
    for place, (n, table) in enumerate(zip(chosen, tables, strict=True)):
        draw_notes(axes, table, excerpt.colours[n], half_height(place))
        draw_onsets(axes, excerpt, n, np.arange(PITCHES) + LOWEST_PITCH)
    pitch_axis(axes, *pitch_range(tables, excerpt.span))
    axes.set_ylabel("pitch", fontsize=10)
    panel_title(axes, "score", excerpt, chosen)


def draw_strokes(axes: Axes, excerpt: TrackExcerpt, chosen: list[int], drums: np.ndarray) -> None:
    """The rolls of percussive instruments, a line for each of the keys `drums` that is struck."""
    lines = np.full(PITCHES, np.nan)
    lines[drums] = np.arange(len(drums))
    for place, n in enumerate(chosen):
        table = notes_of_roll(excerpt.roll[:, n], excerpt.onset[:, n], excerpt.span[0], excerpt.grid)
        table[:, 2] = lines[table[:, 2].astype(int) - LOWEST_PITCH]
        draw_notes(axes, table, excerpt.colours[n], half_height(place))
        draw_onsets(axes, excerpt, n, lines)
    named = all(DRUM_PROGRAM in excerpt.instruments[n].programs for n in chosen)
    axes.set_yticks(range(len(drums)), [drum_name(int(key) + LOWEST_PITCH, named) for key in drums], fontsize=8)
    axes.set_ylim(-0.7, max(len(drums), 3) - 0.3)
    axes.grid(color="0.88", linewidth=0.8)
    axes.set_axisbelow(True)
    panel_title(axes, "score, drums", excerpt, chosen)


def drum_name(pitch: int, named: bool) -> str:
    """The drum of a General MIDI pitch, where the pitches name drums."""
    from pretty_midi import note_number_to_drum_name

    return f"{note_number_to_drum_name(pitch) if named else ''} {pitch}".strip()


def draw_onsets(axes: Axes, excerpt: TrackExcerpt, n: int, heights: np.ndarray) -> None:
    """A dark stroke where a note of instrument n begins; heights of the keys on the y axis, float (P,)."""
    first, key = np.nonzero(excerpt.onset[:, n])
    times, middle = excerpt.span[0] + first / excerpt.grid.frame_rate, heights[key]
    axes.vlines(times, middle - 0.5, middle + 0.5, color="black", linewidth=0.9)


def panel_title(axes: Axes, title: str, excerpt: TrackExcerpt, chosen: list[int]) -> None:
    """A panel's title and, at its right, the instruments in their colours."""
    from matplotlib.patches import Patch

    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.legend(
        handles=[Patch(facecolor=excerpt.colours[n], label=excerpt.instruments[n].name) for n in chosen],
        loc="lower right",
        bbox_to_anchor=(1.0, 0.98),
        ncols=len(chosen),
        fontsize=10,
        frameon=False,
        borderpad=0.1,
        handlelength=1.2,
    )


def clock(seconds: float) -> str:
    """83.4 s as 1:23.4."""
    tenths = round(seconds * 10)
    return f"{tenths // 600}:{tenths % 600 / 10:04.1f}"
