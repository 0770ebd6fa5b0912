"""`scoresep prepare` as users type it: what it says of its work, and what it refuses."""

from __future__ import annotations

import errno
import shutil

import h5py
import pytest

from scoresep.cache.reader import Cache
from scoresep.cache.schema import CacheSettings


def test_prepare_says_what_it_made_and_what_it_left_out(command, here, corpus_copy):
    (corpus_copy / "train" / "Track00002" / "MIDI" / "S00.mid").unlink()
    ended = command(f"scoresep prepare slakh {corpus_copy} --jobs 1")
    assert ended.status == 0 and ended.err == ""
    assert "5 tracks" in ended.out and "redux" in ended.out
    (left_out,) = [line for line in ended.out.splitlines() if "Track00002" in line]
    assert "S00" in left_out
    assert len(Cache(here / "cache.h5").tracks) == 4
    made = (here / "cache.h5").read_bytes()
    assert "1 of 1 shards" in command(f"scoresep prepare slakh {corpus_copy} --jobs 1").out
    assert (here / "cache.h5").read_bytes() == made


def test_the_usual_folder_is_found(command, here, corpus):
    (here / "slakh2100_flac_redux").symlink_to(corpus)
    assert command("scoresep prepare slakh --jobs 1").status == 0 and (here / "cache.h5").exists()


def test_names_with_brackets_are_shown_as_they_are(command, here, corpus):
    (here / "slakh [red] :x:").symlink_to(corpus)
    ended = command("scoresep prepare slakh 'slakh [red] :x:' --out 'a [b].h5' --jobs 1")
    assert ended.status == 0 and "slakh [red] :x:" in ended.out and "a [b].h5" in ended.out


def test_no_corpus(command, refuses):
    refuses(command("scoresep prepare slakh"), "SLAKH_ROOT")


def test_a_root_that_is_not_there(command, refuses, monkeypatch):
    refuses(command("scoresep prepare slakh nowhere"), "nowhere")
    monkeypatch.setenv("SLAKH_ROOT", "gone")
    refuses(command("scoresep prepare slakh"), "SLAKH_ROOT", "gone")


def test_a_folder_without_tracks(command, refuses, here):
    (here / "empty").mkdir()
    refuses(command("scoresep prepare slakh empty"), "empty")


def test_no_usable_track(command, refuses, corpus_copy, here):
    for path in corpus_copy.glob("*/Track*/stems/S00.flac"):
        path.write_bytes(b"")
    refuses(command(f"scoresep prepare slakh {corpus_copy} --jobs 1"), "S00.flac")
    assert not (here / "cache.h5").exists()


@pytest.mark.parametrize(
    ("names", "named"),
    [
        ("piano,organ", "organ"),
        ("piano,gitar", "'guitar'"),
        ("piano,other,other", "two"),
        ("nothing.toml", "nothing.toml"),
        ("piano", "two"),
        ("", "two"),
    ],
)
def test_wrong_instruments(command, refuses, corpus, names, named):
    refuses(command(f"scoresep prepare slakh {corpus} --instruments '{names}' --jobs 1"), named, remedy=False)


def test_other_settings_for_a_cache_that_is_there(command, refuses, cache_copy, corpus):
    ended = command(f"scoresep prepare slakh {corpus} --out {cache_copy} --jobs 1")
    refuses(ended, "cache.h5", "tracks_per_shard")


def test_a_device_for_the_teacher(command, refuses, corpus):
    refuses(command(f"scoresep prepare slakh {corpus} --teacher-device tpu"), "'tpu'")
    assert command(f"scoresep prepare slakh {corpus} --teacher-device auto --jobs 1").status == 0


def test_notes_that_scores_lack_are_heard_where_they_come_with_recordings(command, make, corpus, here, monkeypatch):
    """Stems are rendered from their scores, unless the user knows better."""
    asked = []
    monkeypatch.setattr("scoresep.cache.build.prepare", lambda corpus, out, settings, *rest: asked.append(settings))
    monkeypatch.setattr("scoresep.cli.prepare.print_report", lambda report, is_part: None)
    make.midi(here / "songs" / "one.mid", [(0.0, 0.5, 60)])
    (here / "songs" / "one.wav").write_bytes(b"")
    for line in (f"slakh {corpus}", f"slakh {corpus} --unwritten", "pairs songs", "pairs songs --no-unwritten"):
        assert command(f"scoresep prepare {line}").status == 0
    assert [settings.factorise.unwritten for settings in asked] == [False, True, True, False]
    assert asked[0] == CacheSettings()


def test_places_that_cannot_be_written(command, refuses, corpus, here):
    (here / "file").write_text("")
    (here / "folder").mkdir()
    refuses(command(f"scoresep prepare slakh {corpus} --out file/cache.h5 --jobs 1"), "file")
    refuses(command(f"scoresep prepare slakh {corpus} --out folder --jobs 1"), "folder")


def test_a_full_disk(command, refuses, corpus, monkeypatch, here):
    def full(self, key, value):
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(h5py.Dataset, "__setitem__", full)
    refuses(command(f"scoresep prepare slakh {corpus} --jobs 1"), "disk is full")
    assert not list(here.rglob("*.h5"))


@pytest.mark.parametrize("text", ["- 1", "&a [*a]", "stems: {1: null}", "stems: {}"])
def test_odd_metadata_is_a_reason_and_no_crash(command, corpus_copy, text):
    (corpus_copy / "train" / "Track00001" / "metadata.yaml").write_text(text)
    ended = command(f"scoresep prepare slakh {corpus_copy} --jobs 1")
    assert ended.status == 0 and any("Track00001" in line for line in ended.out.splitlines())


def test_a_cache_without_a_training_split(command, refuses, here, corpus_copy):
    """Training refuses it, and leaves no empty folder of a run."""
    shutil.rmtree(corpus_copy / "train")
    assert command(f"scoresep prepare slakh {corpus_copy} --jobs 1").status == 0
    refuses(command("scoresep train"), "cache.h5", "train")
    assert not (here / "run").exists()
