"""SFZ: what a file says, and that rendered notes are where and what the score says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from scoresep.errors import Damaged, NothingToDo
from scoresep.rendering.song import Song
from scoresep.rendering.sources import SOURCES
from scoresep.rendering.sources.sfz import BLOCK_SAMPLES, keys_of, read_regions, sfz_text, velocities_of
from scoresep.score.parts import part_from_notes

RATE = 22050
SFZ = SOURCES["sfz"]


def _play(path: Path, notes, seconds=3.0, **fields) -> np.ndarray:
    part = part_from_notes(notes, **fields)
    (patch,) = SFZ.list(path)
    return SFZ.play(patch, Song((part,), seconds), part, RATE, 0)


def _pitch(sound: np.ndarray) -> float:
    """MIDI number of the strongest partial, to a few cents."""
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 1 << 18))
    return 69 + 12 * np.log2(np.argmax(spectrum) * RATE / (1 << 18) / 440)


@pytest.fixture(scope="module")
def guitar(tmp_path_factory, make_pack) -> Path:
    return make_pack(tmp_path_factory.mktemp("sfz") / "guitar", [27])


@pytest.mark.parametrize("pitch", [40, 47, 55, 64, 71])
def test_pitch_and_onset_are_the_written_ones(guitar, pitch):
    sound = _play(guitar, [(0.7513, 2.0, pitch, 100)])
    assert len(sound) == 3 * RATE and sound.dtype == np.float32
    onset = np.argmax(np.abs(sound) > 0.02 * np.abs(sound).max()) / RATE
    assert onset == pytest.approx(0.7513, abs=0.002)
    assert _pitch(sound[int(0.8 * RATE) : int(1.9 * RATE)]) == pytest.approx(pitch, abs=0.1)


def test_a_relative_path_sounds_the_same(guitar, monkeypatch):
    notes = [(0.2, 1.0, 60, 100)]
    absolute = _play(guitar, notes)
    monkeypatch.chdir(guitar.parent.parent)
    np.testing.assert_array_equal(_play(guitar.relative_to(guitar.parent.parent), notes), absolute)


def test_notes_end_where_the_score_ends_them(guitar):
    sound = _play(guitar, [(0.2, 0.9, 60, 100)])
    before, after = sound[int(0.6 * RATE) : int(0.9 * RATE)], sound[int(1.05 * RATE) :]
    assert np.abs(after).max() < 0.001 * np.abs(before).max()


@pytest.mark.parametrize("semitones", [-1.5, 1.0, 2.0, 5.0, 12.0])
def test_bends_sound_at_their_size_whatever_the_file_says(guitar, tmp_path, semitones):
    bent = tmp_path / "bent.sfz"
    bent.write_text(guitar.read_text().replace("samples/", f"{guitar.parent}/samples/") + " bend_up=50 bend_down=-50")
    fields = {"bend_time": np.array([0.0]), "bend": np.array([semitones])}
    sound = _play(bent, [(0.1, 2.0, 57, 100)], **fields)[int(0.2 * RATE) : int(1.8 * RATE)]
    assert _pitch(sound) == pytest.approx(57 + semitones, abs=0.1)


def test_bends_in_a_rest_count_in_their_order(guitar):
    times, bends = np.array([0.0, 0.7005, 0.9001, 1.0003]), np.array([0.0, 2.0, -2.0, 1.0])
    sound = _play(guitar, [(0.0, 0.3, 57, 100), (1.2, 2.6, 57, 100)], bend_time=times, bend=bends)
    assert _pitch(sound[int(1.3 * RATE) : int(2.5 * RATE)]) == pytest.approx(58, abs=0.1)


def test_the_first_playing_of_a_long_sample_is_whole(tmp_path):
    time = np.arange(8 * RATE) / RATE
    soundfile.write(tmp_path / "long.wav", 0.5 * np.sin(2 * np.pi * 440 * time), RATE)
    (tmp_path / "long.sfz").write_text("<region> sample=long.wav pitch_keycenter=69")
    sound = _play(tmp_path / "long.sfz", [(0.0, 7.5, 69, 100)], seconds=8.0)[RATE : 7 * RATE]
    levels = np.sqrt(
        np.square(sound[: len(sound) // BLOCK_SAMPLES * BLOCK_SAMPLES]).reshape(-1, BLOCK_SAMPLES).mean(axis=1)
    )
    assert levels.min() > 0.9 * levels.max()


def test_the_same_part_gives_the_same_samples_though_round_robins_and_chance_are_written(tmp_path):
    for name, hertz in (("a", 220.0), ("b", 330.0), ("c", 440.0)):
        time = np.arange(RATE) / RATE
        soundfile.write(tmp_path / f"{name}.wav", 0.5 * np.sin(2 * np.pi * hertz * time), RATE)
    (tmp_path / "robin.sfz").write_text(
        "<group> key=60 pitch_random=100 amp_random=6\n"
        "<region> sample=a.wav lorand=0 hirand=0.33\n"
        "<region> sample=b.wav lorand=0.33 hirand=0.66\n"
        "<region> sample=c.wav lorand=0.66 hirand=1\n"
    )
    notes = [(0.5 * n, 0.5 * n + 0.4, 60, 100) for n in range(6)]
    first, second = _play(tmp_path / "robin.sfz", notes), _play(tmp_path / "robin.sfz", notes)
    np.testing.assert_array_equal(first, second)
    heard = [_pitch(first[int(0.5 * n * RATE) : int((0.5 * n + 0.4) * RATE)]) for n in range(6)]
    np.testing.assert_allclose(heard, [57, 64.02, 69] * 2, atol=0.2)  # all alternatives, one after the other


def test_the_grammar_of_the_format(tmp_path):
    (tmp_path / "Sounds").mkdir()
    for name in ("one.wav", "a tone.wav"):
        soundfile.write(tmp_path / "Sounds" / name, np.full(100, 0.1), RATE)
    (tmp_path / "part.sfz").write_text(
        "<region> sample=a $FILE.wav key=c#4 // a note\r\n<region>sample=ONE.wav lokey=-1 hikey=-1"
    )
    (tmp_path / "whole.sfz").write_text(
        "/* two\nlines */ <control> default_path=sounds\\ octave_offset=1\n#define $FILE tone\n"
        "<global> volume=3 <master> pan=0 <group> lovel=odd hivel=64\n"
        '#include "part.sfz"\n<region> sample=*noise\n<group>\n<region> sample=one.wav lokey=10 hikey=20\n'
    )
    regions, control = read_regions(tmp_path / "whole.sfz")
    files = [Path(region["sample"]).name for region in regions]
    assert files == ["a tone.wav", "one.wav", "one.wav"]
    assert all(Path(region["sample"]).is_file() for region in regions)
    assert [keys_of(region, control) for region in regions] == [range(73, 74), range(0), range(22, 33)]
    assert velocities_of(regions[0]) == range(65) and velocities_of(regions[2]) == range(128)
    assert [region.get("pan") for region in regions] == ["0"] * 3 and regions[2]["volume"] == "3"
    (tmp_path / "again.sfz").write_text(sfz_text(regions, control, 2.0))
    again, _ = read_regions(tmp_path / "again.sfz")
    assert [region["sample"] for region in again] == [region["sample"] for region in regions]


@pytest.mark.parametrize(
    ("text", "kind", "file", "named"),
    [
        ("", NothingToDo, "bad.sfz", ""),
        ("<region> sample=none.wav", Damaged, "bad.sfz", "none.wav"),
        ("<region> sample=broken.wav", Damaged, "bad.sfz", "broken.wav"),
        ("<region> sample=empty.wav", Damaged, "bad.sfz", "empty.wav"),
        ("<region> sample=good.wav lokey=-1 hikey=-1", NothingToDo, "bad.sfz", ""),
        ('#include "bad.sfz"', Damaged, "bad.sfz", "circle"),
        ('#include "none.sfz"', Damaged, "none.sfz", ""),
    ],
)
def test_every_way_a_file_can_be_wrong(tmp_path, refused, text, kind, file, named):
    soundfile.write(tmp_path / "good.wav", np.ones(10), RATE)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), RATE)
    (tmp_path / "broken.wav").write_bytes(b"RIFF nonsense")
    (tmp_path / "bad.sfz").write_text(text)
    with refused(kind, tmp_path / file) as error:
        SFZ.list(tmp_path / "bad.sfz")
    assert named in str(error.value)
