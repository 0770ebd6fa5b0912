"""Clips: their order, their content, and what is never read."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from scoresep.audio.spectrogram import stft
from scoresep.errors import InvalidValue, NothingToDo
from scoresep.losses.batch import DATASETS, STEMS
from scoresep.training.clip_dataset import ShardClips
from scoresep.training.loader import ClipOrder, ahead, open_source, stream, unpack

CPU = torch.device("cpu")


def one_batch(cache, crops, frames=32, workers=0):
    (batch,) = stream(cache, frames, [crops], workers, CPU)
    return batch


def test_a_batch_holds_what_the_cache_holds(cache):
    batch = one_batch(cache, [(0, 10), (3, 40)])
    assert batch.magnitude.shape == (2, 1025, 32) and batch.magnitude.dtype == torch.float32
    assert batch.roll.shape == batch.onset.shape == (2, 3, 88, 32) and batch.roll.dtype == torch.float32
    assert batch.harmonic.shape == (2, 3, 1025, 32) and batch.harmonic.dtype == torch.bool
    assert batch.crops == [(0, 10), (3, 40)]
    for b, (row, first) in enumerate(batch.crops):
        magnitude = cache.magnitude(row, first, 32).astype(np.float32).T / np.float32(cache.level(row))
        assert np.allclose(batch.magnitude[b], magnitude, rtol=1e-6)
        assert np.array_equal(batch.roll[b], cache.roll(row, first, 32).transpose(1, 2, 0))
        assert np.array_equal(batch.onset[b], cache.onset(row, first, 32).transpose(1, 2, 0))
        assert np.array_equal(batch.harmonic[b], cache.harmonic(row, first, 32).transpose(1, 2, 0))


def test_a_track_shorter_than_a_clip_is_followed_by_silence(cache):
    batch = one_batch(cache, [(0, 0)], frames=200)
    assert batch.magnitude.shape[-1] == 200 and batch.magnitude[..., :94].any()
    assert not batch.magnitude[..., 94:].any() and not batch.roll[..., 94:].any() and not batch.harmonic[..., 94:].any()


def test_readers_read_the_same(cache):
    crops = [[(0, 0), (1, 5)], [(2, 9), (4, 3)], [(3, 1), (0, 2)]]
    here = list(stream(cache, 32, crops, 0, CPU))
    there = list(stream(cache, 32, crops, 2, CPU))
    for a, b in zip(here, there, strict=True):
        assert a.crops == b.crops and torch.equal(a.magnitude, b.magnitude) and torch.equal(a.harmonic, b.harmonic)


@pytest.mark.parametrize("resident", ["host", "device"])
@pytest.mark.parametrize("frames", [32, 200])
def test_clips_from_memory_are_those_of_the_shards(cache, resident, frames):
    crops = [(0, 10), (2, 40), (1, 0), (2, 62)]
    source = open_source(cache, "train", frames, CPU, resident=resident)
    (there,) = stream(cache, frames, [crops], 0, CPU, source)
    here = one_batch(cache, crops, frames)
    for name in ("magnitude", "roll", "onset", "harmonic"):
        assert torch.equal(getattr(there, name), getattr(here, name)), name


def test_what_is_not_asked_for_is_not_read(cache):
    (batch,) = stream(cache, 32, [[(0, 0), (1, 1)]], 0, CPU, ShardClips(cache, 32, ["magnitude", "roll"]))
    assert batch.harmonic.shape == (2, 0, 1025, 32) and batch.onset.shape == (2, 0, 88, 32)
    assert batch.roll.any()


def test_a_fault_of_a_reader_comes_where_its_batch_would_have(cache):
    def work(job: int) -> int:
        if job == 3:
            raise InvalidValue("broken")
        return job

    for readers in (0, 2):
        made = ahead(range(9), work, readers)
        assert [next(made) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(InvalidValue):
            next(made)


def test_readers_end_when_they_are_no_longer_wanted():
    made = ahead(range(10**9), lambda job: job, 2)
    assert next(made) == 0
    before = threading.active_count()
    made.close()
    assert threading.active_count() == before - 2


def test_readers_work_ahead_but_not_far():
    begun = []
    made = ahead(range(100), lambda job: begun.append(job) or job, 2)
    next(made)
    made.close()
    assert 1 < len(begun) <= 5


def test_order_depends_on_seed_and_step_alone(cache):
    a, b = (ClipOrder(cache, "train", 32, 4, seed=3) for _ in range(2))
    forwards = [a.crops(step) for step in range(10)]
    backwards = [b.crops(step) for step in reversed(range(10))][::-1]
    assert forwards == backwards
    other = ClipOrder(cache, "train", 32, 4, seed=4)
    assert [other.crops(step) for step in range(10)] != forwards


def test_an_epoch_cuts_every_track_into_clips_that_do_not_overlap(cache):
    order = ClipOrder(cache, "train", 20, 2, seed=0)
    for number in range(5):
        crops = order.epoch(number)
        assert len(crops) == 3 * 4  # 94 frames hold 4 clips of 20
        for row in range(3):
            firsts = sorted(first for r, first in crops if r == row)
            assert np.diff(firsts).tolist() == [20, 20, 20]
            assert firsts[0] >= 0 and firsts[-1] + 20 <= 94


def test_offsets_and_order_differ_between_epochs(cache):
    order = ClipOrder(cache, "train", 20, 2, seed=0)
    assert order.epoch(0) != order.epoch(1)
    assert len({min(first for row, first in order.epoch(n) if row == 0) for n in range(10)}) > 2


def test_the_steps_of_an_epoch_see_all_its_clips(cache):
    order = ClipOrder(cache, "train", 20, 5, seed=0)
    assert order.steps_per_epoch == 3
    steps = [crop for step in range(3, 6) for crop in order.crops(step)]
    assert steps == order.epoch(1) + order.epoch(1)[:3] and len(set(steps)) == 12


def test_a_batch_larger_than_the_split_is_filled(cache):
    order = ClipOrder(cache, "train", 94, 8, seed=0)
    assert len(order.crops(0)) == len(order.crops(7)) == 8


def test_two_orders_alive_at_once_do_not_mix(cache):
    a, b = ClipOrder(cache, "train", 32, 4, 0), ClipOrder(cache, "validation", 32, 4, 0)
    assert {row for row, _ in a.crops(0)} <= {0, 1, 2} and {row for row, _ in b.crops(0)} == {3}
    assert {row for row, _ in a.crops(0)} <= {0, 1, 2}


def test_validation_clips_are_always_the_same_and_spread_out(cache):
    order = ClipOrder(cache, "train", 20, 4, seed=0)
    batches = order.validation(6)
    assert batches == order.validation(6) and [len(batch) for batch in batches] == [4, 2]
    assert {row for batch in batches for row, _ in batch} == {0, 1, 2}
    assert sum(len(batch) for batch in order.validation(1000)) == 12


def test_an_empty_split_is_refused(cache, refused):
    with refused(NothingToDo, cache.path):
        ClipOrder(cache, "nowhere", 32, 4, 0)


def test_bits_are_unpacked_as_numpy_does():
    bits = torch.randint(0, 256, (5, 7, 3, 11), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = np.unpackbits(bits.numpy(), axis=-1, count=85, bitorder="little").transpose(0, 2, 3, 1)
    assert np.array_equal(unpack(bits, 85).numpy(), expected.astype(bool))


@pytest.mark.parametrize("resident", ["", "host"])
def test_magnitudes_of_stems_are_those_of_their_spectrograms(cache, resident):
    """As preparation would have made them, at the track's beginning, within it and at its end."""
    crops = [(0, 0), (1, 31), (2, 62), (1, 70)]
    source = open_source(cache, "train", 32, CPU, (*DATASETS, STEMS), resident, stemmed={0, 1})
    (batch,) = stream(cache, 32, [crops], 0, CPU, source)
    assert batch.stems.shape == (4, 3, 1025, 32) and batch.stems.dtype == torch.float32
    assert batch.stemmed.tolist() == [True, True, False, True] and not batch.stems[2].any()
    for place, (row, first) in ((0, (0, 0)), (1, (1, 31)), (3, (1, 70))):
        for n, stem in enumerate(cache.stems(row)):
            expected = np.abs(stft(stem, cache.grid.n_fft, cache.grid.hop))[first : first + 32].T / cache.level(row)
            found = batch.stems[place, n].numpy()
            assert np.allclose(found[:, : expected.shape[1]], expected, rtol=1e-4, atol=1e-5)
            assert not found[:, expected.shape[1] :].any()


def test_stems_that_are_not_asked_for_are_not_there(cache):
    batch = one_batch(cache, [(0, 0)])
    assert batch.stems is None and batch.stemmed is None and set(batch.tensors()) == set(DATASETS)
