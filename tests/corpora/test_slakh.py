"""Reading Slakh's layout: where it is, files over flags, groups, the octave rule, splits."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from scoresep.corpora.slakh import find_root, octave_shift, open_slakh, read_track
from scoresep.errors import ScoresepError


@pytest.fixture
def track(tmp_path, make) -> Path:
    return make.track(tmp_path / "root" / "train" / "Track00001", make.usual_stems(1), 0.5)


def edit(track: Path, **changes) -> None:
    """Change the metadata of stem S00."""
    path = track / "metadata.yaml"
    metadata = yaml.safe_load(path.read_text())
    metadata["stems"]["S00"] |= changes
    path.write_text(yaml.safe_dump(metadata))


def test_corpus_with_split_folders(corpus):
    found = open_slakh(corpus)
    assert (found.name, found.split_set, found.rules) == ("slakh", "redux", ("bass-octave",))
    assert [(track.id[-1], track.split) for track in found.tracks] == [
        ("1", "train"),
        ("2", "train"),
        ("3", "train"),
        ("4", "validation"),
        ("5", "test"),
    ]
    stems = {stem.name: stem for stem in found.tracks[0].stems}
    assert [stem.program for stem in stems.values()] == [0, 25, 33, 128]
    assert [stem.is_drum for stem in stems.values()] == [False, False, False, True]
    assert [stem.transpose for stem in stems.values()] == [0, 0, -12, 0]
    assert all(stem.audio.is_file() and stem.score.is_file() for stem in stems.values())
    assert found.tracks[0].uuid == "uuid-of-Track00001"


@pytest.mark.parametrize(
    ("program", "is_drum", "plugin", "shift"),
    [
        (33, False, "scarbee_rickenbacker_bass.nkm", -12),
        (32, False, "upright_bass.nkm", -12),
        (39, False, "a.nkm", -12),
        (36, False, "scarbee_jay_bass_slap_both.nkm", 0),
        (33, False, "a_bass.sfz", 0),
        (33, False, "a_bass.nkm.sfz", 0),
        (33, False, "", 0),
        (31, False, "elektrik_guitar.nkm", 0),
        (40, False, "violin.nkm", 0),
        (33, True, "kit.nkm", 0),
        (128, True, "kit.nkm", 0),
    ],
)
def test_octave_rule(program, is_drum, plugin, shift):
    assert octave_shift(program, is_drum, plugin) == shift


def test_files_are_believed_when_the_flag_says_there_are_none(track):
    edit(track, audio_rendered=False, midi_saved=False)
    assert "S00" in [stem.name for stem in read_track(track, "train").stems]


def test_files_are_believed_when_the_flag_says_there_are_some(track):
    (track / "stems" / "S00.flac").unlink()
    found = read_track(track, "train")
    assert [stem.name for stem in found.stems] == ["S01", "S02", "S03"] and not found.problem


def test_foreign_paths_in_the_metadata_are_ignored(track):
    path = track / "metadata.yaml"
    metadata = yaml.safe_load(path.read_text()) | {"audio_dir": "/home/x/stems", "midi_dir": "/home/x/MIDI"}
    path.write_text(yaml.safe_dump(metadata))
    assert len(read_track(track, "train").stems) == 4


def test_a_stem_without_midi_has_no_score(track):
    (track / "MIDI" / "S01.mid").unlink()
    assert [stem.score is None for stem in read_track(track, "train").stems] == [False, True, False, False]


def test_drums_are_known_by_program_or_flag(track):
    edit(track, program_num=128, is_drum=False)
    assert read_track(track, "train").stems[0].is_drum
    edit(track, program_num=0, is_drum=True)
    assert read_track(track, "train").stems[0].is_drum


def test_a_missing_plugin_name_is_no_problem(track):
    edit(track, plugin_name=None, program_num=33)
    assert read_track(track, "train").stems[0].transpose == 0


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "",
        "a: [1, 2",
        "UUID: x\n",
        "UUID: x\nstems: [1, 2]\n",
        "UUID: x\nstems: {S00: piano}\n",
        "UUID: x\nstems: {S00: {is_drum: false}}\n",
        "UUID: x\nstems: {S00: {is_drum: false, program_num: many}}\n",
        "UUID: x\nstems: {S00: {is_drum: false, program_num: null}}\n",
        "UUID: x\nstems: {../../S00: {is_drum: false, program_num: 0}}\n",
        "\t\0",
    ],
)
def test_unreadable_metadata_is_a_problem_of_the_track_in_one_line(track, text):
    (track / "metadata.yaml").write_text(text)
    found = read_track(track, "train")
    assert found.problem.startswith("metadata.yaml is unreadable") and "\n" not in found.problem
    assert found.stems == ()


def test_metadata_of_another_encoding_is_a_problem_of_the_track(track):
    (track / "metadata.yaml").write_bytes(b"UUID: \xff\xfe")
    assert "unreadable" in read_track(track, "train").problem


def test_missing_metadata_and_missing_audio_are_problems_of_the_track(track):
    for path in (track / "stems").iterdir():
        path.unlink()
    assert read_track(track, "train").problem == "no stem has audio"
    (track / "metadata.yaml").unlink()
    assert read_track(track, "train").problem == "metadata.yaml is missing"


def test_omitted_tracks_are_listed_as_left_out(tmp_path, make):
    root = make.corpus(tmp_path / "root", {1: "train", 2: "omitted"}, 0.5)
    tracks = open_slakh(root).tracks
    assert [track.problem for track in tracks] == ["", "left out by the data set (folder 'omitted')"]
    assert tracks[1].split == ""


def test_tracks_without_split_folders_get_a_fixed_split(tmp_path, make):
    for number in range(1, 21):
        make.track(tmp_path / "flat" / f"Track{number:05d}", {"S00": make.stem(0, [])}, 0.05, suffix=".wav")
    found = open_slakh(tmp_path / "flat")
    splits = [track.split for track in found.tracks]
    assert found.split_set == "hashed"
    assert {split: splits.count(split) for split in set(splits)} == {"train": 16, "validation": 2, "test": 2}
    assert [track.split for track in open_slakh(tmp_path / "flat").tracks] == splits


def test_equal_music_stays_in_one_split(tmp_path, make):
    for number in range(1, 21):
        folder = make.track(tmp_path / "flat" / f"Track{number:05d}", {"S00": make.stem(0, [])}, 0.05)
        path = folder / "metadata.yaml"
        path.write_text(path.read_text().replace(f"uuid-of-{folder.name}", f"piece{number % 5}"))
    splits: dict[str, set[str]] = {}
    for track in open_slakh(tmp_path / "flat").tracks:
        splits.setdefault(track.uuid, set()).add(track.split)
    assert len(splits) == 5 and all(len(found) == 1 for found in splits.values())
    assert set.union(*splits.values()) == {"train", "validation", "test"}


@pytest.mark.parametrize(
    ("name", "split_set"), [("slakh2100_flac_redux", "redux"), ("x", "orig"), ("a-split2", "split2")]
)
def test_split_set_is_named_after_the_folder(tmp_path, make, name, split_set):
    assert open_slakh(make.corpus(tmp_path / name, {1: "train"}, 0.1)).split_set == split_set


def test_rendered_corpora_are_called_rendered(tmp_path, make):
    root = make.corpus(tmp_path / "slakh2100_flac_redux", {1: "train"}, 0.1)
    (root / "render.json").write_text("{}")
    assert open_slakh(root).split_set == "rendered"


@pytest.fixture
def nowhere(tmp_path, monkeypatch) -> Path:
    """An empty working and home folder, and no SLAKH_ROOT."""
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SLAKH_ROOT", raising=False)
    return tmp_path / "work"


def test_root_is_the_argument_before_all_else(nowhere, monkeypatch):
    for name in ("given", "named", "slakh2100_flac_redux"):
        (nowhere / name).mkdir()
    assert find_root(None) == Path("slakh2100_flac_redux")
    monkeypatch.setenv("SLAKH_ROOT", str(nowhere / "named"))
    assert find_root(None) == nowhere / "named"
    assert find_root("given") == Path("given")


def test_usual_folders_are_looked_for_in_data_and_at_home(nowhere):
    home = nowhere.parent / "home" / "slakh2100_redux_16k"
    home.mkdir()
    assert find_root(None) == home
    (nowhere / "data" / "babyslakh_16k").mkdir(parents=True)
    assert find_root(None) == Path("data/babyslakh_16k")


def test_no_root_is_one_line_that_says_what_to_do(nowhere):
    with pytest.raises(ScoresepError, match=r"no corpus found; .*SLAKH_ROOT.*scoresep render") as fault:
        open_slakh()
    assert "\n" not in str(fault.value)


def test_a_root_that_is_no_folder_is_named(nowhere, monkeypatch):
    with pytest.raises(ScoresepError, match="corpus none is not a folder"):
        open_slakh("none")
    monkeypatch.setenv("SLAKH_ROOT", "gone")
    with pytest.raises(ScoresepError, match="SLAKH_ROOT names gone, which is not a folder"):
        open_slakh()


def test_a_folder_without_tracks_is_refused(tmp_path):
    with pytest.raises(ScoresepError, match="holds no TrackNNNNN folder"):
        open_slakh(tmp_path)


@pytest.mark.parametrize("layout", ["babyslakh_16k", "slakh2100_flac_redux"])
def test_the_real_clip(real_clip, layout):
    (track,) = open_slakh(real_clip / layout).tracks
    assert (track.id, track.split, track.problem) == ("Track00001", "train", "")
    assert track.uuid == "1a81ae092884234f3264e2f45927f00a"
    stems = {stem.name: stem for stem in track.stems}
    assert list(stems) == [f"S{n:02d}" for n in range(11) if n != 6]  # S06 has no files
    assert stems["S01"].is_drum and stems["S01"].program == 128
    assert stems["S03"].transpose == -12 and stems["S00"].transpose == 0
    assert all(stem.score is not None for stem in stems.values())
