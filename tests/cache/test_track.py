"""One track from files to arrays: grouping, sums, rates, labels, and what is left out with which reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from scoresep.cache.schema import CacheSettings, unpack
from scoresep.cache.track import compile_track, note_table, quantise
from scoresep.datasets.slakh import read_track
from scoresep.errors import Damaged, Mismatch, NotFound, NothingToDo
from scoresep.grid import LOWEST_PITCH
from scoresep.score.parts import part_from_notes

SETTINGS = CacheSettings()


def compiled(folder: Path, settings: CacheSettings = SETTINGS):
    return compile_track(read_track(folder, "train"), settings)


def keys(compiled_track, instrument: int) -> set[int]:
    """MIDI pitches that an instrument plays anywhere."""
    roll = unpack(compiled_track.arrays["roll"], 88)
    return {int(pitch) + LOWEST_PITCH for pitch in np.flatnonzero(roll[:, instrument].any(axis=0))}


def test_arrays_and_row_of_a_track(tmp_path, make):
    track = compiled(make.track(tmp_path / "Track00001", make.usual_stems(1)))
    frames, samples = 48000 // 512 + 1, 48000
    shapes = {name: array.shape for name, array in track.arrays.items()}
    notes = shapes.pop("notes")
    templates, entries = track.row["templates"], track.row["activations"]
    assert 5 < templates < 40 and frames < entries < 6 * frames
    assert shapes == {
        "magnitude": (frames, 1025),
        "roll": (frames, 3, 11),
        "onset": (frames, 3, 11),
        "harmonic": (frames, 3, 129),
        "mixture": (samples,),
        "stems": (samples, 3),
        "template": (templates, 1025),
        "template_of": (templates, 2),
        "component": (entries,),
        "activation": (entries,),
        "activation_end": (frames,),
    }
    row = track.row
    assert (row["id"], row["split"], row["uuid"]) == ("Track00001", "train", "uuid-of-Track00001")
    assert (row["frames"], row["samples"], row["notes"]) == (frames, samples, notes[0])
    assert list(row["active"]) == [True, True, True]


def test_mixture_holds_the_target_groups_only(tmp_path, make):
    """Drums are in the corpus's own mix, but not in the mixture."""
    folder = make.track(tmp_path / "Track00001", make.usual_stems(1))
    track = compiled(folder)
    mixture = track.arrays["mixture"] * track.row["scale"]
    expected = sum(soundfile.read(folder / "stems" / f"S0{n}.flac")[0] for n in range(3))
    assert np.abs(mixture - expected).max() <= track.row["scale"]
    assert np.abs(mixture - soundfile.read(folder / "mix.flac")[0]).max() > 0.02


def test_sound_is_where_the_labels_are(tmp_path, make):
    """The bass is written an octave high; its mask and roll must be where it sounds."""
    track = compiled(make.track(tmp_path / "Track00001", make.usual_stems(1)))
    sounding = {pitch for _, _, pitch in make.usual_stems(1)["S02"].notes}
    assert keys(track, 2) == sounding
    assert set(track.arrays["notes"][track.arrays["notes"][:, 4] == 2, 2].astype(int)) == sounding


def test_stems_of_a_group_are_added_and_their_rolls_united(tmp_path, make):
    stems = {
        "S00": make.stem(24, [(0.1, 1.0, 60)]),
        "S01": make.stem(30, [(0.5, 1.5, 64)]),
        "S02": make.stem(0, [(0.2, 0.8, 72)]),
    }
    folder = make.track(tmp_path / "Track00001", stems, 2.0)
    track = compiled(folder)
    assert keys(track, 1) == {60, 64} and keys(track, 0) == {72} and keys(track, 2) == set()
    assert list(track.row["active"]) == [True, True, False]
    expected = soundfile.read(folder / "stems" / "S00.flac")[0] + soundfile.read(folder / "stems" / "S01.flac")[0]
    assert np.abs(track.arrays["stems"][:, 1] * track.row["scale"] - expected).max() <= track.row["scale"]
    assert not track.arrays["stems"][:, 2].any()


def test_a_group_is_given_by_metadata_not_by_the_midi_file(tmp_path, make):
    stems = {"S00": make.stem(0, [(0.1, 1.0, 60)]), "S01": make.stem(25, [(0.1, 1.0, 62)])}
    folder = make.track(tmp_path / "Track00001", stems, 2.0)
    make.midi(folder / "MIDI" / "S01.mid", [(0.1, 1.0, 62)], program=0)
    assert keys(compiled(folder), 1) == {62} and keys(compiled(folder), 0) == {60}


@pytest.mark.parametrize(("rate", "suffix"), [(44100, ".flac"), (16000, ".wav"), (48000, ".wav")])
def test_other_rates_are_resampled(tmp_path, make, rate, suffix):
    track = compiled(make.track(tmp_path / "Track00001", make.usual_stems(1), 2.0, rate, suffix))
    assert track.row["samples"] == 32000
    expected = sum(make.play(make.usual_stems(1)[f"S0{n}"].notes, 2.0) for n in range(3))
    error = track.arrays["mixture"] * track.row["scale"] - expected
    assert np.square(error[500:-500]).mean() < 1e-3 * np.square(expected).mean()


def test_a_loud_sum_is_scaled_not_clipped(tmp_path, make):
    folder = make.track(tmp_path / "Track00001", make.usual_stems(1), 2.0)
    for n in range(3):
        soundfile.write(folder / "stems" / f"S0{n}.flac", 0.9 * np.ones(32000), 16000)
    track = compiled(folder)
    assert track.row["scale"] == pytest.approx(2.7 / 32767, rel=1e-3)
    assert track.arrays["mixture"].max() == 32767
    assert track.arrays["stems"][0] * track.row["scale"] == pytest.approx(0.9, abs=1e-4)


