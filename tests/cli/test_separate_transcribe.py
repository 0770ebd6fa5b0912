"""`scoresep separate` and `scoresep transcribe` as users type them: one song, an album, and what goes wrong."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from scoresep.models.checkpoint import load_checkpoint, save_checkpoint


@pytest.mark.parametrize("verb", ["separate", "transcribe"])
def test_audio_that_cannot_be_read(command, refuses, here, trained, verb):
    (here / "text.wav").write_text("hello")
    refuses(command(f"scoresep {verb} none.wav --ckpt {trained}"), "none.wav")
    refuses(command(f"scoresep {verb} text.wav --ckpt {trained}"), "text.wav")


def test_a_checkpoint_of_stage_1_has_nothing_to_separate_with(command, refuses, here, music, trained):
    save_checkpoint(here / "stage1.pt", replace(load_checkpoint(trained), stage=1))
    refuses(command("scoresep separate music/one.wav --ckpt stage1.pt"), "stage1.pt")
    refuses(command("scoresep export stage1.pt --onnx m.onnx"), "stage1.pt")
    refuses(command("scoresep transcribe music/one.wav --from separated --ckpt stage1.pt"), "stage1.pt")
    assert command("scoresep transcribe music/one.wav --ckpt stage1.pt").status == 0


def test_a_folder_of_songs_of_which_one_fails(command, here, music, trained):
    for verb, result in (("transcribe", "{}.mid"), ("separate", "{}/piano.wav")):
        ended = command(f"scoresep {verb} music --out music/{verb} --ckpt {trained}")
        assert ended.status == 2
        assert [line[:6] for line in ended.err.splitlines()] == ["error:"] and "broken.ogg" in ended.err
        assert "3 of 4 files are done" in ended.out
        for name in ("one", "two", "album/three"):
            assert (music / verb / result.format(name)).is_file()


@pytest.mark.parametrize("verb", ["transcribe", "separate"])
def test_audio_of_a_folder_that_is_not_read_is_named_and_the_rest_done(command, here, music, trained, verb):
    (music / "broken.ogg").rename(music / "song.m4a")
    ended = command(f"scoresep {verb} music --out out --ckpt {trained}")
    assert ended.status == 0 and len(list((here / "out").rglob("*.*"))) >= 3
    (line,) = ended.err.splitlines()
    assert line.startswith("1 file") and "song.m4a" in line and "ffmpeg" in line


def test_audio_within_the_folder_of_results_is_counted(command, here, music, trained):
    """It may be the user's: what lies there is taken for results, but not in silence."""
    (music / "broken.ogg").unlink()
    ended = command(f"scoresep transcribe music --out music/album --ckpt {trained}")
    assert ended.status == 0 and ended.err == ""
    (music / "album" / "old").mkdir()
    shutil.copy(music / "one.wav", music / "album" / "old" / "four.wav")
    ended = command(f"scoresep transcribe music --out music/album --ckpt {trained}")
    assert ended.status == 0 and "1 audio file" in ended.err and "music/album" in ended.err
    assert not list(music.rglob("four.mid"))


@pytest.mark.parametrize(("verb", "result"), [("transcribe", "one.mid"), ("separate", "one/bass.wav")])
def test_a_folder_goes_on_where_it_was_stopped(command, refuses, here, music, trained, verb, result):
    """What is done is passed over, unless a file is named alone; what is half done is not."""
    line = f"scoresep {verb} music --out out --ckpt {trained}"
    (music / "broken.ogg").unlink()
    assert command(line).status == 0
    made = {path: path.stat().st_mtime_ns for path in (here / "out").rglob("*.*")}
    (here / "out" / result).unlink()
    for half in (here / "out" / "one").glob("*.wav"):
        half.unlink()
    again = command(line)
    assert again.status == 0 and "2 of 3 files" in again.out and "--force" in again.out and "--out" in again.out
    now = {path: path.stat().st_mtime_ns for path in (here / "out").rglob("*.*")}
    assert now.keys() == made.keys()
    assert {path.name for path in made if now[path] != made[path]} >= {Path(result).name}
    assert all(now[path] == made[path] for path in made if "two" in str(path) or "album" in str(path))
    done = command(line)
    assert done.status == 0 and "3 of 3 files" in done.out and "error" not in done.err
    refuses(command(f"scoresep {verb} music/one.wav --out out --ckpt {trained}"), "one", "--force")
    assert command(f"{line} --force").status == 0
    assert all(path.stat().st_mtime_ns != made[path] for path in made if "two" in str(path))


def test_brackets_in_the_name_of_a_song_are_no_markup(command, here, music, trained):
    shutil.rmtree(music / "album")
    (music / "a[").mkdir()
    (music / "two.mp3").rename(music / "a[/b]two.mp3")
    (music / "broken.ogg").unlink()
    ended = command(f"scoresep transcribe music --out out --ckpt {trained}")
    assert ended.status == 0 and "a[/b]two.mid" in ended.out and "transcribing a[/b]two" in ended.out + ended.err


