"""Clips of shards and from memory: against the bytes in the files, and the ways in which a shard can be unfit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
import torch

from scoresep.cache.reader import Cache
from scoresep.errors import Damaged, NotFound, Unavailable
from scoresep.losses.batch import DATASETS, STEMS
from scoresep.training.clip_dataset import ResidentClips, ShardClips, Span


def shards(index):
    return sorted(index.with_name("cache.shards").glob("*.h5"))


def rewrite(path, name, **how):
    """Store a dataset of a shard in another way."""
    with h5py.File(path, "a") as file:
        values = file[name][()]
        del file[name]
        file.create_dataset(name, data=values, **how)


@pytest.mark.parametrize("how", [None, {}, {"chunks": (7, 100)}])
def test_clips_are_what_lies_in_the_shards(cache_copy, how):
    """As they are prepared; in one piece; and in pieces of another shape."""
    if how is not None:
        for path in shards(cache_copy):
            rewrite(path, "magnitude", **how)
    cache, crops = Cache(cache_copy), [(row, first) for row in range(5) for first in (0, 5, 74)]
    clips = ShardClips(cache, 20)(crops)
    for place, (row, first) in enumerate(crops):
        start = int(cache.tracks["first_frame"][row]) + first
        with h5py.File(cache.shard_path(int(cache.tracks["shard"][row])), locking=False) as file:
            for name in DATASETS:
                assert np.array_equal(clips[name][place].numpy(), file[name][start : start + 20]), name
        assert float(clips["level"][place]) == np.float32(cache.level(row))


def test_silence_follows_a_short_track_whatever_lay_in_the_memory(cache):
    for _ in range(3):
        clips = ShardClips(cache, 4000, ["magnitude", "harmonic"])([(0, 90), (1, 0)])
        assert clips["magnitude"][0, :4].any() and not clips["magnitude"][0, 4:].any()
        assert not clips["harmonic"][1, 94:].any()


def test_a_missing_shard_is_named(cache_copy, refused):
    shard = shards(cache_copy)[0]
    shard.unlink()
    with refused(NotFound, shard):
        ShardClips(Cache(cache_copy), 20)([(0, 0)])


def test_a_shard_cut_short_is_named(cache_copy, refused):
    shard = shards(cache_copy)[0]
    with shard.open("r+b") as file:
        file.truncate(5000)
    with refused(Damaged, shard):
        ShardClips(Cache(cache_copy), 20, ["magnitude"])([(1, 60)])


def test_bytes_that_are_gone_since_the_shard_was_opened_are_named(cache, monkeypatch, refused):
    def lost(*place):
        raise OSError("Can't synchronously read data (file read failed)")

    monkeypatch.setattr(cache, "slice", lost)
    with refused(Damaged, cache.shard_path(0)):
        ShardClips(cache, 20, ["magnitude"])([(0, 0)])


@pytest.mark.parametrize("first", [1_000_000, 2**62])
def test_rows_that_a_shard_has_not_are_refused(cache_copy, refused, first):
    cache = Cache(cache_copy)
    cache.tracks["first_frame"][0] = first
    with refused(Damaged, cache.shard_path(0)):
        ShardClips(cache, 20, ["magnitude"])([(0, 0)])


def test_readers_may_share_a_source(cache):
    crops = [[(row, first)] for row in range(5) for first in range(0, 80, 5)]
    alone = ShardClips(cache, 20)
    for _ in range(5):
        together = ShardClips(cache, 20)
        with ThreadPoolExecutor(4) as pool:
            for wanted, found in zip(map(alone, crops), pool.map(together, crops), strict=True):
                assert all(torch.equal(wanted[name], found[name]) for name in wanted)


@pytest.mark.parametrize("how", [{"compression": "gzip"}, {"dtype": "float32"}])
def test_other_storage_is_refused_and_named(cache_copy, refused, how):
    shard = shards(cache_copy)[0]
    rewrite(shard, "magnitude", **how)
    with refused(Damaged, shard) as fault:
        ShardClips(Cache(cache_copy), 20)([(0, 0)])
    assert "magnitude" in fault.value.problem


def test_a_lost_dataset_is_named(cache_copy, refused):
    shard = shards(cache_copy)[0]
    with h5py.File(shard, "a") as file:
        del file["onset"]
    with refused(Damaged, shard) as fault:
        ShardClips(Cache(cache_copy), 20)([(0, 0)])
    assert "onset" in fault.value.problem


def test_memory_that_does_not_suffice_is_said(cache, monkeypatch, refused):
    def refuse(*shape, **how):
        raise RuntimeError("not enough memory: you tried to allocate 1 byte")

    monkeypatch.setattr(torch, "zeros", refuse)
    with refused(Unavailable, cache.path):
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
