"""Reading Slakh's layout: where it is, files over flags, groups, the octave rule, splits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from scoresep.datasets.slakh import SLAKH, octave_shift, open_slakh, read_track
from scoresep.datasets.splits import deduplicated
from scoresep.errors import InvalidValue, Mismatch, NotFound


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
    ("damage", "reason"),
    [
        ("hello", "metadata.yaml is unreadable (holds 'hello' instead of a table of UUID and stems)"),
        ("a: [1, 2", "metadata.yaml is unreadable (not YAML: "),
        ("UUID: x\nstems: null\n", "metadata.yaml is unreadable (stems is nothing instead of a table)"),
        ("UUID: x\nstems: {S00: {is_drum: false}}\n", "metadata.yaml is unreadable (stem S00 has no program_num)"),
        ("UUID: x\nstems: {a/S00: {}}\n", "metadata.yaml is unreadable (stem name 'a/S00' is a path)"),
        ("UUID: x\nstems: {'..\\S00': {}}\n", "metadata.yaml is unreadable (stem name '..\\\\S00' is a path)"),
        ("UUID: x\nstems: {}\n", "no stem has audio"),
        ("UUID: x\nstems: {S09: {}}\n", "no stem has audio"),
    ],
)
def test_metadata_that_cannot_be_used_is_a_problem_of_the_track(track, damage, reason):
    (track / "metadata.yaml").write_text(damage)
    found = read_track(track, "train")
    assert found.problem.startswith(reason) and "\n" not in found.problem
    assert found.stems == () and found.split == "train"


def test_a_folder_in_the_metadatas_place_is_a_problem_of_the_track(track):
    (track / "metadata.yaml").unlink()
    (track / "metadata.yaml").mkdir()
    assert read_track(track, "train").problem == "metadata.yaml cannot be read (Is a directory)"


def test_missing_metadata_and_missing_audio_are_problems_of_the_track(track):
    for path in (track / "stems").iterdir():
        path.unlink()
    assert read_track(track, "train").problem == "no stem has audio"
    (track / "metadata.yaml").unlink()
    assert read_track(track, "train").problem == "metadata.yaml is missing"


def test_omitted_tracks_are_listed_as_left_out(tmp_path, make):
    root = make.corpus(tmp_path / "root", {1: "train", 2: "omitted"}, 0.5)
    tracks = open_slakh(root).tracks
    assert [track.omitted for track in tracks] == ["", "left out by the data set (folder 'omitted')"]
    assert (tracks[1].split, tracks[1].problem) == ("", "")


def test_omitted_tracks_may_be_broken(tmp_path, make):
    root = make.corpus(tmp_path / "root", {1: "train", 2: "omitted"}, 0.5)
    (root / "omitted" / "Track00002" / "metadata.yaml").write_text("hello")
    file = tmp_path / "mine.json"
    for omitted_by, content in (("not named in", {"train": ["Track00001"]}), ("left out by", utilities(omit=2))):
        file.write_text(json.dumps(content))
        tracks = open_slakh(root, str(file)).tracks
        assert tracks[1].omitted == f"{omitted_by} mine.json" and not tracks[1].problem


def utilities(*, omit: int) -> dict[str, dict[str, str | None]]:
    """Tracks 1 and 2 in the form of the data set's utilities."""
    about: dict[str, dict[str, str | None]] = {f"Track0000{number}": {"action": None} for number in (1, 2)}
    return about | {f"Track0000{omit}": {"action": "omit", "source_split": "train"}}


def test_a_track_that_is_there_twice_is_a_problem(tmp_path, make):
    root = make.corpus(tmp_path / "root", {1: "train", 2: "train"}, 0.1)
    make.corpus(root / "copy", {1: "test"}, 0.1)
    (root / "copy" / "test").rename(root / "test")
    first, second = open_slakh(root).tracks
    assert first.problem == "is there more than once, in folder 'train' and folder 'test'; remove all but one"
    assert (first.id, second.id, second.problem) == ("Track00001", "Track00002", "")


def test_a_track_beside_the_split_folders_is_omitted_unless_a_file_places_it(tmp_path, make):
    root = make.corpus(tmp_path / "root", {1: "train"}, 0.1)
    make.track(root / "Track00002", make.usual_stems(2), 0.1)
    assert [track.omitted for track in open_slakh(root).tracks] == ["", "lies in none of the split folders"]
    (tmp_path / "mine.json").write_text('{"train": ["Track00001"], "test": ["Track00002"]}')
    tracks = open_slakh(root, str(tmp_path / "mine.json")).tracks
    assert [(track.split, track.omitted, len(track.stems)) for track in tracks] == [("train", "", 4), ("test", "", 4)]


def test_a_split_file_decides_in_place_of_the_folders(tmp_path, make):
    root = make.corpus(tmp_path / "slakh-split2", {1: "test", 2: "omitted", 3: "train", 1501: "train"}, 0.1)
    (tmp_path / "redux.json").write_text(
        json.dumps(
            {
                "Track00001": {"action": None},
                "Track00002": {"action": None},
                "Track00003": {"action": "omit", "source_split": "train"},
                "Track01501": {"action": None},
            }
        )
    )
    found = open_slakh(root, str(tmp_path / "redux.json"))
    assert found.split_set == "redux"
    assert [track.split for track in found.tracks] == ["train", "train", "", "validation"]
    assert [bool(track.omitted) for track in found.tracks] == [False, False, True, False]
    assert len(found.tracks[1].stems) == 4


def test_a_split_file_of_the_utilities_leaves_rendered_tracks_in_their_folders(tmp_path, make):
    root = make.corpus(tmp_path / "root", {1: "test", 2: "train"}, 0.1)
    (root / "render.json").write_text("{}")
    (tmp_path / "mine.json").write_text(json.dumps(utilities(omit=2)))
    found = open_slakh(root, str(tmp_path / "mine.json"))
    assert (found.name, found.split_set) == ("rendered", "mine")
    assert [track.split for track in found.tracks] == ["test", ""]


