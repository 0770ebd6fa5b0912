"""Splits: both forms of JSON, the CSV, splits by hash, split leakage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scoresep.datasets.base import Corpus, Track
from scoresep.datasets.splits import (
    apply_split_file,
    assign_splits,
    deduplicated,
    find_split_leakage,
    original_split,
    read_split_csv,
    read_split_file,
    without_split_leakage,
)
from scoresep.errors import Mismatch, NotFound, WrongFormat


def name(number: int) -> str:
    return f"Track{number:05d}"


def track(number: int, split: str = "train", uuid: str = "", **fields: str) -> Track:
    return Track(name(number), split, uuid, **fields)


def write(path: Path, values: object) -> Path:
    path.write_text(values if isinstance(values, str) else json.dumps(values), encoding="utf-8")
    return path


UTILITIES = {
    name(1): {"action": None},
    name(2): {"action": "omit", "source_split": "train"},
    name(3): {"action": "move", "source_split": "train", "destination_split": "test"},
    name(1600): {"action": "move", "source_split": "validation", "destination_split": "train"},
    name(1601): {"action": None},
    name(2100): {"action": None},
}
"""In the form of the data set's utilities: what is to be done with Slakh2100-orig."""
MEANT = {1: "train", 2: "", 3: "test", 1600: "train", 1601: "validation", 2100: "test"}


@pytest.mark.parametrize("folder", ["train", "validation", "test"])
def test_the_utilities_file_decides_wherever_a_track_lies(tmp_path, folder):
    file = read_split_file(write(tmp_path / "redux.json", UTILITIES))
    placed = apply_split_file([track(number, folder) for number in MEANT], file, numbered=True)
    assert {int(t.id[5:]): t.split for t in placed} == MEANT
    assert [t.id for t in placed if t.omitted] == [name(2)]
    assert placed[1].omitted == "left out by redux.json"


def test_tracks_of_another_corpus_stay_where_the_utilities_form_leaves_them(tmp_path):
    file = read_split_file(write(tmp_path / "mine.json", {name(1): {"action": None}, name(1601): {"action": None}}))
    placed = apply_split_file([track(1, "test"), track(1601, "train")], file)
    assert [t.split for t in placed] == ["test", "train"]


def test_a_file_whose_sources_are_not_slakhs_is_about_other_tracks(tmp_path):
    moved = {"action": "move", "source_split": "test", "destination_split": "validation"}  # Slakh's Track00002: train
    file = read_split_file(write(tmp_path / "mine.json", {name(1): {"action": None}, name(2): moved}))
    placed = apply_split_file([track(1, "test"), track(2, "test")], file, numbered=True)
    assert [t.split for t in placed] == ["test", "validation"]


def test_plain_lists_decide_and_what_they_do_not_name_is_omitted(tmp_path):
    file = read_split_file(write(tmp_path / "mine.json", {"train": [name(1), name(9)], "test": [name(2)]}))
    tracks = [track(1, "test"), track(2, "", omitted="left out"), track(3), track(4, problem="broken")]
    placed = apply_split_file(tracks, file, numbered=True)
    assert [(t.split, t.omitted, t.problem) for t in placed] == [
        ("train", "", ""),
        ("test", "", ""),
        ("", "not named in mine.json", ""),
        ("", "not named in mine.json", ""),
    ]
    assert file.absent(tracks) == [name(9)]


def test_broken_tracks_stay_broken_in_a_split(tmp_path):
    file = read_split_file(write(tmp_path / "mine.json", {"test": [name(1)]}))
    (placed,) = apply_split_file([track(1, problem="broken")], file)
    assert (placed.split, placed.problem, placed.omitted) == ("test", "broken", "")


def test_what_a_file_omits_need_not_be_there(tmp_path):
    assert read_split_file(write(tmp_path / "a.json", UTILITIES)).absent([track(1), track(3), track(1600)]) == [
        name(1601),
        name(2100),
    ]


