"""Recordings with scores of the same name: what is a pair, what is listed as none, splits."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import soundfile

from scoresep.datasets.pairs import open_pairs
from scoresep.datasets.splits import deduplicated, find_split_leakage
from scoresep.errors import NotFound, Unavailable, WrongFormat
from scoresep.score.parts import SCORE_SUFFIXES


@pytest.fixture
def put(tmp_path, make):
    """A function that writes files below `songs`: MIDI of one note (its pitch may be given) and silence as audio."""

    def write(*names: str, pitch: int = 60) -> Path:
        for name in names:
            path = tmp_path / "songs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix.lower() in (".mid", ".midi"):
                make.midi(path, [(0.0, 0.5, pitch)])
            elif path.suffix.lower() in (".wav", ".flac", ".ogg", ".mp3"):
                soundfile.write(path, make.tone(60, 0.2), make.rate, format=path.suffix[1:].upper())
            else:
                path.write_text("no music")
        return tmp_path / "songs"

    return write


def test_pairs_are_found_in_every_format_letter_case_and_depth(put):
    root = put("a.wav", "a.mid", "B.FLAC", "B.MIDI", "c.ogg", "c.Mid", "live/1999/d.mp3", "live/1999/d.mid", "x.txt")
    found = open_pairs(root)
    assert (found.name, found.root, found.split_set, found.rules, found.has_stems) == (
        "pairs",
        root,
        "seed-0",
        (),
        False,
    )
    assert [track.id for track in found.tracks] == ["B", "a", "c", "live/1999/d"]
    assert [(track.mixture.name, track.score.name) for track in found.tracks] == [
        ("B.FLAC", "B.MIDI"),
        ("a.wav", "a.mid"),
        ("c.ogg", "c.Mid"),
        ("d.mp3", "d.mid"),
    ]
    assert not any(track.problem or track.omitted or track.stems for track in found.tracks)
    assert all(len(track.files) == 2 for track in found.tracks)


def test_paths_are_absolute_since_other_machines_read_them(put, monkeypatch):
    monkeypatch.chdir(put("a.wav", "a.mid").parent)
    (track,) = open_pairs("songs").tracks
    assert track.mixture.is_absolute() and track.score.is_absolute()


def test_what_is_no_pair_is_listed_with_the_reason(put):
    root = put("a.wav", "a.mid", "b.wav", "c.mid", "d.wav", "d.flac", "d.mid", "e.wav", "e.mid", "e.midi", "in/a.ogg")
    problems = {track.id: track.problem for track in open_pairs(root).tracks}
    assert problems == {
        "a": "",
        "b": "b.wav has no score; put b.mid beside it",
        "c": "c.mid has no recording; put c.wav beside it",
        "d": "2 recordings of one name (d.flac, d.wav); keep one",
        "e": "2 scores of one name (e.mid, e.midi); keep one",
        "in/a": "a.ogg has no score; put a.mid beside it",
    }


def test_dots_belong_to_the_name(put):
    assert [
        t.id for t in open_pairs(put("song.v2.wav", "song.v2.mid", "song.v2.old.wav", "song.v2.old.mid")).tracks
    ] == [
        "song.v2",
        "song.v2.old",
    ]


def test_hidden_files_are_no_music(put):
    root = put("a.wav", "a.mid", "._a.wav", "._b.mid", ".trash/c.wav")
    assert [track.id for track in open_pairs(root).tracks] == ["a"]


def test_linked_folders_are_followed_once(put, tmp_path):
    root = put("a.wav", "a.mid")
    (tmp_path / "elsewhere").mkdir()
    (root / "a.wav").rename(tmp_path / "elsewhere" / "b.wav")
    (root / "a.mid").rename(tmp_path / "elsewhere" / "b.mid")
    (root / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(root)
    assert [track.id for track in open_pairs(root).tracks] == ["link/b"]


def test_a_vanished_score_is_a_problem(put):
    root = put("a.wav", "b.wav", "b.mid")
    (root / "a.mid").symlink_to(root / "gone.mid")
    assert open_pairs(root).tracks[0].problem == "a.mid cannot be read (No such file or directory)"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_name_that_is_not_utf8_is_a_problem(put):
    root = put("a.wav", "a.mid")
    os.rename(root / "a.mid", os.fsencode(root) + b"/\xe9.mid")  # noqa: PTH104
    os.rename(root / "a.wav", os.fsencode(root) + b"/\xe9.wav")  # noqa: PTH104
    put("b.wav", "b.mid")
    tracks = open_pairs(root).tracks
    assert [track.problem for track in tracks] == ["", "its file name is not UTF-8; rename it"]
    assert tracks[1].id.encode()


def test_identity_is_the_score(put):
    root = put("a.wav", "a.mid", "b.ogg", "b.mid")
    put("c.wav", "c.mid", pitch=61)
    a, b, c = open_pairs(root).tracks
    assert a.uuid == b.uuid != c.uuid and len(a.uuid) == 32


def test_splits_by_chance_depend_on_the_seed_alone(put):
    for number in range(20):
        root = put(f"{number:02d}.wav", f"{number:02d}.mid", pitch=40 + number)
    put("alone.wav", "00again.wav", "00again.mid", pitch=40)
    found = open_pairs(root)
    splits = {track.id: track.split for track in found.tracks}
    assert [list(splits.values()).count(split) for split in ("validation", "test", "")] == [2, 2, 1]
    assert splits["00"] == splits["00again"] and splits["alone"] == ""
    assert {track.id: track.split for track in open_pairs(root).tracks} == splits
    other = open_pairs(root, seed=1)
    assert other.split_set == "seed-1"
    assert {track.id: track.split for track in other.tracks} != splits


def test_a_csv_decides(put, tmp_path):
    root = put("a.wav", "a.mid", "in/b.wav", "in/b.mid", "c.wav", "c.mid", "d.wav")
    csv = tmp_path / "fold-1.csv"
    csv.write_text("name,split\na,train\nin/b,test\nd,train\n")
    found = open_pairs(root, csv)
    assert found.split_set == "fold-1"
    assert [(t.id, t.split, bool(t.problem), t.omitted) for t in found.tracks] == [
        ("a", "train", False, ""),
        ("c", "", False, "not named in fold-1.csv"),
        ("d", "train", True, ""),
        ("in/b", "test", False, ""),
    ]
    assert len(find_split_leakage(found.tracks)) == 1  # a and in/b have one score
    without = deduplicated(open_pairs(root, csv))
    assert without.split_set == "fold-1+dedupe" and not find_split_leakage(without.tracks)


def test_a_csv_of_other_names_is_refused_with_its_line(put, tmp_path, refused):
    csv = tmp_path / "fold.csv"
    csv.write_text("name,split\na,train\nsong-2,test\n")
    with refused(WrongFormat, csv) as fault:
        open_pairs(put("a.wav", "a.mid", "song-1.wav", "song-1.mid"), csv)
    assert all(words in fault.value.problem for words in ("line 3", "'song-2'", "did you mean 'song-1'"))


@pytest.mark.parametrize(
    ("names", "reason"),
    [((), ""), (("x.txt",), ""), (("a.wav", "b.mid"), "a.wav has no score; put a.mid beside it")],
)
def test_a_folder_without_pairs_is_refused(put, tmp_path, names, reason, refused):
    (tmp_path / "songs").mkdir()
    put(*names)
    with refused(NotFound, tmp_path / "songs") as fault:
        open_pairs(tmp_path / "songs")
    assert reason in fault.value.problem


def test_no_folder_is_refused(tmp_path, refused):
    with refused(NotFound, tmp_path / "none"):
        open_pairs(tmp_path / "none")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_locked_folder_is_not_passed_over(put, refused):
    root = put("a.wav", "a.mid", "in/b.wav", "in/b.mid")
    (root / "in").chmod(0)
    try:
        with refused(Unavailable, root / "in"):
            open_pairs(root)
    finally:
        (root / "in").chmod(0o700)


def test_every_format_that_is_read_makes_a_pair(put):
    root = put(
        "a.aiff", "a.mid", "b.au", "b.mid", "c.caf", "c.mid", "d.OGA", "d.mid", "e.opus", "e.mid", "f.mp2", "f.mid"
    )
    assert [track.problem for track in open_pairs(root).tracks] == [""] * 6


def test_a_recording_that_is_not_read_is_named_with_the_remedy(put):
    root = put("a.wav", "a.mid", "a.m4a", "b.M4A", "b.mid", "c.wma")
    problems = {track.id: track.problem for track in open_pairs(root).tracks}
    assert not problems["a"]
    assert problems["b"].startswith("b.M4A ") and "ffmpeg -i b.M4A b.wav" in problems["b"]
    assert problems["c"].startswith("c.wma ") and "ffmpeg" in problems["c"]


@pytest.mark.parametrize("suffix", SCORE_SUFFIXES)
def test_every_kind_of_score_is_found(put, suffix):
    root = put("a.wav", "a.mid")
    (root / "a.mid").rename(root / f"a{suffix.upper()}")
    (track,) = open_pairs(root).tracks
    assert track.score and track.score.suffix.lower() == suffix and not track.problem