def test_the_edition_without_folders_follows_a_file_or_the_original_numbers(tmp_path, make):
    for number in (1, 1501, 2100, 2101):
        make.track(tmp_path / "flat" / f"Track{number:05d}", {"S00": make.stem(0, [])}, 0.05, suffix=".wav")
    found = open_slakh(tmp_path / "flat", "orig")
    assert found.split_set == "orig"
    assert [track.split for track in found.tracks] == ["train", "validation", "test", ""]
    assert found.tracks[3].omitted == "not among the numbers of Slakh2100"
    (tmp_path / "splits_v2.json").write_text(
        '{"Track00001": {"action": "move", "source_split": "train", "destination_split": "test"},'
        ' "Track01501": {"action": null}}'
    )
    found = open_slakh(tmp_path / "flat", str(tmp_path / "splits_v2.json"))
    assert found.split_set == "split2"
    assert [(track.split, track.omitted) for track in found.tracks] == [
        ("test", ""),
        ("validation", ""),
        ("", "not named in splits_v2.json"),
        ("", "not named in splits_v2.json"),
    ]


@pytest.mark.parametrize("name", ["orig", "split2", "redux"])
def test_the_user_may_say_which_set_the_folders_follow(corpus, name):
    found = open_slakh(corpus, name)
    assert (found.split_set, found.tracks) == (name, open_slakh(corpus).tracks)


def test_a_set_that_the_corpus_cannot_follow_is_refused(tmp_path, make, refused):
    make.track(tmp_path / "flat" / "Track00001", {"S00": make.stem(0, [])}, 0.05)
    with refused(Mismatch, tmp_path / "flat"):
        open_slakh(tmp_path / "flat", "redux")
    root = make.corpus(tmp_path / "root", {1: "train"}, 0.1)
    (root / "render.json").write_text("{}")
    with refused(Mismatch, root):
        open_slakh(root, "orig")


def test_an_unknown_split_set_suggests_the_nearest(corpus, refused):
    with refused(InvalidValue) as fault:
        open_slakh(corpus, "redx")
    assert "'redx'" in fault.value.problem and "'redux'" in fault.value.remedy
    with refused(NotFound, "none.json"):
        open_slakh(corpus, "none.json")


def test_dedupe_omits_copies_outside_the_split_that_is_worth_most(corpus_copy):
    for place in ("train/Track00001", "train/Track00002", "test/Track00005"):
        path = corpus_copy / place / "metadata.yaml"
        path.write_text(path.read_text().replace(f"uuid-of-{path.parent.name}", "one piece"))
    assert not any(track.omitted for track in open_slakh(corpus_copy).tracks)
    found = deduplicated(open_slakh(corpus_copy))
    assert found.split_set == "redux+dedupe"
    reason = "same music (UUID one piece) as Track00005 in test"
    assert [track.omitted for track in found.tracks] == [reason, reason, "", "", ""]


def test_paths_are_absolute_since_other_machines_read_them(corpus, monkeypatch):
    monkeypatch.chdir(corpus.parent)
    found = open_slakh(corpus.name)
    assert found.root == corpus
    assert all(path.is_absolute() for track in found.tracks for path in track.files)


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
    root = make.corpus(tmp_path / name, {1: "train", 1501: "validation", 1876: "test"}, 0.1)
    assert open_slakh(root).split_set == split_set


def test_folders_that_are_not_the_original_ones_are_not_called_so(tmp_path, make):
    assert open_slakh(make.corpus(tmp_path / "x", {1: "train", 2: "test"}, 0.1)).split_set == "folders"


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
    assert SLAKH.find_root(None) == Path("slakh2100_flac_redux")
    monkeypatch.setenv("SLAKH_ROOT", str(nowhere / "named"))
    assert SLAKH.find_root(None) == nowhere / "named"
    assert SLAKH.find_root("given") == Path("given")


def test_usual_folders_are_looked_for_in_data_and_at_home(nowhere):
    home = nowhere.parent / "home" / "slakh2100_redux_16k"
    home.mkdir()
    assert SLAKH.find_root(None) == home
    (nowhere / "data" / "babyslakh_16k").mkdir(parents=True)
    assert SLAKH.find_root(None) == Path("data/babyslakh_16k")


def test_no_root_is_one_line_that_says_what_to_do(nowhere, refused):
    with refused(NotFound) as fault:
        SLAKH.find_root(None)
    assert "SLAKH_ROOT" in fault.value.remedy


def test_a_root_that_is_no_folder_is_named(nowhere, monkeypatch, refused):
    with refused(NotFound, "none"):
        open_slakh("none")
    monkeypatch.setenv("SLAKH_ROOT", "gone")
    with refused(NotFound, "gone") as fault:
        SLAKH.find_root(None)
    assert "SLAKH_ROOT" in fault.value.remedy


def test_a_folder_without_tracks_is_refused(tmp_path, refused):
    with refused(NotFound, tmp_path):
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


def test_what_is_odd_about_usable_metadata_is_a_remark(tmp_path, make):
    folder = make.track(tmp_path / "Track00001", make.usual_stems(1))
    assert read_track(folder, "train").remark == ""
    (folder / "stems" / "S01.flac").unlink()
    path = folder / "metadata.yaml"
    path.write_text(path.read_text().replace("audio_dir: Track00001", "audio_dir: /other/Track00001"))
    track = read_track(folder, "train")
    assert not track.problem and len(track.stems) == 3
    assert "folders of another machine" in track.remark and "no audio for S01" in track.remark
