"""Aligns a score with a recording: where it is, when its notes sound, and how far that can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from scoresep.alignment.confidence import Bar, bars_of, least_support, piece_confidence, spans_of, support_of
from scoresep.alignment.features import RATE, AudioFeatures, NoteTable, audio_features, note_table
from scoresep.alignment.octaves import octaves_of
from scoresep.alignment.placing import Placement, place, unfolded
from scoresep.alignment.refining import carried, heard
from scoresep.audio.loading import resample
from scoresep.audio.source import Progress
from scoresep.audio.spectrogram import QUIETEST
from scoresep.errors import Mismatch, NothingToDo
from scoresep.score.parts import SHORTEST_NOTE, Part
from scoresep.score.reading import Score

SHORTEST_RECORDING = 4.0
"""Seconds; in less no score is found."""
USUALLY_OFF, HARDLY_OFF = 0.03, 0.1
"""Seconds within which half, and most, of the notes of a score that is in time as it is are found."""
MOST_MISSED = 0.05
"""Share of its notes that may not be found, as before the first and after the last that is heard."""


@dataclass(frozen=True)
class Alignment:
    """A score in time with a recording.

    Attributes:
        parts: what is played, in seconds of the recording, at its pitch; a part that is not played has no notes.
        notes: the same in one table, whose `part` and `index` say which note of the score each is.
        score: what was aligned.
        placement: its stretches in the recording.
        octaves: semitones, -12, 0 or 12, by which each part sounds above what is written, besides the transposition.
        support: how much speaks for this to be a score of the recording (`confidence.support_of`).
        tuning: semitones by which the recording is above 440 Hz.
        bars: as they are played, with confidence.
        seconds: length of the recording.
    """

    parts: list[Part]
    notes: NoteTable
    score: Score
    placement: Placement
    octaves: tuple[int, ...]
    support: float
    tuning: float
    bars: tuple[Bar, ...]
    seconds: float

    @property
    def confidence(self) -> float:
        """Of the whole, 0 to 1: the mean of its bars, weighted by their lengths."""
        return piece_confidence(self.bars)

    @property
    def doubtful(self) -> tuple[tuple[float, float], ...]:
        """The stretches of the recording whose bars are not trusted, seconds from and to, joined where they meet."""
        return tuple(spans_of(bar for bar in self.bars if not bar.trusted))


def align(samples: np.ndarray, rate: int, scores: Sequence[Score], progress: Progress | None = None) -> Alignment:
    """Align the one of some ways to play a score that fits a recording best.

    Found are its tempo and how it changes, a transposition of up to six semitones, the octave of each part, tuning,
    what is before and after the music, stretches that are repeated, left out or not recorded.

    Args:
        samples: mono float32 (L,), finite.
        rate: Hz.
        scores: ways to play it (`score.reading.read_score`).
        progress: called before each of four steps; what it raises ends the work.

    Raises:
        NothingToDo: the recording is silent or too short, or the score has no pitched notes.
        Mismatch: the score is one of something else.
    """
    tables = [note_table(score.parts) for score in scores]
    check_recording(samples, rate)
    check_score(tables)
    if progress:
        progress("aligning", 0, 4)
    return align_features(audio_features(resample(samples, rate, RATE)), scores, tables, progress)


def align_features(
    audio: AudioFeatures, scores: Sequence[Score], tables: Sequence[NoteTable], progress: Progress | None = None
) -> Alignment:
    """`align` of a recording's features with scores and their notes; raises Mismatch as that does."""
    step = progress or (lambda stage, done, total: None)
    step("aligning", 1, 4)
    placements = [place(audio, notes, score.bar_lines) for notes, score in zip(tables, scores, strict=True)]
    best = min(range(len(scores)), key=lambda n: placements[n].cost)
    score, notes, placement = scores[best], tables[best], placements[best]
    step("aligning", 2, 4)
    roughly = unfolded(notes, placement)
    if not len(roughly):
        check_support(0.0, score, audio.seconds)
    found = heard(audio, roughly, placement.likeness)
    support = support_of(audio, found, placement.evidence)
    step("aligning", 3, 4)
    octaves = octaves_of(audio, found.notes, len(score.parts))
    if any(octaves):
        roughly = roughly.raised(octaves)
        found = heard(audio, roughly, placement.likeness)
        support = max(support, support_of(audio, found, placement.evidence))
    check_support(support, score, audio.seconds)
    bars = bars_of(roughly, found, placement, score.bar_lines, audio.seconds)
    parts = [part_of(part, n, found.notes, roughly, placement) for n, part in enumerate(score.parts)]
    return Alignment(parts, found.notes, score, placement, octaves, support, audio.tuning, bars, audio.seconds)


def check_recording(samples: np.ndarray, rate: int) -> None:
    """Refuse a recording without sound, or too short to find anything in it."""
    if len(samples) < SHORTEST_RECORDING * rate:
        problem = f"the recording lasts {len(samples) / rate:.1f} s, too little to find a score in it"
        raise NothingToDo(problem, remedy=f"give {SHORTEST_RECORDING:g} s or more")
    if float(np.abs(samples).max()) < QUIETEST:
        raise NothingToDo("the recording is silent", remedy="give another one")