@pytest.mark.parametrize(
    ("file", "called"),
    [
        ("redux.json", "redux"),
        ("Redux.JSON", "redux"),
        ("splits_v2.json", "split2"),
        ("split2.json", "split2"),
        ("my_redux.json", "my_redux"),
        ("fold-3.json", "fold-3"),
    ],
)
def test_a_split_set_is_called_by_its_file(tmp_path, file, called):
    assert read_split_file(write(tmp_path / file, UTILITIES)).name == called


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ""),
        ("{", ""),
        ("[" * 100_000, ""),
        ("\udcff", ""),
        ('{"train": ["Track00001"], "train": []}', "'train'"),
        ('{"Track00001": {"action": null}, "Track00001": {"action": "omit"}}', "'Track00001'"),
        ([name(1)], ""),
        ({}, ""),
        ("7", ""),
        ({"train": [name(1)], "valid": []}, "did you mean 'validation'"),
        ({"valid": []}, "'valid'"),
        ({"train": name(1)}, "'train'"),
        ({"train": [1]}, "'train'"),
        ({"train": [name(1)], "test": [name(1)]}, "'Track00001'"),
        ({name(1): "train"}, "'Track00001'"),
        ({name(1): {"split": "train"}}, "'Track00001'"),
        ({name(1): {"action": "copy"}}, "'copy'"),
        ({name(1): {"action": "move"}}, "'Track00001' moves to no split"),
        ({name(1): {"action": "move", "destination_split": "tset"}}, "'tset'"),
        ({name(1): {"action": "move", "destination_split": ["test"]}}, "['test']"),
    ],
)
def test_a_bad_split_file_is_one_line_with_the_remedy(tmp_path, content, words, refused):
    path = tmp_path / "splits.json"
    if isinstance(content, str):
        path.write_text(content, encoding="utf-8", errors="surrogateescape")
    else:
        write(path, content)
    with refused(WrongFormat, path) as fault:
        read_split_file(path)
    assert words in fault.value.problem and "redux.json" in fault.value.remedy


def test_a_missing_split_file_is_named(tmp_path, refused):
    with refused(NotFound, tmp_path / "none.json"):
        read_split_file(tmp_path / "none.json")


def test_a_file_about_other_tracks_is_refused(tmp_path, refused):
    file = read_split_file(write(tmp_path / "mine.json", {"train": ["song"]}))
    with refused(Mismatch, tmp_path / "mine.json"):
        apply_split_file([track(1), track(2)], file)


@pytest.mark.parametrize(
    ("number", "split"),
    [(1, "train"), (1500, "train"), (1501, "validation"), (1875, "validation"), (1876, "test"), (2100, "test")],
)
def test_original_splits_go_by_number(number, split):
    assert original_split(name(number)) == split


@pytest.mark.parametrize("other", ["Track00000", "Track02101", "Track0001", "Track", "song", "Trackabcde", "00001"])
def test_other_names_have_no_original_split(other):
    assert original_split(other) == ""


def test_the_csv_names_tracks_and_splits(tmp_path):
    text = "\ufeffName,id,Split \n a/song,1,test\n\nb,2, train \n"
    file = read_split_csv(write(tmp_path / "fold.csv", text), {"a/song", "b", "c"})
    assert (file.places, file.name) == ({"a/song": "test", "b": "train"}, "fold")
    placed = apply_split_file([Track(t, "") for t in ("a/song", "b", "c")], file)
    assert [(t.split, t.omitted) for t in placed] == [("test", ""), ("train", ""), ("", "not named in fold.csv")]


