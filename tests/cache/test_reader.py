"""Reading a cache: what went in, slices, processes, foreign and damaged files."""

from __future__ import annotations

import multiprocessing
import pickle
import shutil

import h5py
import numpy as np
import pytest
from scipy import signal

from scoresep.cache.build import prepare
from scoresep.cache.reader import Cache
from scoresep.cache.schema import CACHE_VERSION, CacheSettings, pack, shard_datasets, unpack
from scoresep.cache.track import compile_track
from scoresep.datasets.slakh import open_slakh
from scoresep.errors import Damaged, NotFound, ScoresepError, WrongFormat, WrongVersion
from scoresep.executor import Engine
from scoresep.nmf import factorise, masks


def test_table_of_tracks(cache):
    assert cache.tracks["id"].tolist() == [f"Track{n:05d}" for n in range(1, 6)]
    assert [cache.rows(split).tolist() for split in ("train", "validation", "test")] == [[0, 1, 2], [3], [4]]
    assert cache.rows("no such split").tolist() == []
    assert cache.tracks["shard"].tolist() == [0, 0, 1, 1, 2]
    assert (cache.corpus, cache.split_set, cache.rules) == ("slakh", "redux", ["bass-octave"])
    assert cache.names == ("piano", "guitar", "bass") and cache.grid.hop == 512
    assert cache.tracks.active.all() and cache.excluded == []


def test_gives_back_what_was_compiled(cache, corpus):
    for row, track in enumerate(open_slakh(corpus).tracks):
        compiled = compile_track(track, CacheSettings())
        for name, array in compiled.arrays.items():
            stored = cache.slice(name, row)
            assert stored.dtype == array.dtype and np.array_equal(stored, array), name
        assert cache.level(row) == compiled.row["level"] and cache.tracks["scale"][row] == compiled.row["scale"]
        assert np.array_equal(cache.notes(row), compiled.arrays["notes"])


def test_factors_are_those_of_the_mixture_and_its_score(cache):
    """Made anew from what the cache holds: magnitude, level, rolls and onsets. Stored halves cost little."""
    for row in (0, 4):
        magnitude = cache.magnitude(row).astype(np.float32) / np.float32(cache.level(row))
        roll, onset = (np.moveaxis(values, 0, 2) for values in (cache.roll(row), cache.onset(row)))
        expected = factorise(magnitude.T, roll, ["harmonic"] * 3, cache.grid, onset)
        found = cache.factors(row)
        assert found.templates.dtype == found.activation.dtype == np.float16 and found.component.dtype == np.uint16
        for name in ("instrument", "pitch", "first", "component"):
            assert np.array_equal(getattr(found, name), getattr(expected, name)), name
        error = np.abs(masks(found) - masks(expected)) * magnitude.T
        assert error.sum() < 1e-3 * magnitude.sum(), (
            "halves are too coarse where next to nothing sounds, and only there"
        )


def test_factors_that_are_not_there_are_refused(corpus, tmp_path, refused):
    prepare(open_slakh(corpus), tmp_path / "bare.h5", CacheSettings(teacher="none"), Engine(1))
    with refused(NotFound, tmp_path / "bare.h5"):
        Cache(tmp_path / "bare.h5").factors(0)


def test_slices_are_parts_of_the_whole(cache):
    for name in shard_datasets(cache.settings):
        whole = cache.slice(name, 3)
        assert np.array_equal(cache.slice(name, 3, 5, 7), whole[5:12]), name
        assert len(cache.slice(name, 3, len(whole), 0)) == 0


@pytest.mark.parametrize(("first", "count"), [(-1, 5), (0, 10**6), (90, 10), (95, 0), (5, -1)])
def test_slices_beyond_a_track_are_refused(cache, first, count):
    """The next track's data must never be given instead. Tracks have 94 frames."""
    with pytest.raises(IndexError, match="Track00001, which has 94"):
        cache.magnitude(0, first, count)


def test_masks_and_rolls_are_boolean_with_their_axes(cache):
    assert cache.roll(0).shape == cache.onset(0).shape == (94, 3, 88)
    assert cache.harmonic(0, 3, 5).shape == (5, 3, 1025)
    assert cache.roll(0).dtype == cache.harmonic(0).dtype == bool
    assert (cache.onset(0) <= cache.roll(0)).all() and cache.onset(0).sum() > 5


def test_mixture_is_the_sum_of_the_stems(cache):
    stems, mixture = cache.stems(2), cache.mixture(2)
    assert stems.shape == (3, 48000) and stems.dtype == mixture.dtype == np.float32
    assert np.abs(mixture - stems.sum(axis=0)).max() <= 2 * cache.tracks["scale"][2] * (1 + 1e-3)


def test_magnitudes_are_those_of_the_audio(cache):
    """An independent STFT of the stored audio; float16 keeps 11 bits."""
    mixture = cache.mixture(1).astype(np.float64)
    hann = signal.get_window("hann", 2048)
    transform = signal.ShortTimeFFT(hann, 512, 1.0, phase_shift=None)
    expected = np.abs(transform.stft(mixture, p0=0, p1=94)).T * 2 / hann.sum()
    step = cache.tracks["scale"][1]
    assert np.abs(cache.magnitude(1) - expected).max() < expected.max() * 2**-11 + step
    loud = expected > 1e-2
    assert loud.any() and np.abs(cache.magnitude(1)[loud] / expected[loud] - 1).max() < 2**-10


