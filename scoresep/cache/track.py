"""One track from files to the arrays of a cache: decode, group, sum, resample, transform, rasterise.

Each file is decoded or parsed once, one stem in memory at a time. There are two kinds of track: stems with a score
each, whose sum is the mixture, or one recording with one score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scoresep.audio.decoding.recording import open_recording
from scoresep.audio.loading import read_audio
from scoresep.audio.spectrogram import half_magnitude, level_of
from scoresep.cache.aligned import read_aligned
from scoresep.cache.labelled import Labels, add_labels, read_labelled
from scoresep.cache.schema import (
    FULL_SCALE,
    NO_AUDIO,
    NO_GROUP,
    NO_SCORE,
    CacheSettings,
    StemFinding,
    Unused,
    pack,
    unpack,
)
from scoresep.cache.stem_reader import StemReader, rate_findings
from scoresep.datasets.base import Stem, Track
from scoresep.errors import Failed, InvalidValue, NothingToDo, first_line
from scoresep.grid import PITCHES
from scoresep.instruments import Instrument, group_of
from scoresep.machine import choose_device
from scoresep.masks.table import MASKS, mask_name
from scoresep.nmf import Factors, ScoredMixture, factorise
from scoresep.score.parts import Part, key_strikes, sounding_notes
from scoresep.score.piano_roll import rasterise
from scoresep.score.weak_labels import SCORED

DOUBLE_STRIKE = 0.03
"""Seconds within which two parts of a group that strike the same key count as one note."""
OFF_KEYBOARD = "notes outside the 88 keys"
ONE_NOTE = f"notes struck again within {1000 * DOUBLE_STRIKE:.0f} ms, which count as one"
TOO_LATE = "notes after the end of the audio"

Parts = list[list[Part]]
"""The parts of each instrument, at their sounding pitch."""


@dataclass(frozen=True)
class TrackContent:
    """What a track's files hold.

    Attributes:
        mixture: float32 (L,) at the grid's rate.
        stems: float32 (N, L), or None where only the mixture is known.
        parts: by instrument; none for what has no score.
        findings: stems that contradict their score, odd metadata.
        unused: stems and parts that are in none of these.
        labels: weak ones by instrument, where there is no score; None where there is.
    """

    mixture: np.ndarray
    stems: np.ndarray | None
    parts: Parts
    findings: tuple[StemFinding, ...] = ()
    unused: tuple[Unused, ...] = ()
    labels: Labels | None = None


@dataclass(frozen=True)
class TrackFeatures:
    """A track as a cache holds it.

    Attributes:
        arrays: its rows of every dataset of `schema.shard_datasets`.
        row: its row of the track table.
        findings: what is odd.
        unused: what of it is not in the arrays.
    """

    arrays: dict[str, np.ndarray]
    row: dict[str, Any]
    findings: tuple[StemFinding, ...] = ()
    unused: tuple[Unused, ...] = ()


def compile_track(track: Track, settings: CacheSettings) -> TrackFeatures:
    """Make all arrays of one track.

    Raises:
        ScoresepError: the track cannot be used; the message is the reason that the cache records.
    """
    return add_teacher([extract_features(track, settings)], settings)[0]


def extract_features(track: Track, settings: CacheSettings) -> TrackFeatures:
    """All of a track but the teacher's factors; raises as `compile_track` does."""
    if track.problem or track.omitted:
        raise NothingToDo(track.problem or track.omitted)
    content = load_track(track, settings)
    arrays = feature_arrays(content, settings)
    samples = len(content.mixture)
    row = {
        "id": track.id,
        "split": track.split,
        "uuid": track.uuid,
        "frames": len(arrays["magnitude"]),
        "samples": samples,
        "notes": len(arrays["notes"]),
        "templates": 0,
        "activations": 0,
        "level": level_of(content.mixture),
        "scale": add_audio(arrays, content),
        "active": active(content, arrays["roll"], settings.instruments),
    }
    notes = unused_notes(track.id, content.parts, samples / settings.grid.sample_rate)
    return TrackFeatures(arrays, row, content.findings, (*content.unused, *notes))


# From files


def load_track(track: Track, settings: CacheSettings) -> TrackContent:
    """Read all files of a track that the chosen instruments need.

    Raises:
        ScoresepError: a file cannot be read, files do not fit together, or nothing sounds.
    """
    content = load_recording(track, settings) if track.mixture else load_stems(track, settings)
    if not content.mixture.any():
        where = "" if track.mixture else "in the stems "
        raise NothingToDo(f"silent: no sound {where}of {', '.join(settings.names)}")
    remarks = (StemFinding(track.id, "", "metadata", track.remark),) * bool(track.remark)
    rates = rate_findings(track, open_recording(track.mixture).rate, settings.grid) if track.mixture else ()
    return replace(content, findings=(*remarks, *content.findings, *rates))


