"""How far an alignment can be trusted, without knowing the truth.

A piece is believed if its score fits better than the same played backwards, which has the same notes and chords, if its
frames are like the recording's where its notes are heard, and if all ways that were followed put them there. A bar is
believed if they put it at the same moment, if its notes are heard to begin there, and if its tempo is that of the bars
next to it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import median_filter
from scipy.special import expit

from scoresep.alignment.features import AudioFeatures, NoteTable, directions, score_pitch
from scoresep.alignment.placing import Placement
from scoresep.alignment.refining import Heard, carried

SUPPORT = (3.0, 1.0, -4.0)
"""By how much each counts for a score: its evidence, its likeness to the recording, and the seconds between ways."""
LEAST_SUPPORT, LEAST_OF_PART, ENOUGH = 0.36, 0.24, 75.0
"""Support below which a score, or one part alone, which explains little of what sounds, is of something else
(docs/research/alignment.md), where the recording lasts so many seconds; in less, more is due to chance."""
BELIEF = (2.9, -32.5, -18.9, -10.4)
"""Logistic regression of whether a bar is in place: a constant, and by how much its odds fall (logarithm) with each
second between the ways, with less than the piece's usual share of surely heard beginnings, and with unevenness."""
MOST_DISAGREEMENT, MOST_UNEVEN = 0.3, 0.5
"""More seconds between the ways, and more unevenness, count as so many."""
TRUSTED = 0.5
"""Least confidence of a bar that is trusted."""
BAR_SECONDS = 2.0
"""Length of a bar where the score tells none."""


@dataclass(frozen=True)
class Bar:
    """A bar as it is played.

    Attributes:
        number: of the score, from 1.
        begin, end: seconds of the recording.
        notes: how many begin in it.
        confidence: 0 to 1.
    """

    number: int
    begin: float
    end: float
    notes: int
    confidence: float

    @property
    def trusted(self) -> bool:
        return self.confidence >= TRUSTED

    def to_dict(self) -> dict[str, object]:
        return {
            "bar": self.number,
            "begin": round(self.begin, 3),
            "end": round(self.end, 3),
            "notes": self.notes,
            "confidence": round(self.confidence, 3),
            "trusted": self.trusted,
        }


def spans_of(bars: Iterable[Bar]) -> list[tuple[float, float]]:
    """The stretches of the recording that some bars, in order, take up: seconds from and to, joined where they meet."""
    spans: list[tuple[float, float]] = []
    for bar in bars:
        if spans and bar.begin <= spans[-1][1] + 1e-3:
            spans[-1] = (spans[-1][0], max(spans[-1][1], bar.end))
        else:
            spans.append((bar.begin, bar.end))
    return spans


def least_support(seconds: float, alone: bool) -> float:
    """The support that a score, or one part alone, needs to be of a recording of this length."""
    return (LEAST_OF_PART if alone else LEAST_SUPPORT) * max(1.0, math.sqrt(ENOUGH / seconds))


def support_of(audio: AudioFeatures, found: Heard, evidence: float) -> float:
    """How much speaks for a score to be of this recording, from where its notes are heard and the evidence of its
    placement; 0 if none are."""
    if not len(found.notes):
        return 0.0
    written = score_pitch(found.notes, len(audio.pitch))
    plays = written.any(axis=1)
    alike = (directions(audio.pitch) * directions(written)).sum(axis=1)[plays]
    apart = np.minimum(found.apart, MOST_DISAGREEMENT).mean()
    return float(np.dot(SUPPORT, (evidence, alike.mean() if len(alike) else 0.0, apart)))


def bars_of(
    roughly: NoteTable, found: Heard, placement: Placement, bar_lines: np.ndarray, seconds: float
) -> tuple[Bar, ...]:
    """The bars of all stretches, with their confidence.

    Args:
        roughly, found: the notes as they were placed, and where they are heard.
        bar_lines: of the score, float64 (J,), seconds.
        seconds: length of the recording.
    """
    moments, off = found.notes.onset, np.minimum(found.apart, MOST_DISAGREEMENT)
    bars = []
    for stretch in placement.stretches:
        numbers, edges = _edges(stretch.score, bar_lines)
        times = carried(stretch.at(edges), found.notes, roughly)
        times = np.maximum.accumulate(np.clip(times, 0.0, seconds))
        uneven = _unevenness(np.diff(times), np.diff(edges))
        for number, begin, end, pace in zip(numbers, times[:-1], times[1:], uneven, strict=True):
            inside = (moments >= begin) & (moments < end)
            if end > begin:
                believed = 1.0
                if inside.any():
                    unsure = found.surely.mean() - found.surely[inside].mean()
                    believed = float(expit(np.dot(BELIEF, (1.0, off[inside].mean(), unsure, pace))))
                bars.append(Bar(int(number), float(begin), float(end), int(inside.sum()), believed))
    return tuple(bars)


def _unevenness(played: np.ndarray, written: np.ndarray) -> np.ndarray:
    """Difference, float64, between the logarithm of each bar's tempo and the median of the four next to it, by the
    seconds that bars last in recording and score; at most `MOST_UNEVEN`."""
    pace = np.log(np.maximum(played, 0.05) / np.maximum(written, 0.05))
    usual = median_filter(pace, footprint=np.array([1, 1, 0, 1, 1]), mode="reflect")
    uneven: np.ndarray = np.minimum(np.abs(pace - usual), MOST_UNEVEN)
    return uneven


def _edges(score: np.ndarray, bar_lines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the bars of a stretch of the score, from 1, and their edges in seconds."""
    first, last = float(score[0]), float(score[-1])
    lines = bar_lines if len(bar_lines) > 1 else np.arange(0.0, last + BAR_SECONDS, BAR_SECONDS)
    inner = lines[(lines > first + 0.05) & (lines < last - 0.05)]
    edges = np.concatenate([[first], inner, [last]])
    return np.searchsorted(lines, edges[:-1] + 0.06, side="right"), edges


def piece_confidence(bars: Sequence[Bar]) -> float:
    """Mean of the bars' confidence, weighted by their lengths; 0 without bars."""
    length = np.array([bar.end - bar.begin for bar in bars])
    return float(np.average([bar.confidence for bar in bars], weights=length)) if length.sum() > 0 else 0.0
