"""Roughly where a score is in a recording: key, tempo, and the stretches of it that are played, in their order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from scoresep.alignment.features import (
    BANDS,
    FRAME_RATE,
    AudioFeatures,
    NoteTable,
    directions,
    pooled,
    score_pitch,
)
from scoresep.alignment.path import OUTSIDE, Moves, follow, mean_by

TRANSPOSITIONS = tuple(range(-6, 7))
"""Semitones that are tried."""
TEMPI = (0.7, 1.0, 1.4)
"""Ratios of the score's length to the recording's that are tried, besides that of the two lengths."""
KEY_RATE, PLACE_RATE = 1.0, 2.0
"""Frames a second in which the key and then the place are looked for; fewer in what is long."""
MOST_CELLS = {KEY_RATE: 2**21, PLACE_RATE: 2**24}
"""Pairs of frames that are compared at once: bounds memory and time of hours."""
UNLIKE, ALIKE, OUTSIDE_NOISE = 0.5, 0.65, 0.5
"""Shares of the usual cosine with the frame of the score that is most alike, below which a frame is noise that costs as
much as the latter outside of the score, and from which on it costs the usual."""
SHORTEST = 2.0
"""Seconds of a stretch that counts."""
JUMP_SECONDS = 2.0
"""A jump costs as much as so many seconds of unrelated music."""
OVERHANG = 1.5
"""Seconds by which a stretch that nothing follows may be longer than was found."""
ROUGH = 0.8
"""Seconds by which rough placements are usually off, at most."""
SEAM_RATE, SEAM_REACH = 10.0, 5.0
"""Frames a second, and seconds to both sides, in which the moment of a jump is looked for."""


@dataclass(frozen=True)
class Stretch:
    """A stretch of the score that is played without a jump.

    Attributes:
        audio, score: float64 (K,), seconds, both rising: moments of recording and score that belong together.
    """

    audio: np.ndarray
    score: np.ndarray

    def at(self, score: np.ndarray) -> np.ndarray:
        """Moments of the recording for some of the score, float64; beyond the ends at the stretch's mean tempo."""
        return _extrapolated(score, self.score, self.audio)

    def written(self, audio: np.ndarray) -> np.ndarray:
        """The reverse of `at`."""
        return _extrapolated(audio, self.audio, self.score)


@dataclass(frozen=True)
class Placement:
    """Where a score is in a recording.

    Attributes:
        stretches: in the order in which they are played.
        transposition: semitones from the written to the sounding pitch.
        evidence: how much less a frame costs than with the score played backwards, which is as good as any wrong one.
        cost: mean cost of a frame, jumps included.
        heard: share of the recording's sounding frames that the stretches cover.
        likeness: see `likeness_of`; low where the score has but a part of what sounds.
    """

    stretches: tuple[Stretch, ...]
    transposition: int
    evidence: float
    cost: float
    heard: float
    likeness: float


@dataclass(frozen=True)
class Written:
    """The energies of a score, at its own tempo, at FRAME_RATE: float32 (T, BANDS), and its length in seconds."""

    pitch: np.ndarray
    seconds: float

    @classmethod
    def of(cls, notes: NoteTable) -> Written:
        seconds = float(notes.offset.max(initial=0.0))
        return cls(score_pitch(notes, int(seconds * FRAME_RATE) + 1), seconds)

    def rows(self, rate: float, tempo: float, transposition: int) -> np.ndarray:
        """`directions` of the score as it is at so many times its length, at `rate` frames a second."""
        return directions(shifted(pooled(self.pitch, rate * tempo), transposition))


def place(audio: AudioFeatures, notes: NoteTable, bar_lines: np.ndarray) -> Placement:
    """Find the stretches of a score that a recording holds.

    Args:
        bar_lines: seconds at which the score's bars begin, float64; jumps are expected there. May be empty.
    """
    written = Written.of(notes)
    ratio = audio.seconds / max(written.seconds, 1.0)
    tempi = sorted({*TEMPI, *([ratio] if 0.3 < ratio < 3.0 else [])})
    best, transposition, tempo = cheapest(audio, written, tempi, backwards=False)
    worst, _, _ = cheapest(audio, written, tempi, backwards=True)
    rate = rate_for(PLACE_RATE, audio.seconds, written.seconds * tempo)
    heard = directions(pooled(audio.pitch, rate))
    moves = Moves(jump=JUMP_SECONDS * rate)
    for _ in range(2):  # again at the tempo that was found
        alike = heard @ written.rows(rate, tempo, transposition).T
        places, cost = follow(1.0 - alike, moves, outside_costs(alike, moves.outside))
        stretches = stretches_of(places, rate, tempo)
        found = mean_tempo(stretches)
        if not stretches or 0.85 < found / tempo < 1.18:
            break
        tempo = found
    covered = covered_share(places, audio, rate)
    joined = with_seams(audio, written, stretches, transposition, bar_lines)
    return Placement(tuple(joined), transposition, worst - best, cost, covered, likeness_of(alike))