def load_recording(track: Track, settings: CacheSettings) -> TrackContent:
    """A recording and its one score, whose parts are grouped by track name or program, or its weak labels."""
    assert track.mixture
    parts: Parts = [[] for _ in settings.instruments]
    if track.labels:
        found = read_labelled(track, settings.instruments, settings.grid.sample_rate)
        return TrackContent(found.mixture, None, parts, (found.finding,), found.unused, found.labels)
    unclaimed, unscored = set(), 0
    aligned = read_aligned(track, settings.grid) if track.align else None
    for part in aligned.parts if aligned else track.load_parts():
        group = group_of(part.program, part.is_drum, settings.instruments, part.name)
        if group is None:
            unclaimed.add("drums" if part.is_drum else f"program {part.program}")
        elif settings.instruments[group].scored:
            parts[group].append(part)
        else:
            unscored += 1
    if unclaimed:
        names = ", ".join(sorted(unclaimed))
        raise InvalidValue(
            f"its score has parts of no chosen instrument ({names})", remedy="add 'other' to --instruments"
        )
    if not any(parts):
        raise NothingToDo(f"its score has no part of {', '.join(settings.names)}")
    unused = (Unused(track.id, "", unscored, NO_SCORE),) * bool(unscored)
    if aligned:
        return TrackContent(aligned.mixture, None, parts, (aligned.finding,), (*unused, *aligned.unused))
    mixture, _ = read_audio(track.mixture, settings.grid.sample_rate)
    return TrackContent(mixture, None, parts, unused=unused)


def load_stems(track: Track, settings: CacheSettings) -> TrackContent:
    """Stems by instrument, summed, and their parts; the mixture is the sum of all that is chosen."""
    groups = group_stems(track.stems, settings.instruments)
    reader = StemReader(track, settings)
    audio, parts = [], []
    for instrument, stems in zip(settings.instruments, groups, strict=True):
        total, group_parts = reader.read_group(stems, instrument.scored)
        audio.append(total)
        parts.append(group_parts)
    silence = np.zeros_like(next(total for total in audio if total is not None))
    stacked = np.stack([silence if total is None else total for total in audio])
    unused = unused_stems(track, groups, settings.instruments)
    return TrackContent(stacked.sum(axis=0), stacked, parts, tuple(reader.findings), unused)


def unused_stems(
    track: Track, groups: Sequence[Sequence[Stem]], instruments: Sequence[Instrument]
) -> tuple[Unused, ...]:
    """The stems of a track that are not in the mixture, and those whose score is not read, by reason."""
    grouped_stems = [stem for group in groups for stem in group]
    unscored = [group for group, instrument in zip(groups, instruments, strict=True) if not instrument.scored]
    names_of = {
        NO_GROUP: [stem.name for stem in track.stems if stem not in grouped_stems],
        NO_AUDIO: track.unheard,
        NO_SCORE: [stem.name for group in unscored for stem in group],
    }
    return tuple(Unused(track.id, " ".join(names), len(names), reason) for reason, names in names_of.items() if names)


def group_stems(stems: Sequence[Stem], instruments: Sequence[Instrument]) -> list[list[Stem]]:
    """The stems of each instrument; what none of them takes is left out of score and mixture."""
    groups: list[list[Stem]] = [[] for _ in instruments]
    for stem in stems:
        group = group_of(stem.program, stem.is_drum, instruments)
        if group is not None:
            groups[group].append(stem)
    if not any(groups):
        raise NothingToDo(f"has no stem of {', '.join(instrument.name for instrument in instruments)}")
    return groups


# Features


def feature_arrays(content: TrackContent, settings: CacheSettings) -> dict[str, np.ndarray]:
    """Magnitude, rolls, onsets, masks and notes, from mixture and score alone."""
    grid = settings.grid
    spectrum = half_magnitude(content.mixture, grid.n_fft, grid.hop)
    frames = len(spectrum)
    rolls = [rasterise(group, grid, frames) for group in content.parts]
    masks = [
        score_mask(instrument, group, settings, frames)
        for instrument, group in zip(settings.instruments, content.parts, strict=True)
    ]
    roll, onset = (np.stack(group, axis=1) for group in zip(*rolls, strict=True))
    arrays = {
        "magnitude": spectrum,
        "roll": pack(roll),
        "onset": pack(onset),
        "harmonic": np.stack(masks, axis=1),
        "notes": note_table(content.parts, len(content.mixture) / grid.sample_rate),
    }
    if settings.weak:
        arrays["weak"] = np.full((frames, len(masks)), SCORED, dtype=np.uint8)
    if content.labels is not None:
        add_labels(arrays, content.labels, settings)
    return arrays