def test_a_song_that_is_half_done_is_refused(command, here, music, trained):
    """Stems of it may be of another run, with other --instruments; nothing is replaced without --force."""
    line = f"scoresep separate music --out out --ckpt {trained}"
    (music / "broken.ogg").unlink()
    assert command(line).status == 0
    (here / "out/one/bass.wav").unlink()
    ended = command(line)
    assert ended.status == 2 and "2 of 3 files" in ended.out
    assert ended.err.count("--force") == 1 and "one" in ended.err


def test_separate_with_all_it_can_do(command, here, music, trained, make):
    make.midi(here / "scores" / "one.mid", [(0.0, 0.2, 60)], program=33)
    line = f"scoresep separate music/one.wav --ckpt {trained} --instruments bass --format flac --bits 16"
    ended = command(f"{line} --score scores --device cpu --out a")
    assert ended.status == 0 and ended.err == ""
    assert all(f"{verb} one" in ended.out for verb in ("measuring", "separating", "writing"))
    assert any("score of one" in line and "piano, guitar" in line for line in ended.out.splitlines())
    assert sorted(path.name for path in (here / "a" / "one").iterdir()) == ["bass.flac", "residual.flac"]
    assert soundfile.info(here / "a" / "one" / "bass.flac").subtype == "PCM_16"
    assert command(f"{line} --score scores/one.mid --out b").status == 0
    blind = command(f"{line} --out c")
    assert blind.status == 0
    assert command(f"{line} --refine --out d").status == 0
    stems = {name: soundfile.read(here / name / "one" / "bass.flac")[0] for name in "abcd"}
    assert (stems["a"] == stems["b"]).all() and (stems["a"] != stems["c"]).any() and (stems["d"] != stems["c"]).any()


@pytest.mark.parametrize("more", ["", " --refine", " --score scores"])
def test_separate_told_who_plays(command, here, music, trained, make, more):
    (music / "broken.ogg").unlink()
    for name in ("one", "two", "album/three"):
        make.midi(here / "scores" / f"{name}.mid", [(0.0, 0.2, 40)], program=33)
    ended = command(f"scoresep separate music --ckpt {trained} --present bass,guitar --out a{more}")
    assert ended.status == 0 and ended.err == ""
    for name in ("one", "two", "album/three"):
        assert sorted(path.name for path in (here / "a" / name).iterdir()) == ["bass.wav", "guitar.wav"]
    assert ("no part of guitar:" in ended.out) == ("--score" in more)
    sound, total = (soundfile.read(music / "one.wav")[0], 0)
    for name in ("bass", "guitar"):
        total = total + soundfile.read(here / "a" / "one" / f"{name}.wav")[0]
    np.testing.assert_allclose(total, sound, atol=1e-6)


def test_separate_told_that_who_is_in_the_score_does_not_play(command, refuses, here, music, trained, make):
    make.midi(here / "one.mid", [(0.0, 0.2, 60)], program=0)
    line = f"scoresep separate music/one.wav --ckpt {trained} --score one.mid"
    refuses(command(f"{line} --present bass"), "piano", "present")
    assert not (here / "stems" / "one").exists()


def test_separate_says_that_it_made_all_stems_softer(command, here, trained):
    soundfile.write(here / "loud.wav", np.random.default_rng(0).normal(0, 2, 8000), 16000, subtype="FLOAT")
    ended = command(f"scoresep separate loud.wav --ckpt {trained} --format flac")
    assert ended.status == 0 and any("loud" in line and " dB" in line for line in ended.out.splitlines())


def test_transcribe_with_all_it_can_do(command, here, music, trained):
    ended = command(f"scoresep transcribe music/one.wav --ckpt {trained} --from separated --plot --out a")
    assert ended.status == 0 and ended.err == "" and "transcribing one" in ended.out
    assert (here / "a" / "one.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ("separate one.wav --instruments pinao", ["'pinao'", "'piano'"]),
        ("separate one.wav --present theremin", ["'theremin'", "piano, guitar, bass"]),
        ("separate one.wav --present bass --instruments piano", ["piano", "present"]),
        ("separate one.wav --format flac --bits float", ["flac", "'float'", "24"]),
        ("separate one.wav --score none.mid", ["none.mid"]),
        ("separate one.wav --score .", ["one.mid", "one.wav"]),
        ("separate one.wav two.mp3 --score one.mid", ["one.mid", "2 files"]),
        ("separate empty", ["empty"]),
        ("transcribe one.wav --device tpu", ["'tpu'"]),
    ],
)
def test_wrong_arguments(command, refuses, music, trained, monkeypatch, arguments, names):
    monkeypatch.chdir(music)
    (music / "empty").mkdir()
    refuses(command(f"scoresep {arguments} --ckpt {trained}"), *names)
    assert not (music / "stems").exists() and not (music / "scores").exists()


@pytest.mark.parametrize("option", ["--present", "--instruments"])
def test_a_list_that_names_nobody_is_refused(command, refuses, here, music, trained, option):
    refuses(command(f"scoresep separate music/one.wav --ckpt {trained} {option} ,"), "','")
