"""One track from files to the arrays of a cache: decode, group, sum, resample, transform, rasterise.

Called by `prepare` in its workers. Each file is opened once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scoresep.cache.reader import pack
from scoresep.cache.schema import FULL_SCALE, CacheSettings
from scoresep.corpora.base import Stem, Track
from scoresep.errors import ScoresepError
from scoresep.features.audio import fit, read_audio, resample
from scoresep.features.harmonics import harmonic_mask
from scoresep.features.level import level_of
from scoresep.features.roll import rasterise
from scoresep.features.score import Part, read_midi, sounding_notes
from scoresep.features.spectrogram import stft
from scoresep.grid import Grid
from scoresep.instruments import choose, group_of

LENGTH_TOLERANCE = 0.05
"""Seconds by which the stems of a track may differ in length: more means that one of them is cut or foreign."""
DOUBLE_STRIKE = 0.03
"""Seconds within which two stems of a group that strike the same key count as one note."""


@dataclass(frozen=True)
class Compiled:
    """A track's rows for every dataset of `schema.shard_datasets`, and its row of the track table."""

    arrays: dict[str, np.ndarray]
    row: dict[str, object]


def compile_track(track: Track, settings: CacheSettings) -> Compiled:
    """Make all arrays of one track.

    Raises:
        ScoresepError: the track cannot be used; the message is the reason that the cache records.
    """
    if track.problem:
        raise ScoresepError(track.problem)
    groups = grouped(track.stems, settings.instruments)
    audio = group_audio(groups, settings.grid.sample_rate)
    mixture = audio.sum(axis=0)
    if not np.any(mixture):
        raise ScoresepError(f"silent: no sound in the stems of {', '.join(settings.instruments)}")
    parts = [[part for stem in stems for part in stem_parts(stem)] for stems in groups]
    arrays, frames = features(parts, mixture, settings)
    arrays["mixture"], scale = quantise(mixture, np.concatenate([audio.ravel(), mixture]))
    arrays["stems"] = quantise(audio.T, np.array([scale * FULL_SCALE]))[0]
    row: dict[str, object] = {
        "id": track.id,
        "split": track.split,
        "uuid": track.uuid,
        "frames": frames,
        "samples": len(mixture),
        "notes": len(arrays["notes"]),
        "level": level_of(mixture),
        "scale": scale,
        "active": arrays["roll"].any(axis=(0, 2)),
    }
    return Compiled(arrays, row)


def grouped(stems: Sequence[Stem], instruments: Sequence[str]) -> list[list[Stem]]:
    """The stems of each instrument; stems of other instruments are left out of score and mixture."""
    groups: list[list[Stem]] = [[] for _ in instruments]
    chosen = choose(instruments)
    for stem in stems:
        group = group_of(stem.program, stem.is_drum, chosen)
        if group is not None:
            groups[group].append(stem)
    if not any(groups):
        raise ScoresepError(f"has no stem of {', '.join(instruments)}")
    return groups


def group_audio(groups: Sequence[Sequence[Stem]], sample_rate: int) -> np.ndarray:
    """Audio of each group at `sample_rate`, float32 (N, L): stems are summed first, then resampled once a group."""
    sums: list[np.ndarray | None] = []
    rate = length = None
    for stems in groups:
        total = None
        for stem in stems:
            samples, stem_rate = read_audio(stem.audio)
            rate, length = rate or stem_rate, length or len(samples)
            if stem_rate != rate:
                raise ScoresepError(f"stem {stem.name} has another rate ({stem_rate} Hz) than the others ({rate} Hz)")
            if abs(len(samples) - length) > LENGTH_TOLERANCE * rate:
                seconds = f"{len(samples) / rate:.2f} s, the others {length / rate:.2f} s"
                raise ScoresepError(f"stem {stem.name} has another length ({seconds})")
            total = fit(samples, length) if total is None else total + fit(samples, length)
        sums.append(total)
    assert rate is not None and length is not None
    silence = np.zeros(-(-length * sample_rate // rate), dtype=np.float32)
    return np.stack([silence if total is None else resample(total, rate, sample_rate) for total in sums])


def stem_parts(stem: Stem) -> list[Part]:
    """The parts of a stem at their sounding pitch."""
    if stem.score is None:
        raise ScoresepError(f"stem {stem.name} has audio but no MIDI file")
    return [part.transposed(stem.transpose) for part in read_midi(stem.score)]


def features(
    parts: Sequence[Sequence[Part]], mixture: np.ndarray, settings: CacheSettings
) -> tuple[dict[str, np.ndarray], int]:
    """Magnitude, rolls, onsets, harmonic masks and notes; and the number of frames."""
    grid: Grid = settings.grid
    magnitude = np.abs(stft(mixture, grid.n_fft, grid.hop)).astype(np.float16)
    frames = len(magnitude)
    rolls = [rasterise(group, grid, frames) for group in parts]
    arrays = {
        "magnitude": magnitude,
        "roll": pack(np.stack([roll for roll, _ in rolls], axis=1)),
        "onset": pack(np.stack([onset for _, onset in rolls], axis=1)),
        "harmonic": np.stack([harmonic_mask(group, grid, frames, settings.harmonic) for group in parts], axis=1),
        "notes": note_table(parts, len(mixture) / grid.sample_rate),
    }
    return arrays, frames


def note_table(parts: Sequence[Sequence[Part]], seconds: float) -> np.ndarray:
    """Notes of all groups that begin within `seconds`, float32 (K, 5) as `schema.NOTE_COLUMNS`, ordered by onset."""
    tables = []
    for n, group in enumerate(parts):
        notes = sounding_notes(group, DOUBLE_STRIKE)
        tables.append(np.concatenate([notes, np.full((len(notes), 1), n, dtype=np.float32)], axis=1))
    table = np.concatenate(tables)
    table = table[table[:, 0] < seconds]
    table[:, 1] = np.minimum(table[:, 1], np.float32(seconds))
    return table[np.lexsort((table[:, 2], table[:, 4], table[:, 0]))]


def quantise(samples: np.ndarray, span: np.ndarray) -> tuple[np.ndarray, float]:
    """int16 samples and the factor that turns them back, one factor for all that `span` holds (no clipping)."""
    peak = max(1.0, float(np.abs(span).max()))
    scale = peak / FULL_SCALE
    return np.clip(np.rint(samples / scale), -FULL_SCALE - 1, FULL_SCALE).astype(np.int16), scale