def score_mask(instrument: Instrument, parts: Sequence[Part], settings: CacheSettings, frames: int) -> np.ndarray:
    """The bins in which an instrument may sound, by its score: packed bits (T, ceil(F / 8))."""
    name = mask_name(instrument)
    shapes = {"harmonic": settings.harmonic, "percussive": settings.percussive}
    with MASKS.running(name, f"the score of {instrument.name}"):
        return MASKS[name].make(parts, settings.grid, frames, shapes.get(name) or MASKS[name].settings())


def active(content: TrackContent, roll: np.ndarray, instruments: Sequence[Instrument]) -> np.ndarray:
    """Who plays in the track, bool (N,): by the score, or by the audio where there is no score but a stem."""
    scored = roll.any(axis=(0, 2))
    heard = scored if content.stems is None else content.stems.any(axis=1)
    unscored = [not instrument.scored for instrument in instruments]
    return np.where(unscored, True if content.stems is None else heard, scored)


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
    counts = {OFF_KEYBOARD: written - on_keys, ONE_NOTE: on_keys - len(onsets), TOO_LATE: late}
    return [Unused(track, "", count, reason) for reason, count in counts.items() if count]


def add_audio(arrays: dict[str, np.ndarray], content: TrackContent) -> float:
    """Put the audio into `arrays` as int16; returns the one factor that turns mixture and stems back to samples."""
    peak = max(
        1.0,
        *(float(max(values.max(), -values.min())) for values in (content.mixture, content.stems) if values is not None),
    )
    scale = peak / FULL_SCALE
    arrays["mixture"] = quantise(content.mixture, scale)
    if content.stems is not None:
        arrays["stems"] = np.stack([quantise(stem, scale) for stem in content.stems], axis=1)
    return scale


def quantise(samples: np.ndarray, scale: float) -> np.ndarray:
    """float32 samples as int16 multiples of `scale`, which is large enough for none to clip."""
    scaled = samples * np.float32(1.0 / scale)
    return np.rint(scaled, out=scaled).astype(np.int16)


# The teacher


def add_teacher(tracks: Sequence[TrackFeatures], settings: CacheSettings, device: str = "cpu") -> list[TrackFeatures]:
    """The same tracks with the teacher's factors, of mixtures and scores alone: all at once on a device.

    Raises:
        ScoresepError: there is no such device, or not enough memory on it.
    """
    if settings.teacher == "none":
        return list(tracks)
    device = device if device == "cpu" else str(choose_device(device))
    kinds, songs = [instrument.kind for instrument in settings.instruments], [scored_mixture(track) for track in tracks]
    if device == "cpu":
        factors = [factorise(*song[:2], kinds, settings.grid, song.onsets, settings.factorise) for song in songs]
    else:
        factors = factorise_on_device(songs, kinds, settings, device)
    return [with_factors(track, item) for track, item in zip(tracks, factors, strict=True)]


def scored_mixture(track: TrackFeatures) -> ScoredMixture:
    """What is to be explained of a track, and what its score says."""
    magnitude = track.arrays["magnitude"].astype(np.float32)
    magnitude /= np.float32(track.row["level"])
    rolls, onsets = (np.moveaxis(unpack(track.arrays[name], PITCHES), 0, 2) for name in ("roll", "onset"))
    if "weak" in track.arrays:  # what may sound is no score
        rolls &= (track.arrays["weak"] == SCORED).T[:, None]
    return ScoredMixture(magnitude.T, rolls, onsets)


def factorise_on_device(
    songs: Sequence[ScoredMixture], kinds: Sequence[str], settings: CacheSettings, device: str
) -> list[Factors]:
    """Factors of songs, found on a device; raises as `add_teacher` does."""
    from scoresep.nmf.batched import factorise_together

    try:
        return factorise_together(songs, kinds, settings.grid, settings.factorise, device)
    except RuntimeError as fault:  # of CUDA, out of memory included
        reason = first_line(fault)
        raise Failed(f"the teacher failed on {device} ({reason})", remedy="use --teacher-device cpu") from fault


def with_factors(track: TrackFeatures, factors: Factors) -> TrackFeatures:
    """A track with the rows of the datasets `schema.FACTORS`."""
    stored = factors.half()
    arrays = {
        "template": stored.templates,
        "template_of": np.stack([stored.instrument, stored.pitch], axis=1).astype(np.int16),
        "component": stored.component,
        "activation": stored.activation,
        "activation_end": stored.first[1:].astype(np.uint32),
    }
    counts = {"templates": len(stored.templates), "activations": len(stored.activation)}
    return replace(track, arrays=track.arrays | arrays, row=track.row | counts)