def outside_costs(alike: np.ndarray, usual: float) -> np.ndarray:
    """What each frame of the recording costs that is not in the score, float32 (N,): less, the less it is like any of
    the score, by the cosines of all pairs (N, M), as noise and applause are."""
    best = gaussian_filter1d(alike.max(axis=1), 1.0)
    share = best / max(float(np.median(best)), 1e-6)
    costs: np.ndarray = np.interp(share, (UNLIKE, ALIKE), (OUTSIDE_NOISE, usual)).astype(np.float32)
    return costs


def likeness_of(alike: np.ndarray) -> float:
    """Mean cosine of the frames of a recording with those of the score that match best, by all pairs (N, M)."""
    return float(alike.max(axis=1).mean())


def cheapest(
    audio: AudioFeatures, written: Written, tempi: Sequence[float], backwards: bool
) -> tuple[float, int, float]:
    """The lowest mean cost over transpositions and tempi, with both."""
    longest = written.seconds * max(tempi)
    rate = rate_for(KEY_RATE, audio.seconds, longest)
    heard = directions(pooled(audio.pitch, rate))
    moves = Moves(jump=JUMP_SECONDS * rate)
    trials = []
    for tempo in tempi:
        score = pooled(written.pitch, rate * tempo)[:: -1 if backwards else 1]
        for transposition in TRANSPOSITIONS:
            rows = directions(shifted(score, transposition))
            _, cost = follow(1.0 - heard @ rows.T, moves)
            trials.append((cost, transposition, tempo))
    return min(trials, key=lambda trial: (trial[0], abs(trial[1])))


def rate_for(rate: float, *seconds: float) -> float:
    """`rate`, or a lower one at which two signals of these lengths have no more pairs of frames than are allowed."""
    return min(rate, math.sqrt(MOST_CELLS[rate] / math.prod(max(length, 1.0) for length in seconds)))


def shifted(pitch: np.ndarray, semitones: int) -> np.ndarray:
    """Energies (T, BANDS) so many semitones higher."""
    moved = np.zeros_like(pitch)
    low, high = max(semitones, 0), BANDS + min(semitones, 0)
    moved[:, low:high] = pitch[:, low - semitones : high - semitones]
    return moved


def stretches_of(places: np.ndarray, rate: float, tempo: float) -> list[Stretch]:
    """The stretches in which the places (N,) rise frame by frame, those that are too short left out."""
    step = np.diff(places)
    breaks = np.flatnonzero((step < 0) | (step > 3) | (places[1:] == OUTSIDE) | (places[:-1] == OUTSIDE)) + 1
    stretches = []
    for run in np.split(np.arange(len(places)), breaks):
        if places[run[0]] == OUTSIDE or len(run) < max(SHORTEST * rate, 2):
            continue
        met, middle = mean_by(places[run], run)
        if len(met) < 2:
            continue
        stretches.append(Stretch((_smooth(middle) + 0.5) / rate, (met + 0.5) / (rate * tempo)))
    return stretches


def _smooth(values: np.ndarray, reach: int = 2) -> np.ndarray:
    """Moving average whose window shrinks at both ends."""
    if len(values) < 3:
        return values
    total = np.append(0.0, np.cumsum(values))
    place = np.arange(len(values))
    width = np.minimum(np.minimum(place, place[::-1]), reach)
    smooth: np.ndarray = (total[place + width + 1] - total[place - width]) / (2 * width + 1)
    return smooth


def mean_tempo(stretches: Sequence[Stretch]) -> float:
    """The ratio of the recording's to the score's seconds in all stretches."""
    audio = sum(float(stretch.audio[-1] - stretch.audio[0]) for stretch in stretches)
    score = sum(float(stretch.score[-1] - stretch.score[0]) for stretch in stretches)
    return audio / score if score > 0 and audio > 0 else 1.0


def covered_share(places: np.ndarray, audio: AudioFeatures, rate: float) -> float:
    """The share of the frames that sound that lie in the score."""
    energy = pooled(np.expm1(audio.pitch).sum(axis=1, keepdims=True), rate)[:, 0]
    heard = sounds(energy)
    return float((places[heard] != OUTSIDE).mean()) if heard.any() else 0.0


def sounds(energy: np.ndarray) -> np.ndarray:
    """Whether frames sound: their energies (T,) are above a thirtieth of the mean."""
    loud: np.ndarray = energy > 0.03 * energy.mean()
    return loud


def first_after(sound: np.ndarray, moment: float) -> float:
    """The first of the moments that sound, ascending, from `moment` on, less what a rough placement may be off."""
    place = int(np.searchsorted(sound, moment))
    return float(max(moment, sound[place] - ROUGH)) if place < len(sound) else moment


# Jumps


