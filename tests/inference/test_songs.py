from pathlib import Path

import pytest

from scoresep.decoding.formats import AUDIO_SUFFIXES, UNREAD_SUFFIXES
from scoresep.errors import ScoresepError
from scoresep.inference.songs import Song, find_score, find_songs, unread_note


@pytest.fixture
def music(tmp_path: Path) -> Path:
    for name in ("b.wav", "a.MP3", "deep/er/c.ogg", "deep/a.flac", ".hid/d.wav", ".e.wav", "f.txt", "out/a/bass.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_files_and_folders(music: Path) -> None:
    songs = find_songs([music / "deep", music / "b.wav", music / "none.wav"], music / "out")
    assert [song.name for song in songs] == ["a", "er/c", "b", "none"]
    assert songs[1].path == music / "deep" / "er" / "c.ogg"


def test_what_lies_in_the_folder_of_results_is_left_out(music: Path) -> None:
    names = [song.name for song in find_songs([music], music / "deep" / ".." / "out")]
    assert names == ["a", "b", "deep/a", "deep/er/c"]
    assert "out/a/bass" in [song.name for song in find_songs([music], music / "elsewhere")]


def test_two_songs_of_one_name(music: Path) -> None:
    (music / "A.wav").touch()
    with pytest.raises(ScoresepError, match=r"A\.wav and .*a\.MP3 would both be written as 'a'"):
        find_songs([music], music / "out")
    with pytest.raises(ScoresepError, match="would both be written as"):
        find_songs([music / "b.wav", music / "b.flac"], music / "out")


def test_a_folder_without_audio(tmp_path: Path) -> None:
    with pytest.raises(ScoresepError, match="holds no audio"):
        find_songs([tmp_path], tmp_path / "out")


def test_a_folder_is_searched_for_all_that_is_read(tmp_path: Path) -> None:
    for n, suffix in enumerate(AUDIO_SUFFIXES):
        (tmp_path / f"{n:02d}{suffix}").touch()
        (tmp_path / f"x{n:02d}{suffix.upper()}").touch()
    assert len(find_songs([tmp_path], tmp_path / "out")) == 2 * len(AUDIO_SUFFIXES)
    assert {".aif", ".aiff", ".opus", ".caf", ".oga", ".w64", ".au", ".mp2"} <= set(AUDIO_SUFFIXES)
    assert not set(AUDIO_SUFFIXES) & set(UNREAD_SUFFIXES)


def test_audio_that_is_not_read_is_named(music: Path) -> None:
    assert not unread_note([music, music / "b.wav"])
    for name in ("deep/z.M4A", "my song.aac", "b.wma", ".hidden.m4a"):
        (music / name).touch()
    note = unread_note([music])
    assert note.startswith("3 files") and "z.M4A" in note and "b.wma" in note and "hidden" not in note
    assert "ffmpeg -i b.wma b.wav" in note
    assert len(find_songs([music], music / "out")) == 4


def test_a_folder_of_nothing_that_is_read(tmp_path: Path) -> None:
    (tmp_path / "z.m4a").touch()
    with pytest.raises(ScoresepError, match=r"holds no audio; 1 file .*z\.m4a.*ffmpeg"):
        find_songs([tmp_path], tmp_path / "out")


def test_the_score_of_a_song(tmp_path: Path) -> None:
    song = Song(tmp_path / "a.wav", "album/a")
    assert find_score("any.mid", song) == Path("any.mid")
    with pytest.raises(ScoresepError, match=r"has no album/a\.mid, the score of .*a\.wav"):
        find_score(tmp_path, song)
    (tmp_path / "album").mkdir()
    (tmp_path / "album" / "a.midi").touch()
    assert find_score(tmp_path, song) == tmp_path / "album" / "a.midi"
