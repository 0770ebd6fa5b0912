"""Percussive masks against a plain implementation and against sounds that decay."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scoresep.audio.spectrogram import stft
from scoresep.grid import Grid
from scoresep.masks.percussive import PercussiveSettings, percussive_mask
from scoresep.score.parts import part_from_notes

GRID = Grid(16000, 2048, 512)


def unpacked(mask: np.ndarray, bins: int = GRID.bins) -> np.ndarray:
    return np.unpackbits(mask, axis=-1, count=bins, bitorder="little").astype(bool)


def strokes(*seconds: float):
    return part_from_notes([(time, time + 0.01, 38, 90) for time in seconds])


def plain_strokes(parts, grid: Grid, frames: int, settings: PercussiveSettings) -> np.ndarray:
    """The definition, slowly: the union over strokes of all bins below each one's falling limit."""
    mask = np.zeros((frames, grid.bins), dtype=bool)
    hertz = np.arange(grid.bins) * grid.sample_rate / grid.n_fft
    highest = grid.sample_rate / 2
    for onset in np.concatenate([part.onset for part in parts]):
        first = math.floor(onset * grid.frame_rate + 0.5)
        length = math.ceil(settings.decay * grid.frame_rate)
        for t in range(max(first - math.ceil(settings.lead * grid.frame_rate), 0), min(first + length, frames)):
            limit = highest * (settings.last / highest) ** (max(t - first, 0) / length)
            mask[t] |= hertz <= limit * (1 + 1e-12)  # the limit may lie on a bin
    return mask


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("lead", [0.0, 0.07])
@pytest.mark.parametrize("grid", [GRID, Grid(8000, 512, 64)])
def test_agrees_with_the_plain_definition(seed, lead, grid):
    rng = np.random.default_rng(seed)
    frames = 60
    seconds = frames / grid.frame_rate
    parts = [strokes(*rng.uniform(0, 1.1 * seconds, 4)) for _ in range(2)]
    drum = PercussiveSettings(decay=0.15, last=400.0, lead=lead)
    assert np.array_equal(
        unpacked(percussive_mask(parts, grid, frames, drum), grid.bins), plain_strokes(parts, grid, frames, drum)
    )


def test_packed_rows_have_clear_padding_bits():
    mask = percussive_mask([strokes(0.0)], GRID, 3, PercussiveSettings(last=1e9))
    assert mask.dtype == np.uint8 and mask.shape == (3, 129)
    every_bit = np.unpackbits(mask, axis=-1, bitorder="little")
    assert every_bit[0, : GRID.bins].all() and not every_bit[:, GRID.bins :].any()


def test_a_stroke_lasts_its_decay_whatever_the_note_says():
    notes = [part_from_notes([(0.32, 0.32 + length, 38, 90)]) for length in (0.001, 3.0)]  # frame 10
    settings = PercussiveSettings(decay=0.16)  # 5 frames
    for part in notes:
        marked = percussive_mask([part], GRID, 60, settings).any(axis=1)
        assert np.flatnonzero(marked).tolist() == [10, 11, 12, 13, 14]


def test_the_upper_limit_falls_by_equal_ratios():
    counts = unpacked(percussive_mask([strokes(0.0)], GRID, 10, PercussiveSettings(decay=0.32, last=500.0))).sum(axis=1)
    assert counts[0] == GRID.bins and (np.diff(counts) < 0).all()
    assert counts[1:] / counts[:-1] == pytest.approx(np.full(9, (500 / 8000) ** 0.1), abs=0.01)


def test_a_new_stroke_starts_anew():
    mask = unpacked(percussive_mask([strokes(0.0, 0.16)], GRID, 10, PercussiveSettings(decay=0.32)))
    assert mask[0].all() and not mask[4].all() and mask[5].all()


def test_a_lead_reaches_back_to_the_beginning_and_no_further():
    mask = unpacked(percussive_mask([strokes(0.032)], GRID, 6, PercussiveSettings(decay=0.064, lead=0.096)))
    assert mask.all(axis=1).tolist() == [True, True, False, False, False, False]
    assert mask.any(axis=1).tolist() == [True, True, True, False, False, False]


def test_a_stroke_before_the_beginning_is_still_heard_there():
    whole = percussive_mask([strokes(0.32)], GRID, 30, PercussiveSettings())
    early = percussive_mask([strokes(-0.096)], GRID, 17, PercussiveSettings())
    assert np.array_equal(early, whole[13:]) and early.any()


def test_holds_the_energy_of_a_drum_and_little_of_what_came_before():
    """Noise whose high frequencies die first, struck at 0.5 s; the mask marks less than a third of two seconds."""
    rng = np.random.default_rng(0)
    time = np.arange(24000) / 16000
    body = rng.normal(0, 1, 24000) * np.exp(-time / 0.03) + 4 * np.sin(2 * np.pi * 110 * time) * np.exp(-time / 0.1)
    samples = np.concatenate([np.zeros(8000), body]).astype(np.float32)
    energy = np.abs(stft(samples, GRID.n_fft, GRID.hop)) ** 2
    settings = PercussiveSettings(lead=0.032)
    mask = unpacked(percussive_mask([strokes(0.5)], GRID, len(energy), settings))
    assert (energy * mask).sum() >= 0.98 * energy.sum() and mask.mean() < 0.33
    late = unpacked(percussive_mask([strokes(1.1)], GRID, len(energy), settings))
    assert (energy * late).sum() < 0.05 * energy.sum()


@pytest.mark.parametrize("parts", [[], [strokes()], [strokes(99.0)]])
def test_no_strokes_no_bits(parts):
    assert not percussive_mask(parts, GRID, 5, PercussiveSettings()).any()
