"""Corpora of bands with singers: sums, bytes, scores that agree, hold-out, credits."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

pytest.importorskip("pyworld", reason="the extra 'voices' is not installed")
from scoresep.datasets.slakh import open_slakh
from scoresep.errors import InvalidValue, Mismatch, NotFound, NothingToDo, WrongFormat
from scoresep.rendering.pools import PackPool, PresetPool, voice_pool
from scoresep.rendering.render import RenderSettings, render_corpus
from scoresep.rendering.settings import RECORD
from scoresep.rendering.song import Song
from scoresep.rendering.sounds import Sounds, write_attributions
from scoresep.rendering.sources.base import Patch
from scoresep.rendering.sources.singing import RATE, Manner, sing, synthetic_voice
from scoresep.rendering.sources.voice import layers, list_voices, play, synthetic_voices
from scoresep.score.parts import part_from_notes, read_midi
from scoresep.score_check import check_stem

SETTINGS = RenderSettings(songs=4, seconds=6.0, sample_rate=16000, seed=4, bands=True)


def digests(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.glob("*/Track*/**/*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bands") / "corpus"
    render_corpus(out, SETTINGS, jobs=1)
    return out


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people who sang, and a folder of silence."""
    folder = tmp_path_factory.mktemp("people")
    for name, key in (("low", 46), ("high", 57)):
        (folder / name).mkdir()
        notes = np.array([[0.2 + 0.4 * n, 0.55 + 0.4 * n, key + n % 5, 100] for n in range(8)])
        sound, _ = sing(synthetic_voice(1, key), notes, 3.6, Manner(), np.random.default_rng(0))
        soundfile.write(folder / name / "1.wav", sound, RATE)
        stated = {"kind": "singing", "licence": "CC0", "attribution": f"{name} voice"}
        (folder / name / "voice.json").write_text(json.dumps(stated))
    (folder / "nobody").mkdir()
    soundfile.write(folder / "nobody" / "1.wav", np.zeros(RATE, np.float32), RATE)
    return folder


@pytest.mark.integration
def test_stems_add_up(corpus: Path) -> None:
    tracks = sorted(corpus.glob("*/Track*"))
    assert len(tracks) == 4
    for track in tracks:
        mix = soundfile.read(track / "mix.flac", dtype="int16")[0]
        stems = [soundfile.read(path, dtype="int16")[0] for path in sorted((track / "stems").iterdir())]
        np.testing.assert_array_equal(mix, np.sum(stems, axis=0, dtype=np.int32))


@pytest.mark.integration
def test_somebody_sings_and_every_stem_agrees_with_its_score(corpus: Path) -> None:
    stems = [stem for track in open_slakh(corpus).tracks for stem in track.stems]
    assert any(stem.program == 53 for stem in stems)
    for stem in stems:
        samples, rate = soundfile.read(stem.audio, dtype="float32")
        (part,) = read_midi(stem.score)
        assert not check_stem(samples, rate, [part], part.is_drum), stem


@pytest.mark.integration
def test_levels_are_those_of_records(corpus: Path) -> None:
    for path in corpus.glob("*/Track*/metadata.yaml"):
        for stem in yaml.safe_load(path.read_text())["stems"].values():
            group = {"Voice": "vocals", "Drums": "drums", "Bass": "bass", "Piano": "piano", "Guitar": "guitar"}
            mean, deviation = RECORD.get(group.get(stem["inst_class"], ""), RECORD[""])
            if stem["inst_class"] in group:
                assert abs(stem["level"] - mean) <= 2.5 * deviation + 0.01


@pytest.mark.integration
def test_the_same_seed_gives_the_same_bytes(corpus: Path, tmp_path: Path) -> None:
    render_corpus(tmp_path / "again", SETTINGS, jobs=2)
    assert digests(tmp_path / "again") == digests(corpus) != {}
    other = replace(SETTINGS, levels="equal")
    with pytest.raises(Mismatch):
        render_corpus(tmp_path / "again", other, jobs=1)


def pool_of(*folders: Path, weak: bool = False) -> PackPool:
    return voice_pool(folders, weak, folders[0] / "store", 0, 1, lambda done, total, what: None, {})[0]


def test_recorded_voices_are_found_named_and_left_out(people: Path) -> None:
    voices = pool_of(people)
    assert {voice.label for voice in voices.all} == {"voices/high", "voices/low"}
    assert set(dict(voices.left_out)) == {"voices/nobody"}
    high, low = sorted(voices.all, key=lambda voice: voice.label)
    assert min(low.keys) < min(high.keys) and low.credit.attribution == "low voice" and low.credit.licence == "CC0"


@pytest.mark.parametrize("recorded", [True, False])
def test_a_part_is_sung_at_its_pitch(recorded: bool, people: Path, tmp_path: Path) -> None:
    """Chords too; the second time from what was kept of the voice."""
    chosen = replace(list_voices(people, tmp_path / "store")[0][1], name="singing") if recorded else None
    voice = chosen or synthetic_voices()[2]
    rows = [(0.3, 1.2, 50, 100), (1.3, 2.4, 53, 100), (2.6, 3.8, 48, 100), (2.6, 3.8, 55, 100)]
    song = Song((part_from_notes(rows, program=53, is_drum=False, name="vocals"),), 4.0, uuid="0" * 32)
    first = play(voice, song, song.parts[0], RATE, 0)
    assert first.shape == (4 * RATE,) and not check_stem(first, RATE, list(song.parts), False)
    assert voice.path.is_file() == recorded
    again = play(Patch(**{**voice.__dict__, "name": "the same"}), song, song.parts[0], RATE, 0)
    np.testing.assert_array_equal(first, again)  # whichever process has analysed it


