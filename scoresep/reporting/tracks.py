"""A few tracks, separated and transcribed, cut to an excerpt: what the page shows and plays."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scoresep.audio.level import level_of
from scoresep.audio.spectrogram import stft
from scoresep.cache.reader import Cache
from scoresep.evaluation.baselines import ratio_masks
from scoresep.evaluation.evaluate import Evaluation
from scoresep.evaluation.figures import SEPARATION, Figures
from scoresep.evaluation.registry import MEAN, MODEL
from scoresep.instruments import Instrument
from scoresep.models.model import Model
from scoresep.plots.cache_track import busiest, row_of
from scoresep.separation.separate import DEFAULT_OPTIONS, Options, mask_blocks, separate_array
from scoresep.transcription.transcribe import transcribe_array

SECONDS = 12.0
"""Length of an excerpt, unless told otherwise."""
TRACKS = 3
"""How many tracks are shown, unless told otherwise."""


@dataclass(frozen=True)
class Part:
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
    parts: tuple[Part, ...]


def chosen_tracks(
    cache: Cache, split: str, evaluation: Evaluation | None, wanted: int | Sequence[str]
) -> list[tuple[int, str]]:
    """Rows of the tracks to show, and why each.

    With an evaluation: from the worst over the middle to the best by the mean improvement of SI-SDR (by note F1 where
    nothing was separated), so that a reader sees more than the best. Else the first ones of the split.

    Args:
        wanted: how many, or their ids.

    Raises:
        ScoresepError: there is no track of that id.
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
    cache: Cache, row: int, why: str, model: Model, seconds: float = SECONDS, options: Options = DEFAULT_OPTIONS
) -> TrackView:
    """Separate and transcribe a track whole, and cut out the `seconds` in which most happens (0: all of it)."""
    grid = cache.grid
    mixture, truth = cache.mixture(row), cache.stems(row) if cache.has_stems else None
    first, count = excerpt_frames(cache, row, seconds)
    samples = slice(first * grid.hop, min((first + count) * grid.hop, len(mixture)))
    span = (samples.start / grid.sample_rate, samples.stop / grid.sample_rate)
    estimates = separate_array(mixture, grid.sample_rate, model, options)
    found = transcribe_array(mixture, grid.sample_rate, model).notes if model.transcribes else {}
    masks = masks_of(mixture, model, first, count, options)
    harmonic, written = cache.harmonic(row, first, count), cache.notes(row)
    oracle = ratio_masks(truth, grid, slice(first, first + count)) if truth is not None else None
    parts = tuple(
        Part(
            instrument,
            estimates[instrument.name][samples],
            truth[n, samples] if truth is not None else None,
            masks[n],
            oracle[n] if oracle is not None else None,
            harmonic[:, n] if instrument.scored else None,
            within(found[instrument.name], span) if instrument.name in found else None,
            within(written[written[:, 4] == n][:, :4], span) if instrument.scored else None,
        )
        for n, instrument in enumerate(model.instruments)
    )
    return TrackView(str(cache.tracks["id"][row]), why, span, len(mixture) / grid.sample_rate, mixture[samples], parts)


def excerpt_frames(cache: Cache, row: int, seconds: float) -> tuple[int, int]:
    """First frame and number of frames of the excerpt in which most instruments play."""
    grid = cache.grid
    frames = max(int(cache.tracks["samples"][row]) // grid.hop, 1)  # the last frame may have no samples after it
    count = min(frames, max(grid.frame_at(seconds), 1)) if seconds else frames
    scored = [instrument.scored for instrument in cache.instruments]
    sounding = cache.roll(row, 0, frames).any(axis=2)[:, scored]
    return busiest(sounding, count, max(1, grid.frame_at(1.0)))


def masks_of(mixture: np.ndarray, model: Model, first: int, count: int, options: Options) -> np.ndarray:
    """Masks of `count` frames from `first` on, float32 (N, count, F): of the whole recording, as it is separated."""
    relative = np.abs(stft(mixture, model.grid.n_fft, model.grid.hop)) / np.float32(level_of(mixture))
    pieces, start = [], 0
    for magnitude, masks in mask_blocks(iter([relative]), len(relative), model, options):
        pieces.append(masks[..., max(first - start, 0) : max(first + count - start, 0)])
        start += len(magnitude)
    return np.concatenate(pieces, axis=2).transpose(0, 2, 1)


def within(notes: np.ndarray, span: tuple[float, float]) -> np.ndarray:
    """Notes (K, 4) that sound within the span, cut to it."""
    heard = notes[(notes[:, 1] > span[0]) & (notes[:, 0] < span[1])].astype(np.float64)
    heard[:, :2] = heard[:, :2].clip(*span)
    return heard
