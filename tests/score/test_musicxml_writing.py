from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from scoresep.score.musicxml import read_musicxml
from scoresep.score.musicxml_writing import BEATS, LENGTHS, STEPS, Beat, beat_of, musicxml, voice, written
from scoresep.score.parts import part_from_notes

MEASURE = BEATS * STEPS


def read_back(content: bytes) -> dict[str, list[tuple[int, int, int]]]:
    """Part -> (first step, steps, MIDI pitch) of all notes, tied ones joined; measures must be full."""
    root, found = ElementTree.fromstring(content), {}
    names = {part.get("id"): part.findtext("part-name") for part in root.iter("score-part")}
    semitones = dict(zip("CDEFGAB", (0, 2, 4, 5, 7, 9, 11), strict=True))
    for part in root.iter("part"):
        notes: list[tuple[int, int, int]] = []
        for number, measure in enumerate(part.iter("measure")):
            now = number * MEASURE
            for note in measure.iter("note"):
                length = int(note.findtext("duration"))
                start = now - length if note.find("chord") is not None else now
                now += 0 if note.find("chord") is not None else length
                if note.find("rest") is not None:
                    continue
                prefix = "display-" if note.find("unpitched") is not None else ""
                place = note.find("unpitched" if prefix else "pitch")
                pitch = semitones[place.findtext(f"{prefix}step")] + 12 * (int(place.findtext(f"{prefix}octave")) + 1)
                pitch += int(place.findtext("alter") or 0)
                if any(tie.get("type") == "stop" for tie in note.iter("tie")):
                    n = next(n for n, (a, b, p) in enumerate(notes) if p == pitch and a + b == start)
                    notes[n] = (notes[n][0], notes[n][1] + length, pitch)
                else:
                    notes.append((start, length, pitch))
            assert now == (number + 1) * MEASURE
        found[names[part.get("id")]] = notes
    return found


def test_notes_come_back_quantised() -> None:
    beat = Beat(96.0, 0.0)
    step = 60 / 96 / STEPS
    rows = [(0, 4, 60), (0, 4, 64), (6, 3, 61), (12, 10, 70), (24, 20, 58)]
    rng = np.random.default_rng(0)
    late = zip(rows, rng.uniform(-0.3, 0.3, 5).tolist(), strict=True)
    shaken = [((a + d) * step, (a + b + d) * step, p, 90) for (a, b, p), d in late]
    shaken[0] = (0.0, *shaken[0][1:])
    part = part_from_notes(shaken, name="lead")
    assert sorted(read_back(musicxml([part], beat))["lead"]) == sorted(rows)


def test_programs_and_drums_come_back(tmp_path: Path) -> None:
    lead = part_from_notes([(0.0, 1.0, 60, 90)], program=27, name="lead")
    drums = part_from_notes([(0.0, 0.5, 36, 90), (0.5, 1.0, 49, 90), (0.5, 1.0, 42, 90)], name="kit", is_drum=True)
    (tmp_path / "a.musicxml").write_bytes(musicxml([lead, drums], Beat()))
    found = read_musicxml(tmp_path / "a.musicxml")[0].parts
    assert [(part.name, part.program, part.is_drum) for part in found] == [("lead", 27, False), ("kit", 0, True)]
    assert sorted(zip(found[1].onset.tolist(), found[1].pitch.tolist(), strict=True)) == [
        (0.0, 36),
        (0.5, 42),
        (0.5, 49),
    ]


def test_one_voice_and_several_parts_of_one_length() -> None:
    one = part_from_notes([(0.0, 3.0, 60, 90), (1.0, 1.5, 62, 90)], name="a")
    two = part_from_notes([(9.0, 9.1, 36, 90)], name="drums", is_drum=True)
    assert [(chord.start, chord.length) for chord in voice(one, Beat())] == [(0, 8), (8, 4)]
    found = read_back(musicxml([one, two], Beat()))
    assert found == {"a": [(0, 8, 60), (8, 4, 62)], "drums": [(72, 1, 36)]}


@pytest.mark.parametrize(("start", "length"), [(0, 1), (3, 5), (14, 7), (1, 47), (15, 1)])
def test_lengths_that_can_be_written(start: int, length: int) -> None:
    pieces = list(written(start, length))
    assert pieces[0][0] == start and sum(each for _, each in pieces) == length
    assert all(each in LENGTHS and place % MEASURE + each <= MEASURE for place, each in pieces)


@pytest.mark.parametrize(("tempo", "first"), [(93.0, 0.3), (120.0, 0.1), (75.5, 0.0), (136.0, 0.2)])
def test_a_steady_beat_is_found(tempo: float, first: float) -> None:
    rng = np.random.default_rng(1)
    steps = np.sort(rng.choice(4 * 40, 90, replace=False, p=np.tile([4, 1, 2, 1], 40) / 320))
    found = beat_of(first + steps * 15 / tempo + rng.normal(0, 0.01, 90))
    assert found.tempo == pytest.approx(tempo, rel=0.005)
    off = (found.first - first) / (60 / tempo) % 1
    assert min(off, 1 - off) < 0.05


def test_nothing_to_write() -> None:
    assert beat_of(np.zeros(0)) == Beat()
    assert ElementTree.fromstring(musicxml([], Beat())).tag == "score-partwise"


def test_names_are_text() -> None:
    part = part_from_notes([(0.0, 1.0, 60, 90)], name="<b>&amp;")
    assert list(read_back(musicxml([part], Beat()))) == ["<b>&amp;"]
