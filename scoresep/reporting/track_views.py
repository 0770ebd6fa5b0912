"""The tracks that the page shows and plays: which ones, and an excerpt of each, separated and transcribed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scoresep.cache.reader import Cache
from scoresep.evaluation.baselines import ratio_masks
from scoresep.evaluation.evaluate import Evaluation
from scoresep.evaluation.figures import SEPARATION, Figures
from scoresep.evaluation.metric_table import MEAN, MODEL
from scoresep.evaluation.tables import pair_lines
from scoresep.grid import Grid
from scoresep.instruments import Instrument
from scoresep.models.model import Model
from scoresep.plots.cache_track import busiest_frames, row_of
from scoresep.plots.result import log_spectrogram
from scoresep.plots.style import colours_of, pitch_range
from scoresep.reporting import REPORT_SECONDS
from scoresep.reporting.media import AudioFormat, Picture, audio_uri, mask, roll, spectrogram
from scoresep.separation.separate import DEFAULT_OPTIONS, Options, separate_array
from scoresep.transcription.transcribe import transcribe_array


@dataclass(frozen=True)
class PartView:
    """One instrument in an excerpt of T frames and L samples; None for what is not known.

    Attributes:
        instrument: the group.
        estimate, truth: sound, float32 (L,).
        mask: by which the estimate was made, float32 (T, F), 0 to 1.
        oracle: |S_i| / sum_j |S_j| of the true stems, float32 (T, F).
        score_mask: bins that the score covers, bool (T, F).
        notes, true_notes: as transcribed from the mixture and as written, float (K, 4): onset s, offset s, pitch,
            velocity; seconds of the track.
    """

    instrument: Instrument
    estimate: np.ndarray
    truth: np.ndarray | None
    mask: np.ndarray
    oracle: np.ndarray | None
    score_mask: np.ndarray | None
    notes: np.ndarray | None
    true_notes: np.ndarray | None


@dataclass(frozen=True)
class TrackView:
    """An excerpt of a track.

    Attributes:
        track: its id.
        why: why this one is shown.
        span: seconds of the track, from and to.
        seconds: length of the whole track.
        mixture: float32 (L,).
    """

    track: str
    why: str
    span: tuple[float, float]
    seconds: float
    mixture: np.ndarray
    parts: tuple[PartView, ...]


def chosen_tracks(
    cache: Cache, split: str, evaluation: Evaluation | None, wanted: int | Sequence[str]
) -> list[tuple[int, str]]:
    """Rows of the tracks to show, and why each.

    With an evaluation: from the worst over the middle to the best by the mean improvement of SI-SDR (by note F1 where
    nothing was separated), so that a reader sees more than the best. Else the first ones of the split.

    Args:
        wanted: how many, or their ids.

    Raises:
        NotFound: there is no track of that id.
    """
    if not isinstance(wanted, int):
        return [(row_of(cache, track), "as asked for") for track in wanted]
    rows = {str(cache.tracks["id"][row]): int(row) for row in cache.rows(split)}
    ranked = sorted((value, track) for track, value in (merits(evaluation.figures) if evaluation else {}).items())
    ranked = [(value, track) for value, track in ranked if track in rows]
    if not ranked:
        return [(row, f"of the split '{split}'") for row in list(rows.values())[:wanted]]
    places = np.unique(np.rint(np.linspace(0, len(ranked) - 1, min(wanted, len(ranked)))).astype(int))
    if wanted == 1:
        places = np.array([(len(ranked) - 1) // 2])
    return [(rows[ranked[place][1]], rank_text(int(place), len(ranked))) for place in places]


def merits(figures: Figures) -> dict[str, float]:
    """What tracks are ranked by: the mean improvement, or note F1 where nothing was separated; where it is defined."""
    separated = SEPARATION in figures.outputs
    key = (SEPARATION, MODEL, "si_sdr_improvement") if separated else ("transcription", MODEL, "note_f1")
    values = zip(figures.tracks, figures.series(*key, MEAN).tolist(), strict=True)
    return {track: value for track, value in values if not math.isnan(value)}


def rank_text(place: int, count: int) -> str:
    """Where a track stands among all, from the worst, 0, to the best."""
    if count == 1:
        return "the only track that was scored"
    if place in (0, count - 1):
        return f"the {'best' if place else 'worst'} of {count} tracks for this model"
    return f"number {count - place} of {count} tracks for this model, best first"


def view_track(
    cache: Cache, row: int, why: str, model: Model, seconds: float = REPORT_SECONDS, options: Options = DEFAULT_OPTIONS
) -> TrackView:
    """Separate and transcribe a track whole, and cut out the `seconds` in which most happens (0: all of it)."""
    grid = cache.grid
    mixture, truth = cache.mixture(row), cache.stems(row) if cache.has_stems else None
    first, count = excerpt_frames(cache, row, seconds)
    samples = slice(first * grid.hop, min((first + count) * grid.hop, len(mixture)))
    span = (samples.start / grid.sample_rate, samples.stop / grid.sample_rate)
    blocks: list[np.ndarray] = []
    estimates = separate_array(mixture, grid.sample_rate, model, options, blocks)
    masks = np.concatenate(blocks, axis=2)[..., first : first + count].transpose(0, 2, 1)
    transcribed = transcribe_array(mixture, grid.sample_rate, model).notes if model.transcribes else {}
    harmonic, written = cache.harmonic(row, first, count), cache.notes(row)
    oracle = ratio_masks(truth, grid, slice(first, first + count)) if truth is not None else None
    parts = tuple(
        PartView(
            instrument,
            estimates[instrument.name][samples],
            truth[n, samples] if truth is not None else None,
            masks[n],
            oracle[n] if oracle is not None else None,
            harmonic[:, n] if instrument.scored else None,
            within(transcribed[instrument.name], span) if instrument.name in transcribed else None,
            within(written[written[:, 4] == n][:, :4], span) if instrument.scored else None,
        )
        for n, instrument in enumerate(model.instruments)
    )
    return TrackView(str(cache.tracks["id"][row]), why, span, len(mixture) / grid.sample_rate, mixture[samples], parts)


def excerpt_frames(cache: Cache, row: int, seconds: float) -> tuple[int, int]:
    """First frame and number of frames of the excerpt in which most instruments play; `seconds` 0: of the track."""
    frames = max(int(cache.tracks["samples"][row]) // cache.grid.hop, 1)  # the last frame may have no samples after it
    return busiest_frames(cache, row, frames, max(cache.grid.frame_at(seconds), 1) if seconds else frames)


def within(notes: np.ndarray, span: tuple[float, float]) -> np.ndarray:
    """Notes (K, 4) that sound within the span, cut to it."""
    inside = notes[(notes[:, 1] > span[0]) & (notes[:, 0] < span[1])].astype(np.float64)
    inside[:, :2] = inside[:, :2].clip(*span)
    return inside


def track_panels(
    view: TrackView, evaluation: Evaluation | None, grid: Grid, form: AudioFormat, number: int
) -> dict[str, Any]:
    """A track for the page's template: pictures, sounds and figures.

    All its sounds have one gain, all its spectrograms one scale. `place` is the anchor on the page.
    """
    loudest = float(log_spectrogram(view.mixture, grid).max())
    signals = [view.mixture, *(s for part in view.parts for s in (part.estimate, part.truth) if s is not None)]
    gain = np.float32(min(1.0, 0.999 / max(float(np.abs(signal).max(initial=1e-9)) for signal in signals)))
    colours = colours_of([part.instrument.name for part in view.parts])
    place = f"track{number}"

    def player(title: str, what: str, sound: np.ndarray) -> Picture:
        picture = spectrogram(title, f"{what} of {view.track}", sound, loudest, view.span[0], grid)
        return replace(picture, sound=audio_uri(gain * sound, grid.sample_rate, form))

    parts = []
    for n, part in enumerate(view.parts):
        name = part.instrument.name
        sounds = [player("estimate", f"the separated {name}", part.estimate)]
        if part.truth is not None:
            sounds.append(player("truth", f"the true {name}", part.truth))
        pictures = [*sounds, *roll_pictures(view, part, colours[name]), *mask_pictures(view, part, grid)]
        figures = pair_lines(evaluation.figures, view.track, name) if evaluation else []
        here = {"name": name, "place": f"{place}part{n}", "colour": colours[name], "about": ()}
        parts.append({**here, "pictures": pictures, "figures": figures})
    whole = view.span[1] - view.span[0] > view.seconds - 0.1
    excerpt = "whole" if whole else f"{view.span[0]:.1f} to {view.span[1]:.1f} s of {view.seconds:.1f} s"
    softer = f" All its players are {-20 * np.log10(gain):.1f} dB softer, so that none clips." if gain < 1 else ""
    about = f"{view.why[0].upper()}{view.why[1:]}; {excerpt}.{softer}"
    mixture = player("mixture", "the mixture", view.mixture)
    return {"name": view.track, "place": place, "about": about, "mixture": mixture, "parts": parts}


def mask_pictures(view: TrackView, part: PartView, grid: Grid) -> list[Picture]:
    """The mask of the estimate, the one that the true stems would give, and what the score covers."""
    name, rest = part.instrument.name, (len(view.mixture), view.span[0], grid)
    masks = (
        ("mask of the estimate", f"The mask by which {name} was separated", part.mask),
        ("mask of the true stems", f"The true stems' ratio mask of {name}", part.oracle),
        ("mask of the score", f"Bins that the score of {name} covers", part.score_mask),
    )
    return [mask(title, what, values, *rest) for title, what, values in masks if values is not None]


def roll_pictures(view: TrackView, part: PartView, colour: str) -> list[Picture]:
    """Transcribed notes, the score pale behind them, and the score itself, on the same keys."""
    name, pitched = part.instrument.name, part.instrument.pitched
    tables = [table for table in (part.notes, part.true_notes) if table is not None]
    keys = pitch_range(tables, (-np.inf, np.inf))
    rest = (keys, view.span, colour, pitched)
    pictures = []
    if part.notes is not None:
        title = "transcribed notes" + " (pale: the score)" * (part.true_notes is not None)
        pictures.append(roll(title, f"{name} as transcribed", tables, *rest))
    if part.true_notes is not None:
        pictures.append(roll("notes of the score", f"{name} as the score has it", [part.true_notes], *rest))
    return pictures
