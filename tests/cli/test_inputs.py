import os
import unicodedata
from pathlib import Path

import pytest

from scoresep.audio.decoding.formats import AUDIO_SUFFIXES, UNREAD_SUFFIXES
from scoresep.cli.inputs import (
    Recording,
    check_no_loss,
    find_recordings,
    find_score,
    notes,
    unread_note,
    without_results,
)
from scoresep.errors import AlreadyExists, NotFound, NothingToDo
from scoresep.files import write_text


@pytest.fixture
def music(tmp_path: Path) -> Path:
    for name in ("b.wav", "a.MP3", "deep/er/c.ogg", "deep/a.flac", ".hid/d.wav", ".e.wav", "f.txt", "out/a/bass.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_files_and_folders(music: Path) -> None:
    songs = find_recordings([music / "deep", music / "b.wav", music / "none.wav"], music / "out")
    assert [song.name for song in songs] == ["a", "er/c", "b", "none"]
    assert songs[1].path == music / "deep" / "er" / "c.ogg"


def test_what_lies_in_the_folder_of_results_is_left_out(music: Path) -> None:
    names = [song.name for song in find_recordings([music], music / "deep" / ".." / "out")]
    assert names == ["a", "b", "deep/a", "deep/er/c"]
    assert "out/a/bass" in [song.name for song in find_recordings([music], music / "elsewhere")]


def test_what_is_passed_over_is_counted(music: Path) -> None:
    (note,) = notes([music], music / "out")
    assert "1 audio file" in note and str(music / "out") in note
    assert notes([music], music / "elsewhere") == []


def named(given: list[Path], out: Path) -> dict[str, str]:
    """Result's name -> file, as find_recordings has them; names that a file system may take for one are refused."""
    songs = find_recordings(given, out)
    keys = {unicodedata.normalize("NFC", song.name).casefold() for song in songs}
    assert len(keys) == len(songs)
    return {song.name: song.path.name for song in songs}


def touched(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_songs_of_one_name_are_told_apart_by_their_suffix(tmp_path: Path) -> None:
    album = touched(tmp_path / "album", "x.wav", "x.mp3", "y.wav", "cd/x.flac")
    wanted = {"x-mp3": "x.mp3", "x-wav": "x.wav", "y": "y.wav", "cd/x": "x.flac"}
    assert named([album], tmp_path / "out") == wanted
    files = [album / "x.wav", album / "y.wav", album / "x.mp3"]
    assert named(files, tmp_path / "out") == {"x-wav": "x.wav", "y": "y.wav", "x-mp3": "x.mp3"}
    assert named(files[::-1], tmp_path / "out").items() == named(files, tmp_path / "out").items()


def test_a_name_that_tells_apart_may_be_taken(tmp_path: Path) -> None:
    album = touched(tmp_path / "album", "x.wav", "x.mp3", "x-wav.flac")
    assert sorted(named([album], tmp_path / "out").values()) == ["x-wav.flac", "x.mp3", "x.wav"]


def test_songs_of_one_name_are_told_apart_by_their_folder(tmp_path: Path) -> None:
    a, b = touched(tmp_path / "a", "x.wav", "in/z.wav"), touched(tmp_path / "b", "x.wav", "x.mp3", "in/z.wav")
    assert named([a / "x.wav", b / "x.wav"], tmp_path / "out") == {"a/x": "x.wav", "b/x": "x.wav"}
    assert named([a, b], tmp_path / "out").keys() == {"a/x", "b/x", "x-mp3", "a/in/z", "b/in/z"}


@pytest.mark.parametrize("pair", [("A.wav", "a.wav"), ("\u00e9.wav", "e\u0301.wav"), ("\u00df.wav", "SS.wav")])
def test_names_that_some_file_systems_take_for_one(tmp_path: Path, pair: tuple[str, str]) -> None:
    touched(tmp_path / "album", *pair)
    if len([*(tmp_path / "album").iterdir()]) < 2:
        pytest.skip("this file system takes them for one")
    first = named([tmp_path / "album"], tmp_path / "out")
    assert sorted(first.values()) == sorted(pair)
    assert first == named([tmp_path / "album"], tmp_path / "out")


def test_a_file_that_is_given_twice_counts_once(tmp_path: Path) -> None:
    album = touched(tmp_path / "album", "x.wav")
    (tmp_path / "linked").symlink_to(album)
    assert [song.path for song in find_recordings([album, tmp_path / "linked"], tmp_path / "out")] == [album / "x.wav"]
    again = [album / "x.wav", album / ".." / "album" / "x.wav", album]
    assert [song.name for song in find_recordings(again, tmp_path / "out")] == ["x"]


def test_linked_folders_are_searched_and_loops_end(tmp_path: Path) -> None:
    album, other = touched(tmp_path / "album", "x.wav"), touched(tmp_path / "other", "y.wav")
    (album / "link").symlink_to(other)
    (album / "loop").symlink_to(album)
    (album / "gone").symlink_to(tmp_path / "nowhere")
    assert named([album], tmp_path / "out") == {"x": "x.wav", "link/y": "y.wav"}


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("a.b.c.flac", "a.b.c"),
        ("song..wav", "song"),
        ("song .wav", "song"),
        ("..wav", "wav"),
        ("...wav", "wav"),
        (".wav", "wav"),
        ("....", "audio"),
        (".hidden.wav", "hidden"),
        ("-x.wav", "-x"),
        ("[bold]x[red].wav", "[bold]x[red]"),
        ("%s\\n.wav", "%s\\n"),
        (os.fsdecode(b"caf\xe9.wav"), os.fsdecode(b"caf\xe9")),
    ],
)
def test_a_result_can_be_called_so(tmp_path: Path, file: str, name: str) -> None:
    assert find_recordings([tmp_path / file], tmp_path / "out")[0].name == name


