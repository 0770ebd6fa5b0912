import numpy as np
import pytest

from scoresep.grid import Grid
from scoresep.separation.mask_resampling import TOP_BAND, MaskMap, native_grid

GRID = Grid()


@pytest.mark.parametrize(
    ("rate", "hop"), [(8000, 256), (16000, 512), (22050, 720), (44100, 1440), (48000, 1536), (96000, 3072)]
)
def test_native_grid_keeps_the_steps(rate: int, hop: int) -> None:
    native = native_grid(GRID, rate)
    assert (native.sample_rate, native.hop, native.n_fft) == (rate, hop, 4 * hop)
    assert native.hop / rate == pytest.approx(GRID.hop / GRID.sample_rate, rel=0.03)


@pytest.mark.parametrize("rate", [1, 100, 1000, 192000])
def test_native_grid_of_odd_rates_is_a_grid(rate: int) -> None:
    assert native_grid(GRID, rate).hop >= 2


def test_equal_rates_leave_masks_as_they_are() -> None:
    rng = np.random.default_rng(0)
    masks, magnitude = rng.random((2, GRID.bins, 9), dtype=np.float32), rng.random((9, GRID.bins), dtype=np.float32)
    mapping = MaskMap(GRID, native_grid(GRID, GRID.sample_rate))
    extended = mapping.extend(masks, magnitude)
    np.testing.assert_array_equal(mapping.masks_at(extended, 0, 2, 7), masks.transpose(0, 2, 1)[:, 2:7])


@pytest.mark.parametrize("rate", [8000, 22050, 44099, 48000])
def test_interpolation_is_exact_for_planes(rate: int) -> None:
    """A mask that is linear in time and frequency stays so, wherever the model's band reaches."""
    frames = 40
    native = native_grid(GRID, rate)
    mapping = MaskMap(GRID, native)
    time, frequency = np.arange(frames)[None, :, None], np.linspace(0, 1, GRID.bins)[None, None, :]
    plane = (0.01 * time + 0.5 * frequency).astype(np.float32)
    extended = np.concatenate([plane, np.zeros((1, frames, 1), dtype=np.float32)], axis=2)
    seconds = np.arange(5, 20) * native.hop / rate
    hertz = np.arange(native.bins) * native.bin_width
    heard = hertz <= (TOP_BAND[1] if rate > GRID.sample_rate else 1) * GRID.sample_rate / 2
    expected = 0.01 * seconds[:, None] * GRID.frame_rate + 0.5 * hertz[None, heard] / (GRID.sample_rate / 2)
    np.testing.assert_allclose(mapping.masks_at(extended, 0, 5, 20)[0][:, heard], expected, atol=1e-5)


def test_above_the_band_is_the_weighted_mean_of_its_top() -> None:
    masks = np.zeros((2, GRID.bins, 3), dtype=np.float32)
    masks[1] = 1.0
    low, high = (round(edge * (GRID.bins - 1)) for edge in TOP_BAND)
    masks[0, low : (low + high) // 2] = 1.0  # the lower half of the top band belongs to the first instrument
    masks[1, low : (low + high) // 2] = 0.0
    magnitude = np.ones((3, GRID.bins), dtype=np.float32)
    magnitude[:, low : (low + high) // 2] = 3.0  # and sounds three times as loud as the upper half
    mapping = MaskMap(GRID, native_grid(GRID, 48000))
    above = mapping.masks_at(mapping.extend(masks, magnitude), 0, 0, 2)[:, :, -1]
    np.testing.assert_allclose(above[0], 0.75, atol=0.01)
    np.testing.assert_allclose(above.sum(axis=0), 1.0, atol=1e-6)


@pytest.mark.parametrize("rate", [8000, 44099, 48000])
def test_frames_are_ready_when_both_neighbours_are_known(rate: int) -> None:
    mapping = MaskMap(GRID, native_grid(GRID, rate))
    for known in (1, 2, 10, 1000):
        ready = mapping.ready(known)
        before, share = mapping.frame_position(ready - 1)
        assert before + (share > 0) <= known - 1
        before, share = mapping.frame_position(ready)
        assert before + (share > 0) > known - 1 or before >= known - 1
    assert mapping.ready(0) == 0
