"""Clips, variations, the teacher, inference: on the device as on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scoresep.grid import PITCHES, Grid
from scoresep.losses.batch import DATASETS, STEMS, TEACHER, Batch
from scoresep.losses.formulas import teacher_magnitudes
from scoresep.models.checkpoint import load_checkpoint
from scoresep.nmf import FactoriseSettings, ScoredMixture, masks
from scoresep.nmf.batched import factorise_together
from scoresep.separation.separate import Options, separate_array
from scoresep.training.augment import vary
from scoresep.training.loader import RESIDENT, open_source, stream, unpack
from scoresep.transcription.transcribe import key_strength, posteriors

CPU = torch.device("cpu")
CROPS = [[(0, 10), (1, 5), (2, 40), (0, 62)], [(2, 0), (2, 3), (1, 1), (0, 2)]]
NAMES = (*DATASETS, STEMS, TEACHER)
EXACT = ("roll", "onset", "harmonic", "stemmed")


def batches(cache, device: torch.device, resident: str = "", workers: int = 0) -> list[Batch]:
    source = open_source(cache, "train", 32, device, NAMES, resident, stemmed=[0, 2])
    return list(stream(cache, 32, CROPS, workers, device, source))


def alike(found: Batch, expected: Batch, close) -> None:
    """Bits are the same, magnitudes but for rounding."""
    assert found.crops == expected.crops and found.tensors().keys() == expected.tensors().keys()
    for name, value in found.tensors().items():
        other = expected.tensors()[name]
        if name in EXACT:
            assert torch.equal(value.cpu(), other), name
        else:
            close(value, other)


@pytest.mark.parametrize("resident", RESIDENT)
@pytest.mark.parametrize("workers", [0, 2])
def test_batches(cache, device, close, resident, workers):
    found = batches(cache, device, resident, workers)
    assert all(value.device.type == device.type for batch in found for value in batch.tensors().values())
    for batch, expected in zip(found, batches(cache, CPU), strict=True):
        alike(batch, expected, close)
        assert torch.equal(batch.magnitude.cpu(), expected.magnitude), "a half divided by the level"


def test_bits(device):
    bits = torch.randint(0, 256, (3, 7, 2, 129), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(unpack(bits.to(device), 1025).cpu(), unpack(bits, 1025))


@pytest.mark.parametrize(("semitones", "decibels"), [(3, 6.0), (0, 6.0), (3, 0.0), (0, 0.0)])
def test_variations(cache, device, close, semitones, decibels):
    def varied(where: torch.device) -> Batch:
        generator = torch.Generator().manual_seed(1)
        (batch, _) = batches(cache, where)
        return vary(batch, semitones, decibels, cache.grid.bin_width, generator, cache.instruments)

    alike(varied(device), varied(CPU), close)


def test_the_teachers_parts(cache, device, close):
    found, expected = batches(cache, device)[0], batches(cache, CPU)[0]
    close(
        teacher_magnitudes(found.template, found.activation), teacher_magnitudes(expected.template, expected.activation)
    )


def test_batched_factorisation(device):
    grid, kinds = Grid(8000, 256, 64), ["harmonic", "percussive", "harmonic"]

    def song(frames: int, seed: int) -> ScoredMixture:
        rng = np.random.default_rng(seed)
        rolls = np.zeros((len(kinds), PITCHES, frames), dtype=bool)
        for n in range(len(kinds)):
            for key, begin in zip(rng.integers(20, 60, 8), rng.integers(0, frames - 5, 8), strict=True):
                rolls[n, key, begin : begin + rng.integers(1, 12)] = True
        onsets = rolls & ~np.pad(rolls, [(0, 0), (0, 0), (1, 0)])[..., :-1]
        return ScoredMixture(rng.gamma(0.3, 1.0, (grid.bins, frames)).astype(np.float32), rolls, onsets)

    songs = [song(60, 0), song(25, 1), song(44, 2)]
    found, expected = (factorise_together(songs, kinds, grid, FactoriseSettings(), where) for where in (device, CPU))
    for ours, theirs in zip(found, expected, strict=True):
        assert np.array_equal(ours.component, theirs.component) and np.array_equal(ours.pitch, theirs.pitch)
        np.testing.assert_allclose(ours.templates, theirs.templates, atol=1e-3)
        np.testing.assert_allclose(masks(ours), masks(theirs), atol=2e-3)


def test_key_strength(device, close):
    magnitude = torch.rand(2, Grid().bins, 9, generator=torch.Generator().manual_seed(0))
    close(key_strength(magnitude.to(device), Grid()), key_strength(magnitude, Grid()))


@pytest.mark.parametrize("signal", ["mixture", "separated"])
def test_transcription(cache, make, tmp_path, device, close, signal):
    path = make.checkpoint(tmp_path / "ckpt.pt", cache, loud=8)
    relative = cache.magnitude(0).astype(np.float32) / np.float32(cache.level(0))

    def heard(where: torch.device) -> list[np.ndarray]:
        model = load_checkpoint(path).model.to(where)
        (block,) = posteriors(iter([relative]), len(relative), model, signal=signal)
        return [block.frame, block.onset, block.strength]

    for found, expected in zip(heard(device), heard(CPU), strict=True):
        close(torch.from_numpy(found), torch.from_numpy(expected), 10 * close.rounding)


@pytest.mark.parametrize("refine", [False, True])
def test_separation(cache, make, tmp_path, device, refine):
    path = make.checkpoint(tmp_path / "ckpt.pt", cache, loud=8)
    audio = cache.mixture(0)
    found, expected = (
        separate_array(audio, cache.grid.sample_rate, load_checkpoint(path).model.to(where), Options(refine=refine))
        for where in (device, CPU)
    )
    for name, stem in found.items():
        wrong = np.abs(stem - expected[name]).mean() / np.abs(audio).mean()
        assert wrong < (0.02 if refine else 1e-3), name  # a note more or less changes what is refined
