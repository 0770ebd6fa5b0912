"""Scores find their recordings: tempo, key, tuning, form; what does not belong is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scoresep.alignment.align import Alignment, align, as_dict, summary
from scoresep.errors import Mismatch, NothingToDo
from scoresep.score.parts import Part, part_from_notes
from scoresep.score.reading import Score


@pytest.fixture(scope="module")
def alignment(music, recording: np.ndarray, score: Score) -> Alignment:
    return align(recording, music.rate, [score])


def test_notes_are_where_they_are_played(music, alignment: Alignment, score: Score) -> None:
    for found, part in zip(alignment.parts, score.parts, strict=True):
        assert len(found) == len(part)
        off = np.abs(np.sort(found.onset) - np.sort(music.drifting(part.onset)))
        assert np.median(off) < 0.015
        assert (off < 0.05).mean() > 0.85
        assert (found.offset > found.onset).all()


def test_key_and_tuning_are_found(music, alignment: Alignment, score: Score) -> None:
    assert alignment.placement.transposition == 2
    assert abs(alignment.tuning - 0.3) < 0.05
    assert sorted(alignment.parts[0].pitch) == sorted(score.parts[0].pitch + 2)
    assert "transposed by +2" in summary(alignment)


def test_bars_are_told(music, alignment: Alignment) -> None:
    begin = np.array([bar.begin for bar in alignment.bars])
    assert [bar.number for bar in alignment.bars] == list(range(1, 17))
    assert np.abs(begin - music.drifting(2.0 * np.arange(16))).max() < 0.1
    assert sum(bar.trusted for bar in alignment.bars) >= 14
    assert alignment.confidence > 0.6
    assert len(as_dict(alignment)["bars"]) == 16


def in_order(score: Score, spans: list[tuple[float, float]]) -> list[Part]:
    """Spans of a score, seconds from and to, one after the other."""
    parts = []
    for part in score.parts:
        rows, now = [], 1.0
        for begin, end in spans:
            rows += [
                (on - begin + now, off - begin + now, pitch, velocity)
                for on, off, pitch, velocity in zip(part.onset, part.offset, part.pitch, part.velocity, strict=True)
                if begin <= on < end
            ]
            now += end - begin
        parts.append(part_from_notes(rows, program=part.program, name=part.name))
    return parts


@pytest.mark.parametrize(
    "spans",
    [
        pytest.param([(0.0, 20.0), (8.0, 32.0)], id="a repeat"),
        pytest.param([(0.0, 10.0), (20.0, 32.0)], id="a cut"),
        pytest.param([(8.0, 24.0)], id="a part of the score"),
    ],
)
def test_the_form_is_found(music, score: Score, spans: list[tuple[float, float]]) -> None:
    parts = in_order(score, spans)
    found = align(music.played(parts, sum(end - begin for begin, end in spans) + 3.0), music.rate, [score])
    assert len(found.placement.stretches) == len(spans)
    played = {bar + 1 for begin, end in spans for bar in range(int(begin / 2), int(end / 2))}
    missing = {*range(1, 17)} - played
    assert {*as_dict(found)["bars_not_played"]} <= missing
    assert len(as_dict(found)["bars_not_played"]) >= len(missing) - 2  # a bit of a bar next to a jump may be held
    for part, true in zip(found.parts, parts, strict=True):
        off = np.abs(part.onset[:, None] - true.onset[None])
        assert (off.min(axis=0) < 0.05).mean() > 0.95  # what is played is found
        assert (off.min(axis=1) < 0.05).mean() > 0.85  # and little besides


def test_noise_around_the_music_is_left_out(music, score: Score) -> None:
    rng, rate = np.random.default_rng(1), music.rate
    samples = music.played([music.bent(part, lambda at: at + 9.0) for part in score.parts], 50.0)
    samples[: 8 * rate] += 0.1 * rng.standard_normal(8 * rate).astype(np.float32)
    samples[43 * rate :] += 0.1 * rng.standard_normal(7 * rate).astype(np.float32)
    found = align(samples, rate, [score])
    off = np.abs(np.sort(found.parts[1].onset) - np.sort(score.parts[1].onset + 9.0))
    assert np.median(off) < 0.015
    assert found.placement.heard < 0.95


def test_a_part_that_is_written_in_another_octave_is_moved(music, recording: np.ndarray, score: Score) -> None:
    bass = replace(score.parts[2], pitch=score.parts[2].pitch + 12)
    found = align(recording, music.rate, [replace(score, parts=[*score.parts[:2], bass])])
    assert found.octaves == (0, 0, -12)
    assert sorted(found.parts[2].pitch) == sorted(score.parts[2].pitch + 2)
    assert "bass an octave lower" in summary(found)


def test_one_part_suffices(music, recording: np.ndarray, score: Score) -> None:
    found = align(recording, music.rate, [replace(score, parts=[score.parts[1]])])
    off = np.abs(np.sort(found.parts[0].onset) - np.sort(music.drifting(score.parts[1].onset)))
    assert np.median(off) < 0.03


def test_of_several_ways_to_play_the_one_that_fits_is_taken(music, score: Score) -> None:
    repeated = Score(in_order(score, [(0.0, 20.0), (8.0, 32.0)]), 1.0 + 2.0 * np.arange(23))
    found = align(music.played(repeated.parts, 48.0), music.rate, [score, repeated])
    assert found.score is repeated
    assert len(found.placement.stretches) == 1


def test_bends_are_carried_along(music, recording: np.ndarray, score: Score) -> None:
    time, bend = np.array([4.0, 10.0]), np.array([1.0, 0.0])
    parts = [replace(score.parts[0], bend_time=time, bend=bend), *score.parts[1:]]
    found = align(recording, music.rate, [Score(parts, score.bar_lines)]).parts[0]
    assert list(found.bend[-2:]) == [1.0, 0.0]
    assert np.abs(found.bend_time[-2:] - music.drifting(time)).max() < 0.05


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_score_of_another_piece_is_refused(music, recording: np.ndarray, seed: int, refused) -> None:
    with refused(Mismatch):
        align(recording, music.rate, [music.composed(seed)])


def test_what_cannot_be_aligned_is_refused(music, recording: np.ndarray, score: Score, refused) -> None:
    drums = Score([part_from_notes([(0.0, 0.1, 36, 90)], is_drum=True)], np.zeros(0))
    for samples, wrong in (
        (np.zeros(10 * music.rate, np.float32), score),
        (recording[: 2 * music.rate], score),
        (recording, Score([], np.zeros(0))),
        (recording, drums),
    ):
        with refused(NothingToDo):
            align(samples, music.rate, [wrong])
