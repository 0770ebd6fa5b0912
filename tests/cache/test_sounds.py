"""What a track's files hold: stems and recordings, groups of every kind, and what is found odd."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pretty_midi
import pytest
import soundfile

from scoresep.cache.schema import CacheSettings, unpack
from scoresep.cache.track import compile_track, load_track
from scoresep.datasets.base import Track
from scoresep.datasets.pairs import read_pair
from scoresep.datasets.slakh import read_track
from scoresep.errors import Damaged, InvalidValue, Mismatch, NothingToDo
from scoresep.instruments import Instrument, choose

BAND = CacheSettings(instruments=choose(["piano", "drums", "other"]))
PARTS = (  # program, drums, name, notes
    (0, False, "keys", [(0.2, 0.9, 60)]),
    (40, False, "Violin I", [(0.5, 1.4, 76)]),
    (33, False, "", [(0.1, 1.2, 40)]),
    (0, True, "bass drum", [(0.5, 0.6, 36)]),
)


@pytest.fixture
def pair(tmp_path, make):
    """A recording of two channels with its score."""

    def build(parts=PARTS) -> Track:
        midi = pretty_midi.PrettyMIDI(initial_tempo=120.0)
        for program, is_drum, name, notes in parts:
            part = pretty_midi.Instrument(program, is_drum, name)
            part.notes = [pretty_midi.Note(90, pitch, onset, offset) for onset, offset, pitch in notes]
            midi.instruments.append(part)
        midi.write(str(tmp_path / "song.mid"))
        samples = make.play([note for _, is_drum, _, notes in parts if not is_drum for note in notes], 2.0)
        soundfile.write(tmp_path / "song.wav", np.stack([samples, 0.5 * samples], axis=1), 16000)
        return replace(read_pair("song", sorted(tmp_path.glob("song.*"))), split="train")

    return build


def test_a_recording_and_its_score(pair):
    settings = replace(CacheSettings(instruments=choose(["piano", "bass", "drums", "other"])), stems=False)
    track = pair()
    sounds = load_track(track, settings)
    assert sounds.stems is None and len(sounds.mixture) == 32000
    assert np.abs(sounds.mixture - soundfile.read(track.mixture)[0].mean(axis=1)).max() < 1e-6
    assert [[part.name for part in group] for group in sounds.parts] == [["keys"], [""], ["bass drum"], []]
    compiled = compile_track(track, settings)
    assert "stems" not in compiled.arrays and list(compiled.row["active"]) == [True, True, True, True]


def test_parts_of_no_group_leave_the_track_out_unless_there_is_other(pair, refused):
    settings = CacheSettings(instruments=choose(["piano", "guitar"]))
    with refused(InvalidValue) as fault:
        load_track(pair(), settings)
    assert "drums, program 33, program 40" in fault.value.problem and "other" in fault.value.remedy
    sounds = load_track(pair(), CacheSettings(instruments=choose(["piano", "guitar", "other"])))
    assert [len(group) for group in sounds.parts] == [1, 0, 0]


def test_a_score_without_any_group_leaves_the_track_out(pair, refused):
    with refused(NothingToDo, remedy=False):
        load_track(pair(), CacheSettings(instruments=choose(["brass", "reed", "other"])))


def test_track_names_count_more_than_programs(pair):
    fiddle = Instrument("fiddle", (), 40, names=("violin*",))
    low = Instrument("low", (32, 33), 33, names=("*bass*",))
    settings = CacheSettings(instruments=(fiddle, low, *choose(["piano", "drums"])))
    names = [[part.name for part in group] for group in load_track(pair(), settings).parts]
    assert names == [["Violin I"], [""], ["keys"], ["bass drum"]]


def test_drums_and_what_is_left_over(tmp_path, make):
    """S01 is a guitar and S02 a bass: `other` sounds like their sum, and may sound everywhere."""
    folder = make.track(tmp_path / "Track00001", make.usual_stems(1))
    (folder / "MIDI" / "S01.mid").unlink()  # the score of what is left over is not asked for
    compiled = compile_track(read_track(folder, "train"), BAND)
    stems = compiled.arrays["stems"] * compiled.row["scale"]
    left = sum(soundfile.read(folder / "stems" / f"S0{n}.flac")[0] for n in (1, 2))
    assert np.abs(stems[:, 2] - left).max() < 2 * compiled.row["scale"]
    mix = soundfile.read(folder / "mix.flac")[0]
    assert np.abs(compiled.arrays["mixture"] * compiled.row["scale"] - mix).max() < 1e-3
    mask, roll = unpack(compiled.arrays["harmonic"], 1025), unpack(compiled.arrays["roll"], 88)
    assert mask[:, 2].all() and not roll[:, 2].any() and list(compiled.row["active"]) == [True, True, True]
    assert set(np.flatnonzero(roll[:, 1].any(axis=0)) + 21) == {36, 38}
    strokes = [16, 31]  # frames of the drums' notes at 0.5 and 1.0 s
    assert mask[strokes, 1].all() and not mask[:15, 1].any() and 0 < mask[20, 1].mean() < 1
    assert set(compiled.arrays["notes"][:, 4]) == {0.0, 1.0}


def test_what_is_left_over_need_not_sound(tmp_path, make):
    folder = make.track(tmp_path / "Track00001", {"S00": make.stem(0, [(0.1, 1.0, 60)])})
    assert list(compile_track(read_track(folder, "train"), BAND).row["active"]) == [True, False, False]


def an_octave_off(make, tmp_path):
    """A track whose guitar is written an octave higher than it sounds."""
    stems = make.usual_stems(1, 20.0)
    rng = np.random.default_rng(0)
    notes = [(0.4 * k, 0.4 * k + 0.35, int(pitch)) for k, pitch in enumerate(rng.integers(45, 60, 48))]
    stems["S01"] = make.stem(25, notes, written=[(a, b, pitch + 12) for a, b, pitch in notes])
    return read_track(make.track(tmp_path / "Track00001", stems, 20.0), "train")


def test_a_stem_that_contradicts_its_score_is_flagged(make, tmp_path):
    (finding,) = compile_track(an_octave_off(make, tmp_path), CacheSettings()).findings
    assert (finding.track, finding.stem, finding.kind) == ("Track00001", "S01", "octave")


def test_a_stem_that_contradicts_its_score_may_leave_its_track_out(make, tmp_path, refused):
    with refused(Damaged, remedy=False) as fault:
        compile_track(an_octave_off(make, tmp_path), CacheSettings(score_check="exclude"))
    assert "S01" in fault.value.problem and "octave" in fault.value.problem


def test_the_score_check_may_be_off(make, tmp_path):
    assert compile_track(an_octave_off(make, tmp_path), CacheSettings(score_check="off")).findings == ()


def test_stereo_stems_are_refused(make, tmp_path, refused):
    folder = make.track(tmp_path / "Track00001", make.usual_stems(1))
    samples, rate = soundfile.read(folder / "stems" / "S00.flac")
    soundfile.write(folder / "stems" / "S00.flac", np.stack([samples, samples], axis=1), rate)
    with refused(Mismatch, folder / "stems" / "S00.flac"):
        compile_track(read_track(folder, "train"), CacheSettings())


def test_a_remark_on_the_metadata_is_a_finding(make, tmp_path):
    track = replace(read_track(make.track(tmp_path / "Track00001", make.usual_stems(1)), "train"), remark="odd")
    (finding,) = compile_track(track, CacheSettings()).findings
    assert (finding.stem, finding.kind, finding.detail) == ("", "metadata", "odd")