def with_seams(
    audio: AudioFeatures, written: Written, stretches: Sequence[Stretch], transposition: int, bar_lines: np.ndarray
) -> list[Stretch]:
    """The stretches, each from the moment at which the one before ends, or with some overhang where none is near."""
    if not stretches:
        return []
    heard = directions(pooled(audio.pitch, SEAM_RATE))
    rows = written.rows(SEAM_RATE, 1.0, transposition)
    sound = np.flatnonzero(sounds(np.expm1(audio.pitch).sum(axis=1))) / FRAME_RATE
    begin = [first_after(sound, float(stretch.audio[0]) - OVERHANG) for stretch in stretches]
    end = [-first_after(-sound[::-1], -float(stretch.audio[-1]) - OVERHANG) for stretch in stretches]
    for k in range(len(stretches) - 1):
        one, two = stretches[k], stretches[k + 1]
        if two.audio[0] - one.audio[-1] < 2 * OVERHANG:
            end[k] = begin[k + 1] = seam(heard, rows, one, two, bar_lines)
    return [cut(*each, written.seconds) for each in zip(stretches, begin, end, strict=True)]


def seam(heard: np.ndarray, rows: np.ndarray, one: Stretch, two: Stretch, bar_lines: np.ndarray) -> float:
    """The moment of the recording at which it leaves one stretch for the other: where both together cost least, and,
    of those that cost about the same, where bars of both begin."""
    middle = (one.audio[-1] + two.audio[0]) / 2
    low = max(middle - SEAM_REACH, (one.audio[0] + one.audio[-1]) / 2)
    high = min(middle + SEAM_REACH, (two.audio[0] + two.audio[-1]) / 2)
    first, last = max(int(low * SEAM_RATE), 0), min(int(high * SEAM_RATE) + 1, len(heard))
    times = (np.arange(first, last) + 0.5) / SEAM_RATE
    if len(times) < 2:
        return float(middle)
    costs = []
    for stretch in (one, two):
        at = (stretch.written(times) * SEAM_RATE).astype(np.int64)
        inside = (at >= 0) & (at < len(rows))
        alike = (heard[first:last] * rows[np.clip(at, 0, len(rows) - 1)]).sum(axis=1)
        costs.append(np.where(inside, 1.0 - alike, 1.2))
    total = np.append(0.0, np.cumsum(costs[0])) + np.append(0.0, np.cumsum(costs[1][::-1]))[::-1]
    moments = np.append(times - 0.5 / SEAM_RATE, times[-1] + 0.5 / SEAM_RATE)
    off = bar_distance(one.written(moments), bar_lines) + bar_distance(two.written(moments), bar_lines)
    return float(moments[np.argmin(total + np.minimum(4.0 * off, 3.0))])


def bar_distance(moments: np.ndarray, bar_lines: np.ndarray) -> np.ndarray:
    """Seconds from each moment of the score to the nearest bar line, float64; 0 where there are no bars."""
    if len(bar_lines) < 2:
        return np.zeros(len(moments))
    after = np.clip(np.searchsorted(bar_lines, moments), 1, len(bar_lines) - 1)
    nearest: np.ndarray = np.minimum(np.abs(moments - bar_lines[after - 1]), np.abs(bar_lines[after] - moments))
    return nearest


def cut(stretch: Stretch, begin: float, end: float, length: float) -> Stretch:
    """The stretch from `begin` to `end` of the recording, as far as the score of this length goes."""
    low, high = np.clip(stretch.written(np.array([begin, end])), 0.0, length)
    inside = (stretch.score > low) & (stretch.score < high)
    score = np.concatenate([[low], stretch.score[inside], [max(high, low + 1e-3)]])
    return Stretch(np.maximum.accumulate(stretch.at(score)), score)


def _extrapolated(at: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Linear interpolation that goes on, beyond both ends, at the slope of the five nearest seconds."""
    values: np.ndarray = np.interp(at, x, y)
    for end, beyond in ((0, at < x[0]), (-1, at > x[-1])):
        inner = int(np.argmin(np.abs(np.abs(x - x[end]) - min(5.0, x[-1] - x[0]))))
        slope = (y[inner] - y[end]) / (x[inner] - x[end]) if x[inner] != x[end] else 1.0
        values = np.where(beyond, y[end] + slope * (at - x[end]), values)
    return values


def unfolded(notes: NoteTable, placement: Placement) -> NoteTable:
    """The notes as they are played: those of each stretch at their moments in the recording, transposed; by onset."""
    tables = []
    moved = notes.transposed(placement.transposition)
    for number, stretch in enumerate(placement.stretches):
        last = number == len(placement.stretches) - 1
        chosen = (notes.onset >= stretch.score[0] - 1e-6) & (notes.onset < stretch.score[-1] + 1e-6 * last)
        some = moved.chosen(chosen)
        end = np.minimum(some.offset, stretch.score[-1]) if not last else some.offset
        onset = stretch.at(some.onset)
        tables.append(some.moved(onset, np.maximum(stretch.at(end), onset + 0.01)))
    if not tables:
        return notes.chosen(np.zeros(0, dtype=np.int64))
    whole = NoteTable(*(np.concatenate([getattr(t, name) for t in tables]) for name in NoteTable.__dataclass_fields__))
    return whole.chosen(np.argsort(whole.onset, kind="stable"))
