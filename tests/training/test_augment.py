"""Transposition, equalisation and mixing anew keep the score true."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from scoresep.instruments import choose
from scoresep.losses.batch import DATASETS, TEACHER, Batch
from scoresep.losses.formulas import shares, teacher_loss, teacher_magnitudes
from scoresep.training.augment import blend_rows, equalise, equaliser, remix, shift_pitch, transpose, vary
from scoresep.training.clip_dataset import ShardClips
from scoresep.training.loader import stream

GROUPS = choose(["piano", "guitar", "bass"])
PITCHED = [True, True, True]


@pytest.fixture
def batch(cache) -> Batch:
    (made,) = stream(cache, 32, [[(0, 0), (1, 20), (2, 40)]], 0, torch.device("cpu"))
    return made


@pytest.fixture
def taught(cache) -> Batch:
    source = ShardClips(cache, 32, (*DATASETS, TEACHER))
    (made,) = stream(cache, 32, [[(0, 0), (1, 20), (2, 40)]], 0, torch.device("cpu"), source)
    return made


def same(a: Batch, b: Batch) -> bool:
    return all(torch.equal(getattr(a, name), getattr(b, name)) for name in ("magnitude", "roll", "onset", "harmonic"))


def inside(batch: Batch) -> torch.Tensor:
    """Share of each clip's energy that its masks hold."""
    energy = batch.magnitude**2
    return (energy * batch.harmonic.any(1)).sum((1, 2)) / energy.sum((1, 2))


def test_no_variation_changes_nothing(batch):
    assert vary(batch, 0, 0.0, 7.8125, torch.Generator().manual_seed(0), GROUPS) is batch
    assert same(transpose(batch, torch.zeros(3, dtype=torch.int64), PITCHED), batch)


def test_a_partial_moves_by_the_interval():
    magnitude = torch.zeros(2, 1025, 4)
    magnitude[:, 100] = 1.0
    harmonic = torch.zeros(2, 1, 1025, 4, dtype=torch.bool)
    harmonic[:, :, 99:102] = True
    roll = torch.zeros(2, 1, 88, 4)
    roll[:, :, 40] = 1.0
    moved = transpose(Batch(magnitude, roll, roll, harmonic, [(0, 0), (0, 0)]), torch.tensor([12, -12]), [True])
    assert moved.magnitude[:, :, 0].argmax(1).tolist() == [200, 50]
    assert moved.roll[:, 0, :, 0].argmax(1).tolist() == [52, 28] and moved.roll.sum((1, 2, 3)).tolist() == [4.0, 4.0]
    assert torch.equal(moved.onset, moved.roll)
    marked = [moved.harmonic[b, 0, :, 0].nonzero().flatten().tolist() for b in range(2)]
    assert 200 in marked[0] and 50 in marked[1]


@pytest.mark.parametrize("semitones", [-3, -1, 2, 3])
def test_energy_stays_in_the_masks(batch, semitones):
    moved = transpose(batch, torch.full((3,), semitones), PITCHED)
    assert moved.magnitude.shape == batch.magnitude.shape and moved.harmonic.dtype == torch.bool
    assert (inside(moved) > 0.93).all()  # interpolation spreads a peak by a bin
    left_behind = Batch(moved.magnitude, moved.roll, moved.onset, batch.harmonic, batch.crops)
    assert (inside(left_behind) < inside(moved) - 0.05).all()
    assert moved.roll.sum() == batch.roll.sum()  # no key of these tracks is near the piano's ends
    assert moved.magnitude.max() <= batch.magnitude.max() + 1e-6


def test_drums_keep_their_rows(batch):
    """Transposed, a drum sounds higher but is the same drum; its mask follows the sound."""
    moved = transpose(batch, torch.full((3,), 2), [True, False, True])
    plain = transpose(batch, torch.full((3,), 2), PITCHED)
    assert torch.equal(moved.roll[:, 1], batch.roll[:, 1]) and torch.equal(moved.onset[:, 1], batch.onset[:, 1])
    assert torch.equal(moved.roll[:, [0, 2]], plain.roll[:, [0, 2]]) and not torch.equal(moved.roll, plain.roll)
    assert torch.equal(moved.harmonic, plain.harmonic) and torch.equal(moved.magnitude, plain.magnitude)


