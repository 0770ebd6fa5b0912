"""MIDI to parts: notes, bends, bend range, union of parts, broken files."""

from __future__ import annotations

import mido
import numpy as np
import pretty_midi
import pytest

from scoresep.errors import Damaged
from scoresep.score.parts import Part, part_from_notes, read_midi, sounding_notes


def bent_file(path, bends, controls=()):
    midi = pretty_midi.PrettyMIDI(resolution=1000)
    instrument = pretty_midi.Instrument(27, name="lead")
    instrument.notes = [pretty_midi.Note(100, 60, 0.0, 2.0)]
    instrument.pitch_bends = [pretty_midi.PitchBend(value, time) for time, value in bends]
    instrument.control_changes = [pretty_midi.ControlChange(number, value, time) for time, number, value in controls]
    midi.instruments.append(instrument)
    midi.write(str(path))
    (part,) = read_midi(path)
    return part


def test_notes_come_back_ordered_by_onset(tmp_path, make):
    make.midi(tmp_path / "a.mid", [(1.0, 2.0, 64), (0.5, 0.75, 60)], program=33)
    (part,) = read_midi(tmp_path / "a.mid")
    assert part.onset == pytest.approx([0.5, 1.0], abs=1e-3) and part.offset == pytest.approx([0.75, 2.0], abs=1e-3)
    assert part.pitch.tolist() == [60, 64] and part.velocity.tolist() == [90, 90]
    assert (part.program, part.is_drum, part.name, len(part)) == (33, False, "part", 2)


def test_instruments_without_notes_are_left_out(tmp_path):
    midi = pretty_midi.PrettyMIDI()
    midi.instruments += [pretty_midi.Instrument(0), pretty_midi.Instrument(1)]
    midi.instruments[1].notes.append(pretty_midi.Note(80, 60, 0, 1))
    midi.write(str(tmp_path / "a.mid"))
    assert [part.program for part in read_midi(tmp_path / "a.mid")] == [1]


def test_bend_of_two_semitones_is_the_default(tmp_path):
    part = bent_file(tmp_path / "a.mid", [(0.5, 4096), (1.0, -8192), (1.5, 0)])
    assert part.bend_at(np.array([0.0, 0.49, 0.51, 1.01, 1.6])) == pytest.approx([0, 0, 1.0, -2.0, 0])


def test_bend_range_of_the_file_is_followed(tmp_path):
    controls = [(0.0, 101, 0), (0.01, 100, 0), (0.02, 6, 12), (0.03, 38, 50)]
    part = bent_file(tmp_path / "a.mid", [(0.5, 4096)], controls)
    assert part.bend_at(np.array([1.0])) == pytest.approx([6.25])  # half of 12 semitones and 50 cents


def test_data_for_another_parameter_is_no_bend_range(tmp_path):
    controls = [(0.0, 101, 0), (0.01, 100, 1), (0.02, 6, 64)]  # fine tuning
    part = bent_file(tmp_path / "a.mid", [(0.5, 4096)], controls)
    assert part.bend_at(np.array([1.0])) == pytest.approx([1.0])


def test_parts_without_bends_are_not_bent():
    part = part_from_notes([(0.0, 1.0, 60, 90)])
    assert part.bend_at(np.array([[0.0, 1.0]])).tolist() == [[0.0, 0.0]]


def test_transposing_moves_pitches_only():
    part = part_from_notes([(0.0, 1.0, 60, 90)], program=33, name="bass")
    moved = part.transposed(-12)
    assert moved.pitch.tolist() == [48] and part.pitch.tolist() == [60]
    assert (moved.program, moved.name, moved.onset.tolist()) == (33, "bass", [0.0])


def test_chosen_notes_keep_their_order_and_shifting_moves_bends_too():
    rows = [(0.0, 1.0, 60, 90), (2.0, 3.0, 62, 80), (4.0, 5.0, 64, 70)]
    part = part_from_notes(rows, program=33, bend_time=np.array([1.0]), bend=np.array([0.5]))
    for chosen in (part.chosen(part.pitch > 60), part.chosen(np.array([1, 2]))):
        assert chosen.table.tolist() == [list(row) for row in rows[1:]]
        assert (chosen.program, chosen.bend_at([0.9, 1.1]).tolist()) == (33, [0.0, 0.5])
    later = part.shifted(0.5)
    assert later.table.tolist() == [[onset + 0.5, offset + 0.5, *rest] for onset, offset, *rest in rows]
    assert later.bend_at([1.4, 1.6]).tolist() == [0.0, 0.5]


