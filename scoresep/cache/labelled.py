"""A recording with weak labels instead of a score: what is known of each instrument, and what may sound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from scoresep.audio.loading import read_audio
from scoresep.cache.schema import NO_SCORE, CacheSettings, StemFinding, Unused, pack
from scoresep.datasets.base import Track
from scoresep.errors import InvalidValue
from scoresep.instruments import Instrument, group_named
from scoresep.masks.harmonic import harmonic_mask
from scoresep.masks.table import everywhere, mask_name
from scoresep.score.parts import part_from_notes
from scoresep.score.weak_labels import ABSENT, FIRST_SET, Stretch, known_in, read_weak_labels

Labels = list[list[Stretch]]
"""The stretches of each instrument."""


class LabelledRecording(NamedTuple):
    """A recording, float32 (L,) at the grid's rate, its labels, a finding for the report, labels that are not used."""

    mixture: np.ndarray
    labels: Labels
    finding: StemFinding
    unused: tuple[Unused, ...]


def read_labelled(track: Track, instruments: Sequence[Instrument], sample_rate: int) -> LabelledRecording:
    """Read a recording and its weak labels.

    Raises:
        ScoresepError: they cannot be read, name an instrument that is not chosen, or the track is not for training.
    """
    assert track.mixture and track.labels
    if track.split != "train":
        raise InvalidValue(f"weak labels are of no use to {track.split}", remedy="make it a training track")
    labels: Labels = [[] for _ in instruments]
    unscored: dict[str, int] = {}
    for stretch in read_weak_labels(track.labels):
        group = group_named(stretch.instrument, instruments)
        if group is None:
            problem = f"its labels name '{stretch.instrument}', which is not among the chosen instruments"
            raise InvalidValue(problem, remedy="add 'other' to --instruments")
        labels[group].append(stretch)
        if not instruments[group].scored:
            unscored[stretch.instrument] = unscored.get(stretch.instrument, 0) + 1
    mixture, _ = read_audio(track.mixture, sample_rate)
    detail = "weak labels instead of a score"
    if not any(each.known != ABSENT and each.begin < len(mixture) / sample_rate for own in labels for each in own):
        detail += ", by which nobody plays"
    finding = StemFinding(track.id, "", "labels", detail)
    unused = tuple(Unused(track.id, name, count, NO_SCORE) for name, count in unscored.items())
    return LabelledRecording(mixture, labels, finding, unused)


def add_labels(arrays: dict[str, np.ndarray], labels: Labels, settings: CacheSettings) -> None:
    """Put into a track's `arrays` what is known of each instrument, and the keys and bins that may sound."""
    grid, frames = settings.grid, len(arrays["weak"])
    for n, (own, instrument) in enumerate(zip(labels, settings.instruments, strict=True)):
        if not instrument.scored:
            continue
        known, roll = known_in(own, grid, frames)
        mask = everywhere((), grid, frames) * roll.max(axis=1, keepdims=True)
        if mask_name(instrument) == "harmonic":
            notes = part_from_notes([(each.begin, each.end, pitch, 1) for each in own for pitch in each.pitches])
            of_sets = harmonic_mask([notes], grid, frames, settings.harmonic)
            mask = np.where(known[:, None] >= FIRST_SET, of_sets, mask)
        arrays["weak"][:, n], arrays["roll"][:, n], arrays["harmonic"][:, n] = known, pack(roll), mask