def check_score(tables: Sequence[NoteTable]) -> None:
    """Refuse a score without pitched notes."""
    if not any(len(notes) for notes in tables):
        raise NothingToDo("the score has no notes", remedy="give another one")
    if all(notes.drum.all() for notes in tables):
        raise NothingToDo("the score has drums alone, whose place cannot be found", remedy="add a part with pitches")


def check_support(support: float, score: Score, seconds: float) -> None:
    """Refuse a score for which too little speaks."""
    least = least_support(seconds, alone=sum(not part.is_drum for part in score.parts if len(part)) == 1)
    if support < least:
        figures = f"support {max(support, 0.0):.2f}, {least:.2f} is needed"
        raise Mismatch(f"the score is not of this recording ({figures})", remedy="give the score of what is played")


def part_of(part: Part, number: int, final: NoteTable, roughly: NoteTable, placement: Placement) -> Part:
    """A part of the score as it is played."""
    own = np.flatnonzero(final.part == number)
    onset, offset, pitch = final.onset[own], final.offset[own], final.pitch[own]
    order = np.lexsort((onset, pitch))
    same = np.diff(pitch[order]) == 0
    following = onset[order][1:]
    ends = offset[order]
    ends[:-1][same] = np.minimum(ends[:-1], following)[same]  # a key that is struck again ends its note
    offset = offset.copy()
    offset[order] = ends
    offset = np.maximum(offset, onset + SHORTEST_NOTE)
    time, bend = carried_bends(part, final, roughly, placement)
    velocity = part.velocity[final.index[own]]
    whole = replace(part, onset=onset, offset=offset, pitch=pitch, velocity=velocity, bend_time=time, bend=bend)
    return whole.chosen((pitch >= 0) & (pitch < 128))


def carried_bends(
    part: Part, final: NoteTable, roughly: NoteTable, placement: Placement
) -> tuple[np.ndarray, np.ndarray]:
    """The bends of a part as it is played; each stretch begins with the bend that holds there."""
    times, bends = [], []
    for stretch in placement.stretches:
        at, bend = part.bends_in(stretch.score[0], stretch.score[-1])
        times.append(carried(stretch.at(at), final, roughly))
        bends.append(bend)
    return np.maximum(np.concatenate(times), 0.0), np.concatenate(bends)


def in_time(alignment: Alignment) -> bool:
    """Whether a score is in time with the recording as it is written: what was found differs no more than it errs.

    It errs most where music repeats and a copy of a passage was found: up to a quarter of the notes may be elsewhere if
    the first and the last are in their places, which they are not where a score lacks a passage.
    """
    notes, written = alignment.notes, alignment.score.parts
    total = sum(map(len, written))
    if alignment.placement.transposition or any(alignment.octaves) or abs(len(notes) - total) > MOST_MISSED * total:
        return False
    before = np.array([written[part].onset[k] for part, k in zip(notes.part, notes.index, strict=True)])
    off = np.abs(notes.onset - before)
    tenth = len(off) // 10 + 1
    ends = max(np.median(off[:tenth]), np.median(off[-tenth:]))
    most = np.quantile(off, 0.75 if ends <= HARDLY_OFF else 0.9)
    return bool(np.median(off) <= USUALLY_OFF and most <= HARDLY_OFF)


def summary(alignment: Alignment) -> str:
    """What was found, in one line."""
    placement = alignment.placement
    trusted = sum(bar.trusted for bar in alignment.bars)
    found = [f"confidence {alignment.confidence:.2f}", f"{trusted} of {len(alignment.bars)} bars trusted"]
    if placement.transposition:
        found.append(f"transposed by {placement.transposition:+d} semitones")
    for part, octave in zip(alignment.score.parts, alignment.octaves, strict=True):
        if octave:
            found.append(f"{part.name or 'a part'} an octave {'higher' if octave > 0 else 'lower'}")
    if abs(alignment.tuning) >= 0.1:
        found.append(f"tuned {100 * alignment.tuning:+.0f} cents")
    if len(placement.stretches) > 1:
        found.append(f"{len(placement.stretches) - 1} jumps")
    begin, end = placement.stretches[0].audio[0], placement.stretches[-1].audio[-1]
    if begin > 1 or end < alignment.seconds - 3:
        found.append(f"from {begin:.0f} to {end:.0f} s")
    return ", ".join(found)


def as_dict(alignment: Alignment) -> dict[str, object]:
    """What was found as plain values, for a JSON file."""
    placement = alignment.placement
    return {
        "confidence": round(alignment.confidence, 3),
        "support": round(alignment.support, 3),
        "transposition": placement.transposition,
        "octaves": [octave // 12 for octave in alignment.octaves],
        "tuning_cents": round(100 * alignment.tuning, 1),
        "stretches": [
            {name: [round(float(getattr(stretch, name)[end]), 3) for end in (0, -1)] for name in ("audio", "score")}
            for stretch in placement.stretches
        ],
        "bars_not_played": sorted({*range(1, len(alignment.score.bar_lines))} - {bar.number for bar in alignment.bars}),
        "bars": [bar.to_dict() for bar in alignment.bars],
    }
