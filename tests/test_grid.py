"""The frame grid: one place for frames, seconds and bins."""

from __future__ import annotations

import dataclasses

import pytest

from scoresep.audio.spectrogram import stft
from scoresep.errors import InvalidValue
from scoresep.grid import Grid, packed_width

GRID = Grid(16000, 2048, 512)


def test_derived_figures_by_hand():
    assert (GRID.bins, GRID.frame_rate, GRID.bin_width) == (1025, 31.25, 7.8125)


@pytest.mark.parametrize(("samples", "frames"), [(0, 1), (1, 1), (511, 1), (512, 2), (16000, 32), (16384, 33)])
def test_frames_of_a_signal(samples, frames, make):
    assert GRID.frames(samples) == frames
    assert len(stft(make.tone(69, 2.0)[:samples].astype("float32"), GRID.n_fft, GRID.hop)) == frames


def test_a_time_belongs_to_the_nearest_frame():
    assert GRID.frame_at(0.0) == 0
    assert GRID.frame_at(0.0159) == 0  # half a hop is 0.016 s
    assert GRID.frame_at(0.0161) == 1
    assert all(GRID.frame_at(GRID.seconds(frame)) == frame for frame in range(1000))


def test_seconds_are_centres():
    assert GRID.seconds(10) == pytest.approx(0.32)


def test_grid_is_frozen_and_comes_back_from_plain_values():
    with pytest.raises(dataclasses.FrozenInstanceError):
        GRID.hop = 256  # type: ignore[misc]
    assert Grid.from_dict(GRID.to_dict()) == GRID


@pytest.mark.parametrize("values", [(0, 2048, 512), (16000, 2048, 0), (16000, 2048, 500), (16000, -2048, 512)])
def test_impossible_grids_are_refused(refused, values):
    with refused(InvalidValue):
        Grid(*values)


def test_windows_that_overlap_too_little_are_refused(refused):
    with refused(InvalidValue):
        Grid(16000, 2048, 1024)
    Grid(16000, 2048, 512)


@pytest.mark.parametrize(("bits", "width"), [(0, 0), (1, 1), (8, 1), (9, 2), (88, 11), (1025, 129)])
def test_bytes_that_hold_bits(bits, width):
    assert packed_width(bits) == width


@pytest.mark.parametrize(("seconds", "frames"), [(0.0, 0), (0.001, 1), (0.032, 1), (0.0321, 2), (0.064, 2)])
def test_frames_that_hold_seconds(seconds, frames):
    assert Grid(16000, 2048, 512).frames_in(seconds) == frames
