"""One track from files to the arrays of a cache: decode, group, sum, resample, transform, rasterise.

Each file is opened once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from scoresep.audio.spectrogram import half_magnitude, level_of
from scoresep.cache.reader import pack, unpack
from scoresep.cache.schema import FULL_SCALE, CacheSettings, StemFinding, Unused
from scoresep.cache.sounds import Sounds, read_sounds
from scoresep.datasets.base import Track
from scoresep.errors import ScoresepError, first_line
from scoresep.grid import PITCHES
from scoresep.instruments import Instrument
from scoresep.machine import choose_device
from scoresep.masks.table import MASKS, mask_name
from scoresep.nmf import Factors, Song, factorise
from scoresep.score.parts import Part, key_strikes, sounding_notes
from scoresep.score.piano_roll import rasterise

DOUBLE_STRIKE = 0.03
"""Seconds within which two parts of a group that strike the same key count as one note."""
NO_KEY = "notes outside the 88 keys"
ONE_NOTE = f"notes struck again within {1000 * DOUBLE_STRIKE:.0f} ms, which count as one"
TOO_LATE = "notes after the end of the audio"


@dataclass(frozen=True)
class Compiled:
    """A track's rows for every dataset of `schema.shard_datasets`, its row of the track table, what is odd, what is not
    used."""

    arrays: dict[str, np.ndarray]
    row: dict[str, object]
    findings: tuple[StemFinding, ...] = ()
    unused: tuple[Unused, ...] = ()


def compile_track(track: Track, settings: CacheSettings) -> Compiled:
    """Make all arrays of one track.

    Raises:
        ScoresepError: the track cannot be used; the message is the reason that the cache records.
    """
    return taught([untaught(track, settings)], settings)[0]


def untaught(track: Track, settings: CacheSettings) -> Compiled:
    """All of a track but what the teacher says of it; raises as `compile_track` does."""
    if track.problem or track.omitted:
        raise ScoresepError(track.problem or track.omitted)
    sounds = read_sounds(track, settings)
    level = level_of(sounds.mixture)
    arrays = features(sounds, settings)
    row: dict[str, object] = {
        "id": track.id,
        "split": track.split,
        "uuid": track.uuid,
        "frames": len(arrays["magnitude"]),
        "samples": len(sounds.mixture),
        "notes": len(arrays["notes"]),
        "templates": 0,
        "activations": 0,
        "level": level,
        "scale": add_audio(arrays, sounds),
        "active": active(sounds, arrays["roll"], settings.instruments),
    }
    seconds = len(sounds.mixture) / settings.grid.sample_rate
    return Compiled(arrays, row, sounds.findings, (*sounds.unused, *unused_notes(track.id, sounds.parts, seconds)))


def taught(tracks: Sequence[Compiled], settings: CacheSettings, device: str = "cpu") -> list[Compiled]:
    """The same tracks with the teacher's factors, of mixtures and scores alone: all at once on a device.

    Raises:
        ScoresepError: there is no such device, or not enough memory on it.
    """
    if settings.teacher == "none":
        return list(tracks)
    device = device if device == "cpu" else str(choose_device(device))
    kinds, songs = [instrument.kind for instrument in settings.instruments], [song_of(track) for track in tracks]
    if device == "cpu":
        found = [factorise(*song[:2], kinds, settings.grid, song.onsets, settings.factorise) for song in songs]
    else:
        found = on_device(songs, kinds, settings, device)
    return [with_factors(track, factors) for track, factors in zip(tracks, found, strict=True)]


def song_of(track: Compiled) -> Song:
    """What is to be explained of a track, and what its score says."""
    magnitude = track.arrays["magnitude"].astype(np.float32)
    magnitude /= np.float32(track.row["level"])
    return Song(magnitude.T, *(np.moveaxis(unpack(track.arrays[name], PITCHES), 0, 2) for name in ("roll", "onset")))


def on_device(songs: Sequence[Song], kinds: Sequence[str], settings: CacheSettings, device: str) -> list[Factors]:
    """Factors of songs, found on a device; raises as `taught` does."""
    from scoresep.nmf.batched import factorise_together

    try:
        return factorise_together(songs, kinds, settings.grid, settings.factorise, device)
    except RuntimeError as fault:  # of CUDA, out of memory included
        reason = first_line(fault)
        raise ScoresepError(f"the teacher failed on {device} ({reason}); use --teacher-device cpu") from fault


def with_factors(track: Compiled, factors: Factors) -> Compiled:
    """A track with the rows of the datasets `schema.FACTORS`."""
    arrays = factor_arrays(factors)
    counts = {"templates": len(arrays["template"]), "activations": len(arrays["activation"])}
    return replace(track, arrays=track.arrays | arrays, row=track.row | counts)


def factor_arrays(factors: Factors) -> dict[str, np.ndarray]:
    """Factors as rows for the datasets `schema.FACTORS`."""
    stored = factors.half()
    return {
        "template": stored.templates,
        "template_of": np.stack([stored.instrument, stored.pitch], axis=1).astype(np.int16),
        "component": stored.component,
        "activation": stored.activation,
        "activation_end": stored.first[1:].astype(np.uint32),
    }


def features(sounds: Sounds, settings: CacheSettings) -> dict[str, np.ndarray]:
    """Magnitude, rolls, onsets, masks and notes, from mixture and score alone."""
    grid = settings.grid
    spectrum = half_magnitude(sounds.mixture, grid.n_fft, grid.hop)
    frames = len(spectrum)
    rolls = [rasterise(group, grid, frames) for group in sounds.parts]
    masks = [
        score_mask(instrument, group, settings, frames)
        for instrument, group in zip(settings.instruments, sounds.parts, strict=True)
    ]
    roll, onset = (np.stack(found, axis=1) for found in zip(*rolls, strict=True))
    return {
        "magnitude": spectrum,
        "roll": pack(roll),
        "onset": pack(onset),
        "harmonic": np.stack(masks, axis=1),
        "notes": note_table(sounds.parts, len(sounds.mixture) / grid.sample_rate),
    }


def score_mask(instrument: Instrument, parts: Sequence[Part], settings: CacheSettings, frames: int) -> np.ndarray:
    """The bins in which an instrument may sound, by its score: packed bits (T, ceil(F / 8))."""
    name = mask_name(instrument)
    shapes = {"harmonic": settings.harmonic, "percussive": settings.percussive}
    with MASKS.running(name, f"the score of {instrument.name}"):
        return MASKS[name].make(parts, settings.grid, frames, shapes.get(name) or MASKS[name].settings())


def active(sounds: Sounds, roll: np.ndarray, instruments: Sequence[Instrument]) -> np.ndarray:
    """Who plays in the track, bool (N,): by the score, or by the audio where there is no score but a stem."""
    scored = roll.any(axis=(0, 2))
    heard = scored if sounds.stems is None else sounds.stems.any(axis=1)
    unscored = [not instrument.scored for instrument in instruments]
    return np.where(unscored, True if sounds.stems is None else heard, scored)


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


def unused_notes(track: str, parts: Sequence[Sequence[Part]], seconds: float) -> list[Unused]:
    """Notes of a track that `note_table` has not, by reason."""
    written = sum(len(part) for group in parts for part in group)
    on_keys = sum(len(key_strikes(group)) for group in parts)
    onsets = np.concatenate([sounding_notes(group, DOUBLE_STRIKE)[:, 0] for group in parts])
    late = int((onsets >= seconds).sum())
    counts = {NO_KEY: written - on_keys, ONE_NOTE: on_keys - len(onsets), TOO_LATE: late}
    return [Unused(track, "", count, reason) for reason, count in counts.items() if count]


def add_audio(arrays: dict[str, np.ndarray], sounds: Sounds) -> float:
    """Put the audio into `arrays` as int16; returns the one factor that turns mixture and stems back to samples."""
    peak = max(
        1.0,
        *(float(max(values.max(), -values.min())) for values in (sounds.mixture, sounds.stems) if values is not None),
    )
    scale = peak / FULL_SCALE
    arrays["mixture"] = quantise(sounds.mixture, scale)
    if sounds.stems is not None:
        arrays["stems"] = np.stack([quantise(stem, scale) for stem in sounds.stems], axis=1)
    return scale


def quantise(samples: np.ndarray, scale: float) -> np.ndarray:
    """float32 samples as int16 multiples of `scale`, which is large enough for none to clip."""
    scaled = samples * np.float32(1.0 / scale)
    return np.rint(scaled, out=scaled).astype(np.int16)
