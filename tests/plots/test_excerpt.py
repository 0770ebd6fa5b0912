"""Which frames of a track are shown, and what is read of them."""

from __future__ import annotations

import numpy as np
import pytest

from scoresep.audio.spectrogram import stft
from scoresep.errors import InvalidValue, NotFound
from scoresep.plots.cache_track import EXCERPT_SECONDS, busiest, chosen_frames, read_excerpt, row_of


def sounding(frames: int, *spans: tuple[int, int]) -> np.ndarray:
    """bool (T, N): instrument n sounds in frames spans[n][0] to spans[n][1]."""
    table = np.zeros((frames, len(spans)), dtype=bool)
    for n, (first, stop) in enumerate(spans):
        table[first:stop, n] = True
    return table


@pytest.mark.parametrize(
    ("spans", "first"),
    [
        (((0, 1000), (300, 320)), 220),  # both play; 20 frames is enough, and the earliest that has them wins
        (((0, 90), (300, 309), (300, 309)), 0),  # nine frames of a hundred are not playing
        (((0, 200), (500, 900), (560, 640)), 540),  # two long ones before one
        (((0, 100), (0, 100), (500, 510), (500, 510), (500, 510)), 420),  # three short ones before two long ones
        (((0, 0), (0, 0)), 0),
    ],
)
def test_the_busiest_excerpt_has_most_instruments_then_most_notes(spans, first):
    assert busiest(sounding(1000, *spans), 100, 20) == (first, 100)


def test_a_short_track_is_shown_whole():
    assert busiest(sounding(50, (0, 50), (0, 1)), 50, 31) == (0, 50)


def test_short_tracks_are_shown_whole_by_default(cache):
    frames = int(cache.tracks["frames"][0])
    assert cache.grid.frame_at(EXCERPT_SECONDS) > frames
    assert chosen_frames(cache, 0, None) == (0, frames)


def test_a_span_is_cut_to_the_track(cache):
    frames, grid = int(cache.tracks["frames"][0]), cache.grid
    assert chosen_frames(cache, 0, (1.0, 2.0)) == (grid.frame_at(1.0), grid.frame_at(2.0) + 1 - grid.frame_at(1.0))
    assert chosen_frames(cache, 0, (-5.0, 500.0)) == (0, frames)


@pytest.mark.parametrize("span", [(3.5, 9.0), (2.0, 1.0), (1.0, 1.0), (-2.0, -1.0)])
def test_a_span_outside_the_track_is_refused(cache, span, refused):
    with refused(InvalidValue):
        chosen_frames(cache, 0, span)


@pytest.mark.parametrize(("first", "count"), [(0, 20), (37, 11), (80, 14), (93, 1)])
def test_what_is_read_is_what_the_cache_holds(cache, first, count):
    row, grid = 3, cache.grid
    assert int(cache.tracks["frames"][row]) == 94
    excerpt = read_excerpt(cache, row, first, count)
    part = slice(first, first + count)
    assert np.array_equal(excerpt.mixture, cache.magnitude(row)[part].astype(np.float32))
    assert np.array_equal(excerpt.roll, cache.roll(row)[part])
    assert np.array_equal(excerpt.onset, cache.onset(row)[part])
    assert np.array_equal(excerpt.mask, cache.harmonic(row)[part])
    whole = np.stack([np.abs(stft(stem, grid.n_fft, grid.hop)) for stem in cache.stems(row)], axis=1)
    assert excerpt.stems.shape == (count, len(cache.instruments), grid.bins)
    assert np.allclose(excerpt.stems, whole[part], atol=1e-6)
    assert excerpt.span == pytest.approx(((first - 0.5) / grid.frame_rate, (first + count - 0.5) / grid.frame_rate))


def test_tracks_are_found_by_their_id(cache):
    assert [row_of(cache, str(name)) for name in cache.tracks["id"]] == list(range(5))


def test_an_unknown_track_suggests_the_nearest(cache, refused):
    with refused(NotFound, cache.path) as near:
        row_of(cache, "Track0003")
    assert "'Track00003'" in near.value.remedy
    with refused(NotFound, cache.path):
        row_of(cache, "x")
