"""Shards and index on disk."""

from __future__ import annotations

import errno
from dataclasses import replace

import h5py
import numpy as np
import pytest

from scoresep.cache.reader import Cache
from scoresep.cache.schema import CacheSettings, Excluded, StemFinding, shard_datasets
from scoresep.cache.track import compile_track
from scoresep.cache.writer import read_shard_summary, write_index, write_shard
from scoresep.datasets.slakh import open_slakh
from scoresep.datasets.splits import SplitLeakage
from scoresep.errors import Unwritable

SETTINGS = CacheSettings()
EXCLUDED = Excluded("Track00009", "train", "été: ünreadable", deliberate=True)
FINDING = StemFinding("Track00001", "S01", "octave", "an octave too low")
LEAKAGE = SplitLeakage("abc", ("Track00001", "Track00002"), ("train", "test"))


@pytest.fixture(scope="module")
def tracks(corpus):
    return [compile_track(track, SETTINGS) for track in open_slakh(corpus).tracks[:2]]


def test_tracks_lie_one_after_another(tmp_path, tracks):
    write_shard(tmp_path / "a.h5", SETTINGS, "key", tracks)
    with h5py.File(tmp_path / "a.h5") as file:
        for name in shard_datasets(SETTINGS):
            assert np.array_equal(file[name][()], np.concatenate([track.arrays[name] for track in tracks]))
    first, second = read_shard_summary(tmp_path / "a.h5", "key").rows
    assert first["first_frame"] == first["first_sample"] == first["first_note"] == 0
    assert (second["first_frame"], second["first_sample"]) == (first["frames"], first["samples"])
    assert second["first_note"] == first["notes"]


def test_datasets_are_uncompressed_and_chunked_along_time_only(tmp_path, tracks):
    write_shard(tmp_path / "a.h5", SETTINGS, "key", tracks)
    with h5py.File(tmp_path / "a.h5") as file:
        for name, dataset in shard_datasets(SETTINGS).items():
            assert file[name].compression is None and not file[name].is_virtual
            assert file[name].chunks[1:] == dataset.shape and file[name].dtype == dataset.dtype


def test_summary_is_given_for_the_right_key_only(tmp_path, tracks):
    write_shard(tmp_path / "a.h5", SETTINGS, "key", [*tracks, EXCLUDED])
    assert read_shard_summary(tmp_path / "a.h5", "key").excluded == [EXCLUDED]
    assert read_shard_summary(tmp_path / "a.h5", "another key") is None
    assert read_shard_summary(tmp_path / "none.h5", "key") is None
    (tmp_path / "b.h5").write_bytes((tmp_path / "a.h5").read_bytes()[:5000])
    assert read_shard_summary(tmp_path / "b.h5", "key") is None


def test_digest_follows_the_content(tmp_path, tracks):
    write_shard(tmp_path / "a.h5", SETTINGS, "key", tracks)
    write_shard(tmp_path / "b.h5", SETTINGS, "key", tracks)
    write_shard(tmp_path / "c.h5", SETTINGS, "key", tracks[::-1])
    a, b, c = (read_shard_summary(tmp_path / f"{name}.h5", "key").digest for name in "abc")
    assert a == b != c


def test_a_full_disk_leaves_no_shard_behind(tmp_path, tracks, monkeypatch, refused):
    def full(self, key, value):
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(h5py.Dataset, "__setitem__", full)
    with refused(Unwritable, tmp_path / "shards" / "a.h5"):
        write_shard(tmp_path / "shards" / "a.h5", SETTINGS, "key", tracks)
    assert list((tmp_path / "shards").iterdir()) == []


def test_a_fault_of_a_track_leaves_no_shard_behind(tmp_path, tracks):
    def one_then_fault():
        yield tracks[0]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_shard(tmp_path / "shards" / "a.h5", SETTINGS, "key", one_then_fault())
    assert list((tmp_path / "shards").iterdir()) == []


def test_index_comes_back(tmp_path, tracks):
    (tmp_path / "cache.shards").mkdir()
    summaries = []
    for number, track in enumerate(tracks):
        path = tmp_path / "cache.shards" / f"shard-{number:05d}.h5"
        odd = replace(track, findings=(FINDING,)) if number else track
        write_shard(path, SETTINGS, "key", [odd, EXCLUDED])
        summaries.append(read_shard_summary(path, "key"))
    about = {"corpus": "slakh", "root": "r", "split_set": "orig", "rules": ["a"], "settings": SETTINGS.to_dict()}
    digest = write_index(tmp_path / "cache.h5", about, summaries, SETTINGS, [LEAKAGE])
    cache = Cache(tmp_path / "cache.h5")
    assert cache.digest == digest and cache.excluded == [EXCLUDED, EXCLUDED]
    assert cache.findings == [FINDING] and cache.split_leakage == [LEAKAGE]
    assert (cache.corpus, cache.split_set, cache.rules) == ("slakh", "orig", ["a"])
    assert cache.tracks["shard"].tolist() == [0, 1] and cache.settings == SETTINGS
    assert cache.tracks["id"].tolist() == [track.row["id"] for track in tracks]


def test_digest_of_the_index_follows_the_settings(tmp_path, tracks):
    write_shard(tmp_path / "a.h5", SETTINGS, "key", tracks[:1])
    summaries = [read_shard_summary(tmp_path / "a.h5", "key")]
    digests = {write_index(tmp_path / "i.h5", {"settings": value}, summaries, SETTINGS, []) for value in (1, 2, 2)}
    assert len(digests) == 2