def test_level_is_that_of_the_mixture(cache):
    assert cache.level(0) == pytest.approx(float(np.sqrt(np.square(cache.mixture(0)).mean())), rel=1e-3)


def test_energy_of_each_stem_lies_in_its_own_mask(cache):
    """Label and sound agree, the octave of the bass included."""
    hann = signal.get_window("hann", 2048)
    transform = signal.ShortTimeFFT(hann, 512, 1.0)
    for n, stem in enumerate(cache.stems(0)):
        energy = np.abs(transform.stft(stem, p0=0, p1=94)).T ** 2
        assert (energy * cache.harmonic(0)[:, n]).sum() / energy.sum() > 0.9


def test_packed_bits_come_back():
    values = np.random.default_rng(0).random((4, 3, 1025)) < 0.3
    assert np.array_equal(unpack(pack(values), 1025), values)
    assert pack(np.array([True, False, False, True, False, False, False, False, True])).tolist() == [9, 1]


def test_survives_pickling_with_open_files(cache):
    before = cache.magnitude(0)
    other = pickle.loads(pickle.dumps(cache))
    assert np.array_equal(other.magnitude(0), before) and np.array_equal(cache.magnitude(0), before)


def _read_in_child(cache, queue):
    queue.put([cache.magnitude(row).astype(np.float64).sum() for row in range(5)])


def test_survives_a_fork_with_open_files(cache):
    expected = [cache.magnitude(row).astype(np.float64).sum() for row in range(5)]
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_read_in_child, args=(cache, queue))
    child.start()
    assert queue.get(timeout=60) == expected
    child.join()
    assert child.exitcode == 0
    assert [cache.magnitude(row).astype(np.float64).sum() for row in range(5)] == expected


def test_can_be_read_after_closing(cache):
    before = cache.roll(0)
    cache.close()
    assert np.array_equal(cache.roll(0), before)


def test_cache_may_be_moved(cache, tmp_path):
    shutil.copytree(cache.path.with_name("cache.shards"), tmp_path / "other.shards")
    shutil.copy(cache.path, tmp_path / "other.h5")
    assert np.array_equal(Cache(tmp_path / "other.h5").magnitude(4), cache.magnitude(4))


def test_missing_cache_is_named(tmp_path, refused):
    for path, kind in ((tmp_path / "none.h5", NotFound), (tmp_path, WrongFormat)):
        with refused(kind, path):
            Cache(path)


def test_foreign_hdf5_is_refused(tmp_path, refused):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = 1
    with refused(WrongFormat, tmp_path / "a.h5"):
        Cache(tmp_path / "a.h5")


def test_shard_instead_of_index_is_refused(prepared, refused):
    shard = prepared.with_name("cache.shards") / "shard-00000.h5"
    with refused(WrongFormat, shard) as fault:
        Cache(shard)
    assert "index" in fault.value.remedy


def test_other_version_is_refused(cache_copy, refused):
    with h5py.File(cache_copy, "a") as file:
        file.attrs["version"] = CACHE_VERSION + 1
    with refused(WrongVersion, cache_copy) as fault:
        Cache(cache_copy)
    assert str(CACHE_VERSION) in fault.value.problem and str(CACHE_VERSION + 1) in fault.value.problem


def test_shard_of_another_version_is_refused(cache_copy, refused):
    shard = cache_copy.with_name("cache.shards") / "shard-00001.h5"
    with h5py.File(shard, "a") as file:
        file.attrs["version"] = CACHE_VERSION + 1
    with refused(WrongVersion, shard):
        Cache(cache_copy).magnitude(2)


def test_text_is_refused(tmp_path, refused):
    (tmp_path / "a.h5").write_text("hello")
    with refused(Damaged, tmp_path / "a.h5"):
        Cache(tmp_path / "a.h5")


def test_index_truncated_anywhere_is_refused(cache_copy, refused):
    whole = cache_copy.read_bytes()
    for length in range(0, len(whole) - 1, len(whole) // 40):
        cache_copy.write_bytes(whole[:length])
        with refused(Damaged, cache_copy):
            Cache(cache_copy)


def test_index_with_damaged_bytes_is_refused_or_read_never_crashing(cache_copy):
    whole = cache_copy.read_bytes()
    rng = np.random.default_rng(0)
    count = 0
    for start in range(0, len(whole), len(whole) // 60):
        damaged = bytearray(whole)
        damaged[start : start + 16] = rng.bytes(16)
        cache_copy.write_bytes(damaged)
        try:
            Cache(cache_copy)
        except ScoresepError:
            count += 1
    assert count > 0


@pytest.mark.parametrize("lost", ["tracks/level", "tracks/active", "excluded"])
def test_index_without_a_part_is_refused(cache_copy, lost, refused):
    with h5py.File(cache_copy, "a") as file:
        del file[lost]
    with refused(Damaged, cache_copy):
        Cache(cache_copy)


def test_missing_and_truncated_shards_are_named(cache_copy, refused):
    shard = cache_copy.with_name("cache.shards") / "shard-00002.h5"
    shard.write_bytes(shard.read_bytes()[:-2000])
    with refused(Damaged, shard):
        Cache(cache_copy).magnitude(4)
    shard.unlink()
    with refused(NotFound, shard):
        Cache(cache_copy).magnitude(4)
    assert len(Cache(cache_copy).magnitude(0)) == 94