def test_quantised_samples_are_within_half_a_step():
    samples = np.random.default_rng(0).uniform(-1.5, 1.5, 10000).astype(np.float32)
    scale = 1.5 / 32767
    stored = quantise(samples, scale)
    assert stored.dtype == np.int16
    assert np.abs(stored * scale - samples).max() <= 0.503 * scale  # half a step, and float32 at 15 bits: 1/512 of one


def test_notes_that_begin_after_the_audio_are_left_out_and_the_last_is_cut():
    part = part_from_notes([(0.5, 3.0, 60, 80), (2.0, 2.5, 61, 80)])
    table = note_table([[part], []], 2.0)
    assert table.tolist() == [[0.5, 2.0, 60.0, 80.0, 0.0]]


def test_notes_are_ordered_by_onset_then_instrument():
    a, b = part_from_notes([(1.0, 2.0, 60, 80)]), part_from_notes([(0.5, 2.0, 40, 80), (1.0, 2.0, 41, 80)])
    assert note_table([[a], [b]], 9.0)[:, [0, 4]].tolist() == [[0.5, 1.0], [1.0, 0.0], [1.0, 1.0]]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def nan_wav(folder: Path) -> None:
    (folder / "stems" / "S01.flac").unlink()
    soundfile.write(folder / "stems" / "S01.wav", np.full(48000, np.nan), 16000, subtype="FLOAT")


def silence(folder: Path) -> None:
    for n in range(3):
        soundfile.write(folder / "stems" / f"S0{n}.flac", np.zeros(48000), 16000)


DAMAGES = {
    "truncated FLAC": (lambda folder: cut(folder / "stems" / "S01.flac"), Damaged, "stems/S01.flac"),
    "empty FLAC": (lambda folder: (folder / "stems" / "S01.flac").write_bytes(b""), Damaged, "stems/S01.flac"),
    "broken MIDI": (lambda folder: (folder / "MIDI" / "S00.mid").write_bytes(b"nothing"), Damaged, "MIDI/S00.mid"),
    "truncated MIDI": (lambda folder: cut(folder / "MIDI" / "S00.mid"), Damaged, "MIDI/S00.mid"),
    "NaN": (nan_wav, Damaged, "stems/S01.wav"),
}
ODDITIES = {
    "no MIDI": (lambda folder: (folder / "MIDI" / "S02.mid").unlink(), NotFound, "S02"),
    "other rate": (
        lambda folder: soundfile.write(folder / "stems" / "S01.flac", np.zeros(24000), 8000),
        Mismatch,
        "S01",
    ),
    "other length": (
        lambda folder: soundfile.write(folder / "stems" / "S02.flac", np.zeros(40000), 16000),
        Mismatch,
        "S02",
    ),
    "silence": (silence, Damaged, "S00"),
    "text metadata": (lambda folder: (folder / "metadata.yaml").write_text("hello"), NothingToDo, "metadata.yaml"),
    "no metadata": (lambda folder: (folder / "metadata.yaml").unlink(), NothingToDo, "metadata.yaml"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_track_with_a_damaged_file_is_refused(tmp_path, make, refused, damage):
    folder = make.track(tmp_path / "Track00001", make.usual_stems(1))
    spoil, kind, file = DAMAGES[damage]
    spoil(folder)
    with refused(kind, folder / file):
        compiled(folder)


@pytest.mark.parametrize("oddity", ODDITIES)
def test_a_track_whose_files_do_not_fit_together_is_refused(tmp_path, make, refused, oddity):
    folder = make.track(tmp_path / "Track00001", make.usual_stems(1))
    spoil, kind, named = ODDITIES[oddity]
    spoil(folder)
    with refused(kind, remedy=False) as fault:
        compiled(folder)
    assert named in fault.value.problem


def test_damage_outside_the_target_groups_does_not_matter(tmp_path, make):
    folder = make.track(tmp_path / "Track00001", make.usual_stems(1))
    (folder / "stems" / "S03.flac").write_bytes(b"broken drums")
    (folder / "MIDI" / "S03.mid").unlink()
    assert compiled(folder).row["samples"] == 48000


def test_lengths_that_differ_by_a_few_samples_are_fitted(tmp_path, make):
    folder = make.track(tmp_path / "Track00001", make.usual_stems(1))
    soundfile.write(folder / "stems" / "S02.flac", make.tone(40, 2.98), 16000)
    track = compiled(folder)
    assert track.row["samples"] == 48000 and not track.arrays["stems"][-300:, 2].any()


def test_a_track_without_the_instruments_is_refused(tmp_path, make, refused):
    folder = make.track(tmp_path / "Track00001", {"S00": make.stem(60, [(0.1, 1.0, 60)])})
    with refused(NothingToDo, remedy=False):
        compiled(folder)


def test_a_stem_whose_score_is_empty_is_silent_in_the_roll(tmp_path, make):
    stems = make.usual_stems(1)
    stems["S01"].written = []
    track = compiled(make.track(tmp_path / "Track00001", stems))
    assert list(track.row["active"]) == [True, False, True]


def test_very_short_audio_is_a_frame(tmp_path, make):
    stems = {"S00": make.stem(0, [(0.0, 0.01, 60)]), "S01": make.stem(25, [])}
    track = compiled(make.track(tmp_path / "Track00001", stems, 0.01))
    assert track.row["frames"] == 1 and keys(track, 0) == {60}