def test_layers_do_not_overlap() -> None:
    rng = np.random.default_rng(0)
    onset = np.sort(rng.uniform(0, 10, 40))
    notes = np.stack([onset, onset + rng.uniform(0.1, 2, 40), rng.integers(40, 60, 40), np.full(40, 90)], axis=1)
    melodies = layers(notes)
    assert sum(map(len, melodies)) == 40
    assert all((melody[1:, 0] >= melody[:-1, 1] - 0.05).all() for melody in melodies)


def test_voices_of_one_name_keep_their_own_recordings(people: Path, tmp_path: Path) -> None:
    shutil.copytree(people / "low", tmp_path / "other" / "low")
    voices = pool_of(people, tmp_path / "other")
    (low,) = (voice for voice in voices.all if voice.label == "voices/low")
    assert all(str(people) in path for path in low.material)
    assert "another voice has this name" in dict(voices.left_out)[f"voices/low of {tmp_path / 'other'}"]


def test_voices_of_weak_provenance_sing_only_if_asked(people: Path, tmp_path: Path) -> None:
    shutil.copytree(people, tmp_path / "people")
    (tmp_path / "people" / "low" / "voice.json").write_text(json.dumps({"provenance": "Weak: found on a forum"}))
    assert [voice.label for voice in pool_of(tmp_path / "people").all] == ["voices/high"]
    assert len(pool_of(tmp_path / "people", weak=True).all) == 2


def test_voices_that_cannot_be_read_are_left_out(people: Path, tmp_path: Path) -> None:
    shutil.copytree(people, tmp_path / "people")
    (tmp_path / "people" / "low" / "voice.json").write_text("[1")
    (tmp_path / "people" / "high" / "1.wav").write_bytes(b"RIFF")
    with pytest.raises(NothingToDo):
        pool_of(tmp_path / "people")


def test_a_wrong_folder_is_told_before_anything_is_written(tmp_path: Path, refused: Callable) -> None:
    """What was given must not be remembered of a corpus that it could not begin."""
    for wrong in ({"charts": tmp_path / "none"}, {"grooves": tmp_path / "none"}):
        with refused(NotFound, tmp_path / "none"):
            render_corpus(tmp_path / "out", replace(SETTINGS, **wrong), jobs=1)
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("group", ["drums", "piano"])
def test_every_song_has_a_part_of_the_groups(group: str, tmp_path: Path, refused: Callable) -> None:
    """Of the songs drawn for a place the first that has one; a composer that never writes the group says so."""
    settings = replace(SETTINGS, groups=(group,), seconds=3.0)
    report = render_corpus(tmp_path / "out", settings, jobs=1)
    assert sum(report.tracks.values()) == settings.songs
    with refused(NothingToDo):
        render_corpus(tmp_path / "none", replace(settings, bands=False, groups=("reed",)), jobs=1)


def test_credits_are_lines_of_their_own(people: Path, tmp_path: Path) -> None:
    """A licence may not write entries of its own; a corpus that stops has its credits all the same."""
    shutil.copytree(people, tmp_path / "people")
    for name in ("low", "high"):
        stated = {"kind": "singing", "licence": "CC0\n\nother: sound\n    licence: none", "attribution": name}
        (tmp_path / "people" / name / "voice.json").write_text(json.dumps(stated))
    settings = replace(SETTINGS, voices=(tmp_path / "people",), groups=("vocals",), songs=2)
    render_corpus(tmp_path / "out", settings, jobs=1)
    lines = (tmp_path / "out" / "attributions.txt").read_text().splitlines()
    assert "    licence: CC0 other: sound licence: none" in lines and "other: sound" not in lines


@pytest.mark.parametrize("option", ["charts", "grooves", "voices", "sounds"])
def test_a_file_is_no_folder(option: str, tmp_path: Path, refused: Callable) -> None:
    file = tmp_path / "file.txt"
    file.write_text("")
    with refused(WrongFormat, file):
        render_corpus(tmp_path / "out", replace(SETTINGS, **{option: file if option[0] in "cg" else (file,)}), jobs=1)
    assert not (tmp_path / "out").exists()


def test_charts_and_grooves_are_credited(tmp_path: Path) -> None:
    """With the licence that lies in their folder, or else that of the data set of the format."""
    for name in ("charts", "grooves"):
        (tmp_path / name).mkdir()
    (tmp_path / "grooves" / "LICENSE").write_text("Licensed to\nnobody")
    settings = replace(SETTINGS, charts=tmp_path / "charts", grooves=tmp_path / "grooves")
    write_attributions(tmp_path, settings, Sounds(PresetPool({}, {}, {}), PackPool(), None))
    charts, grooves = (tmp_path / "attributions.txt").read_text().split("\n\n")[1:]
    assert charts.startswith("charts: chord charts") and "CC0" in charts and "McGill" in charts
    assert "licence: Licensed to nobody" in grooves and "Groove MIDI Dataset" in grooves


def test_refusals(tmp_path: Path, refused: Callable) -> None:
    (tmp_path / "empty").mkdir()
    with refused(NotFound, tmp_path / "empty"):
        render_corpus(tmp_path / "out", RenderSettings(songs=1, voices=(tmp_path / "empty",)), jobs=1)
    for wrong in ({"bands": True, "midi_dir": tmp_path}, {"charts": tmp_path}, {"levels": "loud"}):
        with refused(InvalidValue, remedy=False):
            RenderSettings(**wrong)
