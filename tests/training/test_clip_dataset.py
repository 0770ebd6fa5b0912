"""Reading bytes of shards: against the cache's own reader, and every way in which a shard can be unfit."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
import torch

from scoresep.cache.reader import Cache
from scoresep.errors import ScoresepError
from scoresep.losses.batch import DATASETS, STEMS
from scoresep.training.clip_dataset import ShardClips
from scoresep.training.clip_reader import Layout, Span, copy_clips
from scoresep.training.in_memory import ResidentClips, places


def shards(index):
    return sorted(index.with_name("cache.shards").glob("*.h5"))


def rewrite(path, name, **how):
    """Store a dataset of a shard in another way."""
    with h5py.File(path, "a") as file:
        values = file[name][()]
        del file[name]
        file.create_dataset(name, data=values, **how)


def test_spans_join_to_the_rows_asked_for():
    layout = Layout(10, [1000, 5000, 3000], 4)
    assert layout.spans(0, 10) == [(1000, 40)]
    assert layout.spans(8, 14) == [(1032, 8), (5000, 40), (3000, 8)]
    assert layout.spans(20, 5) == [(3000, 20)] and layout.spans(3, 0) == []


@pytest.mark.parametrize("how", [{}, {"chunks": 7}, {"chunks": 1000}])
def test_clips_are_what_the_cache_reads(cache_copy, how):
    for path in shards(cache_copy):
        for name in DATASETS if how else ():
            with h5py.File(path) as file:
                shape = file[name].shape
            rewrite(path, name, chunks=(min(how["chunks"], shape[0]), *shape[1:]))
    cache = Cache(cache_copy)
    clips = ShardClips(cache, 20)([(row, first) for row in range(5) for first in (0, 5, 74)])
    for place, (row, first) in enumerate((row, first) for row in range(5) for first in (0, 5, 74)):
        for name in DATASETS:
            assert np.array_equal(clips[name][place].numpy(), cache.slice(name, row, first, 20)), name
        assert float(clips["level"][place]) == np.float32(cache.level(row))


def test_datasets_in_one_piece_are_read_too(cache_copy):
    for path in shards(cache_copy):
        rewrite(path, "magnitude")
    cache = Cache(cache_copy)
    clips = ShardClips(cache, 50, ["magnitude"])([(1, 30), (4, 0)])
    assert np.array_equal(clips["magnitude"][0].numpy(), cache.magnitude(1, 30, 50))
    assert np.array_equal(clips["magnitude"][1].numpy(), cache.magnitude(4, 0, 50))


def test_silence_follows_a_short_track_whatever_lay_in_the_memory(cache):
    for _ in range(3):
        clips = ShardClips(cache, 4000, ["magnitude", "harmonic"])([(0, 90), (1, 0)])
        assert clips["magnitude"][0, :4].any() and not clips["magnitude"][0, 4:].any()
        assert not clips["harmonic"][1, 94:].any()


def test_training_reads_neither_stems_nor_audio():
    assert DATASETS == ("magnitude", "roll", "onset", "harmonic")


def test_a_missing_shard_is_named(cache_copy):
    shards(cache_copy)[0].unlink()
    with pytest.raises(ScoresepError, match=r"shard .*shard-00000\.h5 does not exist"):
        ShardClips(Cache(cache_copy), 20)([(0, 0)])


def test_a_shard_cut_short_is_named(cache_copy):
    reader = ShardClips(Cache(cache_copy), 20, ["magnitude"])
    reader([(0, 0)])
    with shards(cache_copy)[0].open("r+b") as file:
        file.truncate(5000)
    with pytest.raises(ScoresepError, match=r"shard-00000\.h5 is cut short"):
        reader([(1, 60)])


def test_a_shard_that_cannot_be_read_is_named_with_the_reason(cache, tmp_path):
    reader = ShardClips(cache, 20, ["magnitude"])
    folder = os.open(tmp_path, os.O_RDONLY)
    os.dup2(folder, reader.shard(0).file)
    os.close(folder)
    with pytest.raises(ScoresepError, match=r"shard-00000\.h5 cannot be read \(Is a directory\)"):
        reader([(0, 0)])


@pytest.mark.parametrize("first", [-1, 1_000_000, 2**62])
def test_rows_that_a_shard_has_not_are_refused(cache_copy, first):
    cache = Cache(cache_copy)
    cache.tracks["first_frame"][0] = first
    with pytest.raises(ScoresepError, match=r"shard-00000\.h5 does not hold all rows of magnitude"):
        ShardClips(cache, 20, ["magnitude"])([(0, 0)])


def test_readers_may_share_a_source(cache):
    crops = [[(row, first)] for row in range(5) for first in range(0, 80, 5)]
    alone = ShardClips(cache, 20)
    for _ in range(5):
        together = ShardClips(cache, 20)
        with ThreadPoolExecutor(4) as pool:
            for wanted, found in zip(map(alone, crops), pool.map(together, crops), strict=True):
                assert all(torch.equal(wanted[name], found[name]) for name in wanted)


@pytest.mark.parametrize("how", [{"compression": "gzip"}, {"chunks": (8, 100)}, {"dtype": "float32"}])
def test_other_storage_is_refused_and_named(cache_copy, how):
    rewrite(shards(cache_copy)[0], "magnitude", **how)
    with pytest.raises(ScoresepError, match=r"shard-00000\.h5 does not hold .*magnitude"):
        ShardClips(Cache(cache_copy), 20)([(0, 0)])


def test_a_lost_dataset_is_named(cache_copy):
    with h5py.File(shards(cache_copy)[0], "a") as file:
        del file["onset"]
    with pytest.raises(ScoresepError, match=r"shard-00000\.h5 is not a readable shard .*onset"):
        ShardClips(Cache(cache_copy), 20)([(0, 0)])


def test_memory_that_does_not_suffice_is_said(cache, monkeypatch):
    def refuse(*shape, **how):
        raise RuntimeError("not enough memory: you tried to allocate 1 byte")

    monkeypatch.setattr(torch, "empty", refuse)
    with pytest.raises(ScoresepError, match=r"cache\.h5 does not fit in memory; leave --resident out"):
        ResidentClips(cache, 20, [0, 1], torch.device("cpu"))


def test_a_clip_of_frames_lies_on_the_samples_of_their_windows():
    assert (Span().rows(5), Span().first(7)) == (5, 7)
    assert (Span(4, 16).rows(1), Span(4, 16).first(0)) == (16, -8)
    assert (Span(4, 16).rows(3), Span(4, 16).first(10)) == (24, 32)


@pytest.mark.parametrize("frames", [1, 20, 200])
def test_stems_are_those_of_the_cache_with_silence_around(cache, frames):
    """At the beginning, in the middle, over the end, after it; and nothing of tracks that are not named."""
    crops = [(0, 0), (2, 30), (2, 75), (0, 93), (1, 10)]
    held = [0, 1, 2]
    sources = (
        ShardClips(cache, frames, ["magnitude", STEMS], stemmed={0, 2}),
        ResidentClips(cache, frames, held, torch.device("cpu"), ["magnitude", STEMS], stemmed={0, 2}),
    )
    hop, n_fft = cache.grid.hop, cache.grid.n_fft
    length = (frames - 1) * hop + n_fft
    for clips in (source(crops) for source in sources):
        assert clips["stemmed"].tolist() == [True, True, True, True, False]
        for place, (row, first) in enumerate(crops):
            whole = cache.slice("stems", row)
            padded = np.pad(whole, ((n_fft // 2, first * hop + length), (0, 0)))[first * hop :][:length]
            assert np.array_equal(clips[STEMS][place].numpy(), padded * (row != 1)), (row, first)
            assert float(clips["scale"][place]) == np.float32(cache.tracks["scale"][row])
            assert np.array_equal(clips["magnitude"][place, :1].numpy(), cache.magnitude(row, first, 1))


def test_a_device_gathers_what_is_copied_in_memory():
    """Clips within a track, over its end, after it, and of a track of which nothing is held; the last row is silent."""
    held = torch.arange(1, 22, dtype=torch.int32).reshape(7, 3)
    held[-1] = 0
    begins, tracks = np.array([0, 2, 1, 5, 0]), np.array([[0, 4], [0, 4], [4, 2], [4, 2], [0, 0]])
    copied = torch.full((5, 3, 3), -1, dtype=torch.int32)
    copy_clips(copied.data_ptr(), 3, begins, tracks, held.numpy().view(np.uint8))
    assert torch.equal(held[places(begins, tracks, 3, 6)], copied)
    assert copied[1].tolist() == [[7, 8, 9], [10, 11, 12], [0, 0, 0]] and not copied[3:].any()