def test_commas_and_line_breaks_within_quotes_are_part_of_a_name(tmp_path, refused):
    text = 'name,split\n"one, two",train\n"line\nbreak",test\nx,tset\n'
    path = write(tmp_path / "fold.csv", text)
    with refused(WrongFormat, path) as fault:
        read_split_csv(path, {"one, two", "line\nbreak", "x"})
    assert "line 5: unknown split 'tset'; did you mean 'test'" in fault.value.problem


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "name,split"),
        ("a,train\n", "name,split"),
        ("name;split\na;train\n", "name,split"),
        ("name,split\na,train\nsonng,train\n", "line 3: no track is called 'sonng'; did you mean 'song'"),
        ("name,split\nzz,train\n", "line 2: no track is called 'zz'"),
        ("name,split\na,valid\n", "line 2: unknown split 'valid'; did you mean 'validation'"),
        ("name,split\na\n", "line 2: unknown split ''"),
        ("name,split\na,train\nsong,test\na,test\n", "line 4: 'a'"),
        (b"name,split\n\xff,train\n", "UTF-8"),
    ],
)
def test_a_bad_csv_is_one_line_with_its_number(tmp_path, text, words, refused):
    path = tmp_path / "fold.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with refused(WrongFormat, path) as fault:
        read_split_csv(path, {"a", "song"})
    assert words in fault.value.problem


def test_hashed_splits_are_80_10_10_and_do_not_depend_on_order():
    tracks = [track(number, uuid=f"piece {number}") for number in range(100)]
    assigned = assign_splits(tracks)
    splits = [t.split for t in assigned]
    assert [splits.count(split) for split in ("train", "validation", "test")] == [80, 10, 10]
    backwards = assign_splits(reversed(tracks))
    assert {t.id: t.split for t in backwards} == {t.id: t.split for t in assigned}
    assert [t.split for t in assign_splits(tracks, salt="1:")] != splits


def test_equal_music_is_hashed_into_one_split():
    assigned = assign_splits([track(number, uuid=f"piece {number % 10}") for number in range(50)])
    assert not find_split_leakage(assigned)
    assert {t.split for t in assigned} == {"train", "validation", "test"}


@pytest.mark.parametrize(("pieces", "held"), [(1, set()), (2, set()), (3, {"validation", "test"})])
def test_three_pieces_are_enough_for_every_split(pieces, held):
    broken = [track(number, problem="broken") for number in range(100, 200)]
    omitted = [track(number, omitted="left out") for number in range(200, 300)]
    assigned = assign_splits([track(number) for number in range(pieces)] + broken + omitted)
    assert {t.split for t in assigned[:pieces]} == {"train"} | held
    assert {t.split for t in assigned[pieces:]} == {""}


def test_split_leakage_is_music_in_two_splits_and_nothing_else():
    tracks = [
        track(1, "train", "a"),
        track(2, "test", "a"),
        track(3, "train", "a"),
        track(4, "train", "b"),
        track(5, "train", "b"),
        track(6, "validation", "c"),
        track(7, "test", "c", problem="broken"),
        track(8, "train", "c", omitted="left out"),
        track(9, "train"),
        track(10, "test"),
    ]
    (leakage,) = find_split_leakage(tracks)
    assert (leakage.uuid, leakage.tracks, leakage.splits) == (
        "a",
        (name(1), name(2), name(3)),
        ("train", "test", "train"),
    )


def test_copies_give_way_to_the_split_of_higher_priority():
    splits = {1: "train", 2: "validation", 3: "test", 4: "test", 5: "validation", 6: "train"}
    tracks = [track(number, split, "a" if number < 5 else "b") for number, split in splits.items()]
    kept = without_split_leakage([*tracks, track(7, "train", "b", omitted="left out before")])
    assert {int(t.id[5:]): t.omitted for t in kept if t.omitted} == {
        1: "same music (UUID a) as Track00003 in test",
        2: "same music (UUID a) as Track00003 in test",
        6: "same music (UUID b) as Track00005 in validation",
        7: "left out before",
    }
    assert not find_split_leakage(kept)


def test_the_split_set_says_that_leakage_was_removed():
    corpus = Corpus("slakh", Path("/x"), "orig", (), (track(1, "train", "a"), track(2, "test", "a")))
    found = deduplicated(corpus)
    assert (found.split_set, [bool(t.omitted) for t in found.tracks]) == ("orig+dedupe", [True, False])