@pytest.mark.parametrize("letter", ["x", "\u00e9", "\u7d46", "\U0001f3b5"])
def test_a_result_of_a_long_name_can_be_written(tmp_path: Path, letter: str) -> None:
    """Two files of 255 bytes, alike but for their suffix, and a temporary name for each result."""
    stem = letter * (251 // len(letter.encode()))
    names = named([tmp_path / f"{stem}.wav", tmp_path / f"{stem}.mp3"], tmp_path / "out")
    assert len(names) == 2
    for name in names:
        write_text(tmp_path / "out" / f"{name}.mid", "whole")
        write_text(tmp_path / "out" / name / "bass.wav", "whole")
    assert len([*(tmp_path / "out").iterdir()]) == 4


STEMS = ("bass", "residual")


def second_run(given: Path, out: Path) -> list[str]:
    """Names of the songs that a second run has, after one whose stems are `STEMS`."""
    for song in find_recordings([given], out):
        touched(out / song.name, *(f"{stem}.wav" for stem in STEMS))
    songs = find_recordings([given], out)
    return [song.name for song in without_results(songs, lambda song: out / song.name, STEMS)]


@pytest.mark.parametrize("out", ["album", ".", "album/stems", "album/../album", "album/cd", "linked", "album/cd/x"])
def test_results_are_no_songs_whatever_the_folder_of_results(tmp_path: Path, out: str) -> None:
    album = touched(tmp_path / "album", "x.wav", "x.mp3", "y.wav", "cd/y.wav", "album.wav")
    (tmp_path / "linked").symlink_to(album)
    first = [song.name for song in find_recordings([album], tmp_path / out)]
    assert second_run(album, tmp_path / out) == second_run(album, tmp_path / out) == first


def test_a_song_is_no_result_for_its_name(tmp_path: Path) -> None:
    """A recording beside the stems, or called like one, is the user's."""
    album = touched(tmp_path / "album", "x.wav", "x/intro.wav", "bass.wav", "y/bass.wav")
    songs = without_results(find_recordings([album], album), lambda song: album / song.name, STEMS)
    assert {song.name for song in songs} == {"x", "x/intro", "bass", "y/bass"}
    stem = touched(album, "x/bass.wav") / "x" / "bass.wav"
    given = find_recordings([album / "x.wav", stem], album)
    assert without_results(given, lambda song: album / song.name, STEMS) == given


def test_a_folder_without_audio(tmp_path: Path, refused) -> None:
    with refused(NothingToDo, tmp_path):
        find_recordings([tmp_path], tmp_path / "out")


def test_a_folder_is_searched_for_all_that_is_read(tmp_path: Path) -> None:
    for n, suffix in enumerate(AUDIO_SUFFIXES):
        (tmp_path / f"{n:02d}{suffix}").touch()
        (tmp_path / f"x{n:02d}{suffix.upper()}").touch()
    assert len(find_recordings([tmp_path], tmp_path / "out")) == 2 * len(AUDIO_SUFFIXES)
    assert {".aif", ".aiff", ".opus", ".caf", ".oga", ".w64", ".au", ".mp2"} <= set(AUDIO_SUFFIXES)
    assert not set(AUDIO_SUFFIXES) & set(UNREAD_SUFFIXES)


def test_audio_that_is_not_read_is_named(music: Path) -> None:
    assert not unread_note([music, music / "b.wav"])
    for name in ("deep/z.M4A", "my song.aac", "b.wma", ".hidden.m4a"):
        (music / name).touch()
    note = unread_note([music])
    assert note.startswith("3 files") and "z.M4A" in note and "b.wma" in note and "hidden" not in note
    assert "ffmpeg -i b.wma b.wav" in note
    assert len(find_recordings([music], music / "out")) == 4


def test_a_folder_of_nothing_that_is_read(tmp_path: Path, refused) -> None:
    (tmp_path / "z.m4a").touch()
    with refused(NothingToDo, tmp_path) as error:
        find_recordings([tmp_path], tmp_path / "out")
    assert "z.m4a" in error.value.remedy and "ffmpeg" in error.value.remedy


def test_the_score_of_a_song(tmp_path: Path, refused) -> None:
    song = Recording(tmp_path / "a.wav", "album/a")
    assert find_score("any.mid", song) == Path("any.mid")
    with refused(NotFound, tmp_path) as error:
        find_score(tmp_path, song)
    assert "album/a.mid" in error.value.problem and str(song.path) in error.value.problem
    (tmp_path / "album").mkdir()
    (tmp_path / "album" / "a.midi").touch()
    assert find_score(tmp_path, song) == tmp_path / "album" / "a.midi"


def test_the_score_of_songs_that_had_to_be_distinct_names(tmp_path: Path) -> None:
    scores = touched(tmp_path / "scores", "x.mid", "e\u0301.mid")
    for song in find_recordings([tmp_path / "x.wav", tmp_path / "x.mp3"], tmp_path / "out"):
        assert find_score(scores, song) == scores / "x.mid"
    (song,) = find_recordings([tmp_path / "\u00e9.wav"], tmp_path / "out")  # a score that came from a Mac
    assert find_score(scores, song).exists()


def test_no_result_takes_the_place_of_a_recording_that_is_named(tmp_path: Path, refused) -> None:
    (tmp_path / "x").mkdir()
    song, named = tmp_path / "x.wav", tmp_path / "x" / "piano.wav"
    for path in (song, named):
        path.touch()
    songs = find_recordings([song, named], tmp_path)
    stems = {songs[0].name: [named, tmp_path / "x" / "bass.wav"], songs[1].name: []}
    with refused(AlreadyExists, named):
        check_no_loss(songs, lambda song: stems[song.name])
    check_no_loss(songs[:1], lambda song: stems[song.name])
