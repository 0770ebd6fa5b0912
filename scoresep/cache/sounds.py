"""The audio and the parts of one track, read from its files and grouped by instrument.
Each file is decoded or parsed once, one stem in memory at a time. There are two kinds of track: stems with a score
each, whose sum is the mixture, or one recording with one score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scoresep.audio.loading import fit, read_audio, resample
from scoresep.cache.schema import NO_AUDIO, NO_GROUP, NO_SCORE, CacheSettings, StemFinding, Unused
from scoresep.datasets.base import Stem, Track
from scoresep.errors import ScoresepError
from scoresep.instruments import Instrument, group_of
from scoresep.score.parts import Part, read_midi
from scoresep.score_check import check_stem

LENGTH_TOLERANCE = 0.05
"""Seconds by which the stems of a track may differ in length: more means that one of them is cut or foreign."""
UNUSABLE = ("silent",)
"""Findings of the score check that leave a track out whatever the settings say: its labels would all be wrong."""

Parts = list[list[Part]]
"""The parts of each instrument, at their sounding pitch."""


@dataclass(frozen=True)
class Sounds:
    """What a track's files hold.

    Attributes:
        mixture: float32 (L,) at the grid's rate.
        stems: float32 (N, L), or None where only the mixture is known.
        parts: by instrument; none for what has no score.
        findings: stems that contradict their score.
        unused: stems and parts that are in none of these.
    """

    mixture: np.ndarray
    stems: np.ndarray | None
    parts: Parts
    findings: tuple[StemFinding, ...] = ()
    unused: tuple[Unused, ...] = ()


def read_sounds(track: Track, settings: CacheSettings) -> Sounds:
    """Read all files of a track that the chosen instruments need.

    Raises:
        ScoresepError: a file cannot be read, files do not fit together, or nothing sounds.
    """
    sounds = read_recording(track, settings) if track.mixture else read_stems(track, settings)
    if not sounds.mixture.any():
        raise ScoresepError(
            f"silent: no sound {'' if track.mixture else 'in the stems '}of {', '.join(settings.names)}"
        )
    return sounds


def read_recording(track: Track, settings: CacheSettings) -> Sounds:
    """A recording and its one score, whose parts are grouped by track name or program."""
    assert track.mixture and track.score
    parts: Parts = [[] for _ in settings.instruments]
    unclaimed, unscored = set(), 0
    for part in read_midi(track.score):
        group = group_of(part.program, part.is_drum, settings.instruments, part.name)
        if group is None:
            unclaimed.add("drums" if part.is_drum else f"program {part.program}")
        elif settings.instruments[group].scored:
            parts[group].append(part)
        else:
            unscored += 1
    if unclaimed:
        names = ", ".join(sorted(unclaimed))
        raise ScoresepError(f"its score has parts of no chosen instrument ({names}); add 'other' to --instruments")
    if not any(parts):
        raise ScoresepError(f"its score has no part of {', '.join(settings.names)}")
    mixture, _ = read_audio(track.mixture, settings.grid.sample_rate)
    return Sounds(mixture, None, parts, unused=(Unused(track.id, "", unscored, NO_SCORE),) * bool(unscored))


def read_stems(track: Track, settings: CacheSettings) -> Sounds:
    """Stems by instrument, summed, and their parts; the mixture is the sum of all that is chosen."""
    groups = grouped(track.stems, settings.instruments)
    reader = StemReader(track, settings)
    audio, parts = [], []
    for instrument, stems in zip(settings.instruments, groups, strict=True):
        total, score = reader.read_group(stems, instrument.scored)
        audio.append(total)
        parts.append(score)
    silence = np.zeros(reader.samples, dtype=np.float32)
    stacked = np.stack([silence if total is None else total for total in audio])
    remark = [StemFinding(track.id, "", "metadata", track.remark)] if track.remark else []
    unused = unused_stems(track, groups, settings.instruments)
    return Sounds(stacked.sum(axis=0), stacked, parts, (*remark, *reader.findings), unused)


def unused_stems(
    track: Track, groups: Sequence[Sequence[Stem]], instruments: Sequence[Instrument]
) -> tuple[Unused, ...]:
    """The stems of a track that are not in the mixture, and those whose score is not read, by reason."""
    grouped_stems = [stem for group in groups for stem in group]
    unscored = [group for group, instrument in zip(groups, instruments, strict=True) if not instrument.scored]
    found = {
        NO_GROUP: [stem.name for stem in track.stems if stem not in grouped_stems],
        NO_AUDIO: track.unheard,
        NO_SCORE: [stem.name for group in unscored for stem in group],
    }
    return tuple(Unused(track.id, " ".join(names), len(names), reason) for reason, names in found.items() if names)


def grouped(stems: Sequence[Stem], instruments: Sequence[Instrument]) -> list[list[Stem]]:
    """The stems of each instrument; what none of them takes is left out of score and mixture."""
    groups: list[list[Stem]] = [[] for _ in instruments]
    for stem in stems:
        group = group_of(stem.program, stem.is_drum, instruments)
        if group is not None:
            groups[group].append(stem)
    if not any(groups):
        raise ScoresepError(f"has no stem of {', '.join(instrument.name for instrument in instruments)}")
    return groups


class StemReader:
    """Reads the stems of one track, and holds each to the rate and length of the first.

    Attributes:
        findings: stems read so far that contradict their score.
    """

    def __init__(self, track: Track, settings: CacheSettings) -> None:
        self._track, self._settings = track, settings
        self._first: tuple[int, int] | None = None
        self.findings: list[StemFinding] = []

    @property
    def samples(self) -> int:
        """L: length of the track at the grid's rate."""
        assert self._first
        rate, length = self._first
        return -(-length * self._settings.grid.sample_rate // rate)

    def read_group(self, stems: Sequence[Stem], scored: bool) -> tuple[np.ndarray | None, list[Part]]:
        """The sum of some stems at the grid's rate, float32 (L,) or None if there are none, and their parts.

        Stems are summed before they are resampled: once a group.
        """
        total: np.ndarray | None = None
        parts: list[Part] = []
        for stem in stems:
            own = stem_parts(stem) if scored else []
            samples = self._read(stem)
            if scored and self._settings.score_check != "off":
                self._check(stem, samples, own)
            parts += own
            total = samples if total is None else np.add(total, samples, out=total)
        if total is None:
            return None, parts
        assert self._first
        return resample(total, self._first[0], self._settings.grid.sample_rate), parts

    def _read(self, stem: Stem) -> np.ndarray:
        samples, rate = read_audio(stem.audio, channels=1)
        self._first = self._first or (rate, len(samples))
        expected_rate, length = self._first
        if rate != expected_rate:
            raise ScoresepError(f"stem {stem.name} has another rate ({rate} Hz) than the others ({expected_rate} Hz)")
        if abs(len(samples) - length) > LENGTH_TOLERANCE * rate:
            seconds = f"{len(samples) / rate:.2f} s, the others {length / rate:.2f} s"
            raise ScoresepError(f"stem {stem.name} has another length ({seconds})")
        return fit(samples, length)

    def _check(self, stem: Stem, samples: np.ndarray, parts: Sequence[Part]) -> None:
        """Compare a stem with its score; what was found leaves the track out if it is silent or the settings say so."""
        assert self._first
        for finding in check_stem(samples, self._first[0], parts, stem.is_drum):
            if finding.kind in UNUSABLE or self._settings.score_check == "exclude":
                raise ScoresepError(f"stem {stem.name} {finding.detail}")
            self.findings.append(StemFinding(self._track.id, stem.name, finding.kind, finding.detail))


def stem_parts(stem: Stem) -> list[Part]:
    """The parts of a stem at their sounding pitch."""
    if stem.score is None:
        raise ScoresepError(f"stem {stem.name} has audio but no MIDI file")
    return [part.transposed(stem.transpose) for part in read_midi(stem.score)]