def test_keys_that_leave_the_piano_are_lost():
    rolls = torch.zeros(3, 1, 88, 2)
    rolls[:, 0, [0, 40, 87]] = 1.0
    moved = shift_pitch(rolls, torch.tensor([3, -1, 0]), [True])
    assert [clip[0, :, 1].nonzero().flatten().tolist() for clip in moved] == [[3, 43], [39, 86], [0, 40, 87]]
    assert torch.equal(moved[2], rolls[2])


def test_spectra_are_interpolated_clip_by_clip(batch):
    """Against NumPy's interpolation, a frame and a template at a time."""
    semitones = torch.tensor([-3, 0, 2])
    template = torch.rand(3, 2, 4, 1025)
    moved = transpose(replace(batch, template=template), semitones, PITCHED)
    bins = np.arange(1025)
    for b, move in enumerate(semitones.tolist()):
        places = bins / 2 ** (move / 12)

        def expected(spectrum: torch.Tensor, places: np.ndarray = places) -> np.ndarray:
            return np.interp(places, bins, spectrum.numpy(), right=0.0)

        frames = np.stack([expected(batch.magnitude[b, :, t]) for t in range(32)], axis=1)
        np.testing.assert_allclose(moved.magnitude[b], frames, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(moved.template[b, 1, 2], expected(template[b, 1, 2]), rtol=1e-3, atol=1e-4)


def test_nothing_comes_from_beyond_the_spectrum(batch):
    moved = transpose(batch, torch.full((3,), -12), PITCHED)
    assert not moved.magnitude[:, 514:].any() and not moved.harmonic[:, :, 514:].any()


def test_gains_are_smooth_and_within_bounds():
    gains = equaliser(torch.Size((20, 1025)), 6.0, 7.8125, torch.Generator().manual_seed(0))
    decibels = 20 * torch.log10(gains)
    assert gains.shape == (20, 1025) and gains.dtype == torch.float32
    assert decibels.abs().max() <= 6.0 + 1e-4 and decibels.abs().max() > 3.0
    assert decibels[:, 200:].diff(dim=1).abs().max() < 0.2


def test_equalising_touches_the_magnitudes_only(batch):
    varied = vary(batch, 0, 6.0, 7.8125, torch.Generator().manual_seed(0), GROUPS)
    assert not torch.equal(varied.magnitude, batch.magnitude)
    assert torch.equal(varied.roll, batch.roll) and torch.equal(varied.harmonic, batch.harmonic)
    assert varied.crops == batch.crops


def test_gains_that_come_with_a_transposition_are_those_after_it(batch):
    semitones = torch.tensor([-3, 0, 2])
    gains = equaliser(batch.magnitude.shape[:2], 6.0, 7.8125, torch.Generator().manual_seed(0))
    taught = replace(
        batch,
        stems=batch.magnitude[:, None].repeat(1, 2, 1, 1),
        template=batch.magnitude.mT[:, None].repeat(1, 2, 1, 1),
    )
    once, after = transpose(taught, semitones, PITCHED, gains), equalise(transpose(taught, semitones, PITCHED), gains)
    assert same(replace(once, magnitude=after.magnitude), after)
    for name in ("magnitude", "stems", "template"):
        torch.testing.assert_close(getattr(once, name), getattr(after, name), rtol=1e-6, atol=1e-7)


def test_rows_are_blended_clip_by_clip():
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(3, 2, 7, 4, generator=generator)
    rows = torch.randint(7, (3, 5, 2), generator=generator)
    weights = torch.rand(3, 5, 2, generator=generator)
    found = blend_rows(values, rows, weights)
    wanted = [
        [[sum(weights[b, r, k] * values[b, n, rows[b, r, k]] for k in range(2)) for r in range(5)] for n in range(2)]
        for b in range(3)
    ]
    torch.testing.assert_close(found, torch.stack([torch.stack([torch.stack(x) for x in y]) for y in wanted]))


def test_variation_follows_its_generator(batch):
    a, b, c = (vary(batch, 3, 6.0, 7.8125, torch.Generator().manual_seed(seed), GROUPS) for seed in (1, 1, 2))
    assert same(a, b) and not same(a, c)


def with_factors(batch: Batch) -> Batch:
    """Factors whose products are the mixture itself, a tenth of it, and nothing: U = T, one template a frame."""
    eye = torch.eye(32).expand(3, 3, 32, 32)
    loud = torch.tensor([1.0, 0.1, 0.0])[:, None, None]
    return replace(batch, template=batch.magnitude.mT[:, None].expand(3, 3, 32, 1025), activation=eye * loud)


def products(batch: Batch) -> torch.Tensor:
    return batch.template.mT @ batch.activation


def test_the_teachers_factors_vary_as_the_mixture_does(batch):
    """The same random moves are drawn with factors and without; what was the mixture stays the mixture."""
    known = with_factors(batch)
    varied, plain = (vary(given, 3, 6.0, 7.8125, torch.Generator().manual_seed(1), GROUPS) for given in (known, batch))
    assert same(varied, plain) and not same(varied, batch) and plain.template is None
    heard = products(varied)
    assert torch.allclose(heard[:, 0], varied.magnitude, atol=1e-4)
    assert torch.allclose(heard[:, 1], 0.1 * varied.magnitude, atol=1e-5) and not heard[:, 2].any()


def test_an_equaliser_leaves_the_teachers_masks_alone_and_a_transposition_moves_them(taught):
    before = shares(teacher_magnitudes(taught.template, taught.activation))
    equalised = vary(taught, 0, 6.0, 7.8125, torch.Generator().manual_seed(0), GROUPS)
    assert torch.allclose(shares(teacher_magnitudes(equalised.template, equalised.activation)), before, atol=1e-5)
    moved = transpose(taught, torch.full((3,), 12), PITCHED)
    after = shares(teacher_magnitudes(moved.template, moved.activation))
    assert torch.allclose(after[:, :, :1025:2], before[:, :, :513], atol=1e-5) and not torch.allclose(after, before)


def test_stems_vary_as_the_mixture_does(batch):
    """A mixture of one stem alone stays that stem; the same random moves are drawn with stems and without."""
    stems = torch.stack([batch.magnitude, 2 * batch.magnitude, 0 * batch.magnitude], dim=1)
    known = replace(batch, stems=stems, stemmed=torch.tensor([True, True, False]))
    varied, plain = (vary(given, 3, 6.0, 7.8125, torch.Generator().manual_seed(1), GROUPS) for given in (known, batch))
    assert same(varied, plain) and not same(varied, batch) and plain.stems is None
    assert torch.allclose(varied.stems[:, 0], varied.magnitude) and torch.allclose(
        varied.stems[:, 1], 2 * varied.magnitude
    )
    assert not varied.stems[:, 2].any() and varied.stemmed.tolist() == [True, True, False]


def parts_of(batch: Batch) -> torch.Tensor:
    """The teacher's tracks, whose sum is the mixture."""
    return shares(teacher_magnitudes(batch.template, batch.activation)) * batch.magnitude.unsqueeze(1)


def test_clips_that_are_not_mixed_anew_stay_as_they_are(taught):
    mixed = remix(taught, 0.0, 6.0, torch.Generator().manual_seed(0))
    assert torch.equal(mixed.roll, taught.roll) and torch.equal(mixed.harmonic, taught.harmonic)
    assert torch.allclose(mixed.magnitude, taught.magnitude, atol=1e-5)
    assert torch.allclose(mixed.parts, parts_of(taught), atol=1e-6)


def test_a_clip_mixed_anew_is_the_sum_of_tracks_that_came_with_their_scores(taught):
    parts, origins = parts_of(taught), set()
    mixed = remix(taught, 1.0, 6.0, torch.Generator().manual_seed(1))
    assert torch.allclose(mixed.parts.sum(1), mixed.magnitude, atol=1e-6)
    for clip in range(3):
        for part in range(3):
            track = mixed.parts[clip, part]
            gains = [(track.sum() / parts[r, part].sum().clamp_min(1e-9)).item() for r in range(3)]
            fits = [r for r in range(3) if torch.allclose(gains[r] * parts[r, part], track, atol=1e-4)]
            fits = [r for r in fits if torch.equal(mixed.roll[clip, part], taught.roll[r, part])]
            assert fits and any(10 ** (-0.3) <= gains[r] <= 10**0.3 for r in fits), "6 dB at most"
            origins.add(fits[0] - clip)
    assert len(origins) > 1, "tracks of several clips"


def test_the_teacher_is_followed_on_clips_mixed_anew(taught):
    """Tracks that are the teacher's have no loss, whatever they were mixed of."""
    mixed = remix(taught, 1.0, 6.0, torch.Generator().manual_seed(1))
    assert teacher_loss(mixed.magnitude, mixed.parts, mixed.parts).item() < 1e-6
    assert teacher_loss(mixed.magnitude, mixed.parts.flip(0), mixed.parts).item() > 0.1
