"""Clips: their order, their content, and what is never read."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scoresep.cache.reader import Cache
from scoresep.errors import ScoresepError
from scoresep.training.stream import ClipOrder, Clips, stream, unpack

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


def test_worker_processes_read_the_same(cache):
    crops = [[(0, 0), (1, 5)], [(2, 9), (4, 3)], [(3, 1), (0, 2)]]
    here = list(stream(cache, 32, crops, 0, CPU))
    there = list(stream(cache, 32, crops, 2, CPU))
    for a, b in zip(here, there, strict=True):
        assert a.crops == b.crops and torch.equal(a.magnitude, b.magnitude) and torch.equal(a.harmonic, b.harmonic)


def test_stems_and_audio_are_never_read(cache, monkeypatch):
    read = set()
    real = Cache.slice
    monkeypatch.setattr(Cache, "slice", lambda self, name, *rest: (read.add(name), real(self, name, *rest))[1])
    one_batch(cache, [(0, 0), (1, 1)])
    assert read == set(Clips.NAMES) == {"magnitude", "roll", "onset", "harmonic"}


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


def test_every_step_has_a_full_batch_of_its_epoch(cache):
    order = ClipOrder(cache, "train", 20, 5, seed=0)
    assert order.steps_per_epoch == 2
    steps = [order.crops(step) for step in range(2)]
    assert [len(crops) for crops in steps] == [5, 5] and len({*steps[0], *steps[1]}) == 10


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


def test_an_empty_split_is_refused(cache):
    with pytest.raises(ScoresepError, match=r"cache\.h5 has no track in its nowhere split"):
        ClipOrder(cache, "nowhere", 32, 4, 0)


def test_bits_are_unpacked_as_numpy_does():
    bits = torch.randint(0, 256, (5, 3, 11), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    expected = np.unpackbits(bits.numpy(), axis=-1, count=85, bitorder="little")
    assert np.array_equal(unpack(bits, 85).numpy(), expected.astype(bool))
