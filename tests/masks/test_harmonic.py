"""Harmonic masks against a plain implementation and against the energy of tones."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scoresep.audio.spectrogram import stft
from scoresep.grid import Grid, packed_width
from scoresep.masks.harmonic import HarmonicSettings, harmonic_mask, merge_rows, set_bits, warm_up
from scoresep.score.parts import part_from_notes

GRID = Grid(16000, 2048, 512)


def unpacked(mask: np.ndarray, bins: int = GRID.bins) -> np.ndarray:
    return np.unpackbits(mask, axis=-1, count=bins, bitorder="little").astype(bool)


def plain_mask(parts, grid: Grid, frames: int, settings: HarmonicSettings) -> np.ndarray:
    """The definition, slowly: bin f of frame t is marked if it is within `half_width` and `detune` of a partial."""
    mask = np.zeros((frames, grid.bins), dtype=bool)
    every_bin = np.arange(grid.bins)
    for part in parts:
        for onset, offset, pitch in zip(part.onset, part.offset, part.pitch, strict=True):
            first = math.floor(onset * grid.sample_rate / grid.hop + 0.5)
            end = max(math.floor(offset * grid.sample_rate / grid.hop + 0.5), first + 1)
            tail = math.ceil(settings.release * grid.sample_rate / grid.hop)
            for t in range(first, min(end + tail, frames)):
                moment = max(min(t, min(end, frames) - 1) * grid.hop / grid.sample_rate, onset)
                bend = 0.0
                for time, value in zip(part.bend_time, part.bend, strict=True):
                    if time <= moment:
                        bend = value
                hertz = 440.0 * 2.0 ** ((pitch + bend - 69) / 12)
                for h in range(1, settings.harmonics + 1):
                    partial = h * hertz * math.sqrt(1 + settings.inharmonicity * h**2) / (grid.sample_rate / grid.n_fft)
                    reach = settings.half_width + partial * (2 ** (settings.detune / 1200) - 1)
                    mask[t] |= np.abs(every_bin - partial) <= reach
    return mask


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "settings",
    [
        HarmonicSettings(),
        HarmonicSettings(inharmonicity=4e-4),
        HarmonicSettings(detune=25.0, harmonics=12),
        HarmonicSettings(half_width=2, release=0.0, harmonics=40),
    ],
)
@pytest.mark.parametrize("grid", [GRID, Grid(8000, 512, 64)])
def test_agrees_with_the_plain_definition(seed, settings, grid):
    rng = np.random.default_rng(seed)
    frames = 40
    seconds = frames / grid.frame_rate
    parts = []
    for _ in range(2):
        onsets = rng.uniform(0, seconds * 1.1, 6)
        notes = [(t, t + rng.uniform(0.001, seconds / 2), int(rng.integers(15, 115)), 90) for t in onsets]
        bend_time = np.sort(rng.uniform(0, seconds, 5))
        parts.append(part_from_notes(notes, bend_time=bend_time, bend=rng.uniform(-2, 2, 5)))
    found = harmonic_mask(parts, grid, frames, settings)
    assert found.dtype == np.uint8 and found.shape == (frames, packed_width(grid.bins))
    assert np.array_equal(unpacked(found, grid.bins), plain_mask(parts, grid, frames, settings))


def test_padding_bits_stay_clear():
    part = part_from_notes([(0.0, 1.0, 108, 90), (0.0, 1.0, 21, 90)])
    mask = harmonic_mask([part], GRID, 10, HarmonicSettings(harmonics=1000))
    every_bit = np.unpackbits(mask, axis=-1, bitorder="little")
    assert every_bit[:, : GRID.bins].any() and not every_bit[:, GRID.bins :].any()


def energy_inside(samples: np.ndarray, mask: np.ndarray, frames: slice = slice(None)) -> float:
    energy = np.abs(stft(samples.astype(np.float32), GRID.n_fft, GRID.hop))[frames] ** 2
    return float((energy * mask[frames]).sum() / energy.sum())


def share_of_tone(make, pitch: int, settings: HarmonicSettings) -> float:
    """Share of the energy of a tone of 12 partials that its own mask holds."""
    samples = make.tone(pitch, 2.0, partials=12)
    part = part_from_notes([(0.0, 2.0, pitch, 90)])
    return energy_inside(samples, unpacked(harmonic_mask([part], GRID, GRID.frames(len(samples)), settings)))


PITCHES = range(28, 101, 3)


def test_holds_the_energy_of_harmonic_tones(make):
    shares = [share_of_tone(make, pitch, HarmonicSettings()) for pitch in PITCHES]
    assert min(shares) >= 0.979 and np.mean(shares) >= 0.99


def test_masks_as_wide_as_a_main_lobe_hold_nearly_all(make):
    assert min(share_of_tone(make, pitch, HarmonicSettings(half_width=2.0)) for pitch in PITCHES) >= 0.995


def test_mask_of_a_high_note_is_narrow():
    mask = unpacked(harmonic_mask([part_from_notes([(0.0, 1.0, 84, 90)])], GRID, 1, HarmonicSettings()))
    assert mask.mean() < 0.03  # 7 partials of 3 or 4 bins in 1025


@pytest.mark.parametrize("distance", [1, -1, 6])
def test_holds_little_of_another_tone(distance, make):
    samples = make.tone(72 + distance, 2.0, partials=4)
    part = part_from_notes([(0.0, 2.0, 72, 90)])
    mask = unpacked(harmonic_mask([part], GRID, GRID.frames(len(samples)), HarmonicSettings()))
    assert energy_inside(samples, mask) < 0.05


def test_an_octave_too_high_misses_the_fundamental(make):
    samples = make.tone(48, 2.0)
    part = part_from_notes([(0.0, 2.0, 60, 90)])
    mask = unpacked(harmonic_mask([part], GRID, GRID.frames(len(samples)), HarmonicSettings()))
    assert energy_inside(samples, mask) < 0.5


def test_follows_a_bend(make):
    """The tone jumps from 72 to 73.5 in the middle."""
    samples = np.concatenate([make.tone(72, 1.0), make.tone(73.5, 1.0)])
    bent = part_from_notes([(0.0, 2.0, 72, 90)], bend_time=np.array([1.0]), bend=np.array([1.5]))
    straight = part_from_notes([(0.0, 2.0, 72, 90)])
    frames = GRID.frames(len(samples))
    after = slice(GRID.frame_at(1.0) + 3, frames)
    masks = [unpacked(harmonic_mask([part], GRID, frames, HarmonicSettings())) for part in (bent, straight)]
    assert energy_inside(samples, masks[0], after) >= 0.99
    assert energy_inside(samples, masks[1], after) < 0.05
    assert energy_inside(samples, masks[0], slice(0, GRID.frame_at(1.0) - 3)) >= 0.99


def test_sounds_on_for_the_release_and_no_longer():
    part = part_from_notes([(0.32, 0.64, 60, 90)])  # frames 10 to 19
    marked = harmonic_mask([part], GRID, 40, HarmonicSettings(release=0.1)).any(axis=1)
    assert np.flatnonzero(marked).tolist() == list(range(10, 24))  # 0.1 s is 3.125 frames, rounded up
    assert np.flatnonzero(harmonic_mask([part], GRID, 40, HarmonicSettings(release=0.0)).any(axis=1)).tolist() == list(
        range(10, 20)
    )


def test_the_release_ends_with_the_audio():
    part = part_from_notes([(0.32, 0.64, 60, 90), (0.32, 99.0, 64, 90)])
    assert harmonic_mask([part], GRID, 21, HarmonicSettings()).any(axis=1).sum() == 11


def test_number_of_harmonics_is_kept():
    part = part_from_notes([(0.0, 1.0, 81, 90)])  # 880 Hz: bin 112.64
    bins = np.flatnonzero(unpacked(harmonic_mask([part], GRID, 1, HarmonicSettings(harmonics=2)))[0])
    assert bins.tolist() == [112, 113, 114, 224, 225, 226]


def test_stiff_strings_are_stretched():
    part = part_from_notes([(0.0, 1.0, 69, 90)])
    settings = HarmonicSettings(harmonics=10, inharmonicity=1e-3)
    bins = np.flatnonzero(unpacked(harmonic_mask([part], GRID, 1, settings))[0])
    assert abs(bins.max() - 10 * 440 * math.sqrt(1.1) / 7.8125) <= 1.5


def test_detuning_widens_high_partials_more():
    part = part_from_notes([(0.0, 1.0, 81, 90)])  # 880 Hz: bin 112.64; 50 cents are 3.3 bins, and 6.6 an octave higher
    bins = np.flatnonzero(unpacked(harmonic_mask([part], GRID, 1, HarmonicSettings(harmonics=2, detune=50.0)))[0])
    assert bins.tolist() == [*range(108, 118), *range(218, 234)]


def test_holds_a_tone_that_is_out_of_tune(make):
    samples = make.tone(72.4, 2.0)
    part = part_from_notes([(0.0, 2.0, 72, 90)])
    shares = [
        energy_inside(
            samples,
            unpacked(harmonic_mask([part], GRID, GRID.frames(len(samples)), HarmonicSettings(detune=detune))),
        )
        for detune in (0.0, 40.0)
    ]
    assert shares[0] < 0.6 and shares[1] >= 0.99


def test_a_vibrato_is_followed_frame_by_frame():
    """Every frame has a pitch of its own, and the frames of a bent note are those of straight notes at that pitch."""
    times = GRID.seconds(np.arange(20))
    bends = 0.5 * np.sin(np.arange(20))
    vibrato = part_from_notes([(0.0, 0.64, 60, 90)], bend_time=times, bend=bends)
    settings = HarmonicSettings(release=0.0)
    mask = harmonic_mask([vibrato], GRID, 20, settings)
    for t, bend in enumerate(bends):
        straight = part_from_notes([(0.0, 0.01, 60, 90)], bend_time=np.zeros(1), bend=np.array([bend]))
        assert np.array_equal(mask[t], harmonic_mask([straight], GRID, 1, settings)[0])


def test_no_notes_no_bits():
    assert not harmonic_mask([], GRID, 5, HarmonicSettings()).any()


@pytest.mark.parametrize("width", [1, 11, 129])
def test_merging_rows_is_a_union(width):
    rng = np.random.default_rng(width)
    mask, patterns = (rng.integers(0, 256, (count, width)).astype(np.uint8) for count in (50, 7))
    first = rng.integers(0, 50, 40)
    count = rng.integers(0, 51 - first)
    pattern_of = rng.integers(0, 7, 40)
    expected = mask.copy()
    for start, length, u in zip(first, count, pattern_of, strict=True):
        expected[start : start + length] |= patterns[u]
    merge_rows(mask, first, count, pattern_of, patterns)
    assert np.array_equal(mask, expected)


def test_after_warming_up_nothing_is_left_to_compile():
    """Workers would otherwise compile at the same time, for types that the warm-up did not name."""
    warm_up()
    straight = part_from_notes([(0.0, 1.0, 60, 90)])
    bent = part_from_notes([(0.0, 1.0, 60, 90)], bend_time=np.array([0.5]), bend=np.array([1.0]))
    for parts in ([], [straight], [straight, bent]):
        harmonic_mask(parts, GRID, 40, HarmonicSettings(half_width=2, inharmonicity=0, detune=1))
    assert len(merge_rows.signatures) == len(set_bits.signatures) == 1
