"""How far an alignment can be trusted, without knowing the truth.

A piece is believed if its score fits clearly better than the same played backwards, which has the same notes and
chords, the more clearly the less its bars are believed. A bar is believed if another path, which goes more by harmony
and less by onsets, puts it at the same moment, and if its notes are heard to begin there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from scoresep.alignment.features import AudioFeatures, NoteTable
from scoresep.alignment.placing import Placement
from scoresep.alignment.refining import ONSET_WEIGHT, carried, events_of, followed, heard_onsets

LEAST_EVIDENCE, ENOUGH = 0.06, 60.0
"""Difference in the mean cost of a frame below which a score is of something else (docs/research/alignment.md), where
the recording lasts so many seconds; the less it lasts, the more is due to chance."""
LEAST_SUPPORT = 0.03
"""The same of the product of evidence and confidence."""
HARMONY = 0.25
"""Share of `ONSET_WEIGHT` by which the other path goes."""
DISAGREEMENT, MOST_DISAGREEMENT = 0.1, 0.3
"""Seconds between the paths at which confidence is 37 %; more than the latter count as so many."""
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


def least_evidence(seconds: float) -> float:
    """The evidence that a recording of this length needs."""
    return LEAST_EVIDENCE * max(1.0, math.sqrt(ENOUGH / seconds))


def least_support(seconds: float) -> float:
    """The product of evidence and confidence that a recording of this length needs."""
    return LEAST_SUPPORT / LEAST_EVIDENCE * least_evidence(seconds)


def bars_of(
    audio: AudioFeatures, roughly: NoteTable, final: NoteTable, placement: Placement, bar_lines: np.ndarray
) -> tuple[Bar, ...]:
    """The bars of all stretches, with the confidence that other paths leave them.

    Args:
        roughly, final: the notes as they were placed, and where they are found to sound.
        bar_lines: of the score, float64 (J,), seconds.
    """
    if not len(final):
        return ()
    other = np.sort(followed(audio, roughly, placement.likeness, HARMONY * ONSET_WEIGHT).onset)
    moments = np.sort(final.onset)
    off = np.minimum(np.abs(other - moments), MOST_DISAGREEMENT)
    events = events_of(final)
    surely = heard_onsets(audio, final, events)
    heard = surely[:, surely.shape[1] // 2][events.of]
    bars = []
    for stretch in placement.stretches:
        numbers, edges = _edges(stretch.score, bar_lines)
        times = carried(stretch.at(edges), final, roughly)
        times = np.maximum.accumulate(np.clip(times, 0.0, audio.seconds))
        for number, begin, end in zip(numbers, times[:-1], times[1:], strict=True):
            inside = (moments >= begin) & (moments < end)
            if end > begin:
                believed = _confidence(off[inside], heard[inside])
                bars.append(Bar(int(number), float(begin), float(end), int(inside.sum()), believed))
    return tuple(bars)


def _confidence(off: np.ndarray, heard: np.ndarray) -> float:
    """Of the seconds by which the notes of a bar differ between paths, and of how surely they are heard to begin; a bar
    without notes is believed."""
    return float(np.exp(-off.mean() / DISAGREEMENT) * min(heard.mean(), 1.0)) if len(off) else 1.0


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