def test_a_part_may_be_empty():
    part = part_from_notes([])
    assert len(part) == 0 and len(sounding_notes([part], 0.03)) == 0


@pytest.mark.parametrize("content", [b"", b"not MIDI", b"MThd\0\0\0\6\0\1\0\1\1\xe0MTrk\0\0\xff\xff\0"])
def test_broken_midi_is_refused_and_named(refused, tmp_path, content):
    (tmp_path / "bad.mid").write_bytes(content)
    with refused(Damaged, tmp_path / "bad.mid"):
        read_midi(tmp_path / "bad.mid")


def test_missing_midi_is_refused_and_named(refused, tmp_path):
    with refused(Damaged, tmp_path / "none.mid"):
        read_midi(tmp_path / "none.mid")


def test_notes_after_a_day_are_refused(refused, tmp_path):
    file = mido.MidiFile(ticks_per_beat=1)
    track = mido.MidiTrack()
    track += [
        mido.Message("note_on", note=60, velocity=90, time=0),
        mido.Message("note_off", note=60, time=2 * 25 * 3600),
    ]
    file.tracks.append(track)
    file.save(tmp_path / "long.mid")
    with refused(Damaged, tmp_path / "long.mid"):
        read_midi(tmp_path / "long.mid")


def test_sounding_notes_are_the_union_of_parts_in_order():
    a = part_from_notes([(1.0, 1.5, 60, 80)])
    b = part_from_notes([(0.5, 2.0, 64, 70)])
    expected = np.array([[0.5, 2.0, 64, 70], [1.0, 1.5, 60, 80]], dtype=np.float32)
    assert np.array_equal(sounding_notes([a, b], 0.03), expected)


def test_one_key_struck_by_two_parts_is_one_note():
    a = part_from_notes([(1.0, 1.5, 60, 80)])
    b = part_from_notes([(1.02, 2.0, 60, 90)])
    assert sounding_notes([a, b], 0.03).tolist() == [[1.0, 2.0, 60.0, 90.0]]
    assert len(sounding_notes([a, b], 0.01)) == 2


def one_by_one(parts, tolerance: float) -> list[list[float]]:
    """The definition, slowly: strikes in order, each merged into the note before it on its key if that is close."""
    columns = ("onset", "offset", "pitch", "velocity")
    strikes = sorted(row for part in parts for row in zip(*(getattr(part, name) for name in columns), strict=True))
    notes: list[list[float]] = []
    for onset, offset, pitch, velocity in strikes:
        before = [note for note in notes if note[2] == pitch]
        if before and onset - before[-1][0] <= tolerance:
            before[-1][1] = max(before[-1][1], offset)
            before[-1][3] = max(before[-1][3], velocity)
        else:
            notes.append([onset, offset, pitch, velocity])
    return notes


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("tolerance", [0.0, 0.03, 0.3])
def test_merging_agrees_with_the_plain_definition(seed, tolerance):
    """Few keys and onsets on a coarse raster: chains of close strikes, and strikes at one time."""
    rng = np.random.default_rng(seed)
    parts = [
        part_from_notes(
            [
                (t, t + rng.uniform(0.01, 0.5), int(rng.integers(60, 64)), int(rng.integers(1, 128)))
                for t in np.round(rng.uniform(0, 2, 60), 2)
            ]
        )
        for _ in range(3)
    ]
    expected = np.array(one_by_one(parts, tolerance), dtype=np.float32)
    assert np.array_equal(sounding_notes(parts, tolerance), expected)


def test_a_long_chain_of_strikes_is_cut_at_the_tolerance():
    """Strikes 20 ms apart: each third one is more than 50 ms after the first of its note."""
    part = part_from_notes([(0.02 * k, 0.02 * k + 0.01, 60, 80) for k in range(100)])
    assert sounding_notes([part], 0.05)[:, 0] == pytest.approx(np.arange(0, 100, 3) * 0.02, abs=1e-6)


def test_a_note_of_a_bent_part_has_the_pitch_it_begins_with():
    part = part_from_notes([(0.0, 1.0, 60, 80), (1.0, 2.0, 60, 80)], bend_time=np.array([0.5]), bend=np.array([2.0]))
    assert sounding_notes([part], 0.03)[:, 2].tolist() == [60, 62]


def test_notes_outside_the_piano_are_left_out():
    part = part_from_notes([(0.0, 1.0, pitch, 80) for pitch in (20, 21, 108, 109)])
    assert sounding_notes([part], 0.03)[:, 2].tolist() == [21, 108]


def test_part_is_plain_data():
    assert Part(*(np.zeros(0),) * 4).bend_at(np.array([1.0])).tolist() == [0.0]
