"""The stems of a track: decoded once, compared with their scores, summed by instrument."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scoresep.audio.loading import fit, read_audio, resample
from scoresep.cache.schema import CacheSettings, StemFinding
from scoresep.datasets.base import Stem, Track
from scoresep.errors import Damaged, Mismatch
from scoresep.grid import Grid
from scoresep.score.parts import Part
from scoresep.score_check import check_stem

LENGTH_TOLERANCE = 0.05
"""Seconds by which the stems of a track may differ in length: more means that one of them is cut or foreign."""
UNUSABLE = ("silent",)
"""Findings of the score check that leave a track out whatever the settings say: its labels would all be wrong."""


class StemReader:
    """Reads the stems of one track, and holds each to the rate and length of the first.

    Attributes:
        findings: stems read so far that contradict their score.
    """

    def __init__(self, track: Track, settings: CacheSettings) -> None:
        self._track, self._settings = track, settings
        self._first: tuple[int, int] | None = None
        self.findings: list[StemFinding] = []

    def read_group(self, stems: Sequence[Stem], scored: bool) -> tuple[np.ndarray | None, list[Part]]:
        """The sum of some stems at the grid's rate, float32 (L,) or None if there are none, and their parts.

        Stems are summed before they are resampled: once a group.
        """
        total: np.ndarray | None = None
        parts: list[Part] = []
        for stem in stems:
            stem_parts = stem.load_parts() if scored else []
            samples = self._read(stem)
            if scored and self._settings.score_check != "off":
                self._check(stem, samples, stem_parts)
            parts += stem_parts
            total = samples if total is None else np.add(total, samples, out=total)
        if total is None:
            return None, parts
        assert self._first
        return resample(total, self._first[0], self._settings.grid.sample_rate), parts

    def _read(self, stem: Stem) -> np.ndarray:
        samples, rate = read_audio(stem.audio, channels=1)
        if self._first is None:
            self._first = rate, len(samples)
            self.findings += rate_findings(self._track, rate, self._settings.grid)
        expected_rate, length = self._first
        if rate != expected_rate:
            raise Mismatch(f"stem {stem.name} has another rate ({rate} Hz) than the others ({expected_rate} Hz)")
        if abs(len(samples) - length) > LENGTH_TOLERANCE * rate:
            seconds = f"{len(samples) / rate:.2f} s, the others {length / rate:.2f} s"
            raise Mismatch(f"stem {stem.name} has another length ({seconds})")
        return fit(samples, length)

    def _check(self, stem: Stem, samples: np.ndarray, parts: Sequence[Part]) -> None:
        """Compare a stem with its score; raises Damaged if it is silent, or at odds with it and the settings say so."""
        assert self._first
        for finding in check_stem(samples, self._first[0], parts, stem.is_drum):
            if finding.kind in UNUSABLE or self._settings.score_check == "exclude":
                raise Damaged(f"stem {stem.name} {finding.detail}")
            self.findings.append(StemFinding(self._track.id, stem.name, finding.kind, finding.detail))


def rate_findings(track: Track, rate: int, grid: Grid) -> tuple[StemFinding, ...]:
    """That a track's audio ends below the grid's highest frequency, if it does."""
    detail = f"its audio has {rate} Hz: the grid, {grid}, is empty above {rate / 2:g} Hz"
    return (StemFinding(track.id, "", "rate", detail),) * (rate < grid.sample_rate)
