"""The factorisation against known factors, a plain implementation, and stems of a rendered song."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest

from scoresep.audio.spectrogram import istft, stft
from scoresep.cache.build import prepare
from scoresep.cache.reader import Cache
from scoresep.cache.schema import CacheSettings
from scoresep.datasets.slakh import open_slakh
from scoresep.evaluation.baselines import TrueTrack, harmonic_mask
from scoresep.evaluation.metrics import si_sdr
from scoresep.executor import Engine
from scoresep.grid import LOWEST_PITCH, PITCHES, Grid
from scoresep.instruments import choose
from scoresep.nmf import ATTACK, FREE, FactoriseSettings, Factors, factorise, masks
from scoresep.nmf import kernels as nmf_kernels
from scoresep.nmf.components import bands, combs, components_of, spread
from scoresep.nmf.factorisation import SharedEnvelopes, neighbours
from scoresep.nmf.kernels import BACKGROUND, combine, project, warm_up
from scoresep.rendering.render import RenderSettings, render_corpus

GRID = Grid(16000, 2048, 512)
SMALL = Grid(8000, 256, 64)
PLAIN = FactoriseSettings(shared=0, prior=0.0, weighted=False, onset_length=0.0, decay=0.0)
"""Nothing but multiplicative updates of notes."""


class Music(NamedTuple):
    """A mixture (F, T) with what it was made of: rolls and onsets (N, P, T), templates (K, F), activations (K, T)."""

    magnitude: np.ndarray
    rolls: np.ndarray
    onsets: np.ndarray
    templates: np.ndarray
    activations: np.ndarray


def two_notes(grid: Grid = SMALL, frames: int = 60, seed: int = 0) -> Music:
    """One note each of two instruments: alone, together, alone, and a silence; spectra and loudness are random."""
    rng = np.random.default_rng(seed)
    rolls = np.zeros((2, PITCHES, frames), dtype=bool)
    rolls[0, 60 - LOWEST_PITCH, 5:40] = True
    rolls[1, 67 - LOWEST_PITCH, 25:55] = True
    templates = rng.gamma(0.5, 1.0, (2, grid.bins)).astype(np.float32) + np.float32(1e-3)
    templates /= templates.max(axis=1, keepdims=True)
    activations = (rng.uniform(0.2, 2.0, (2, frames)) * rolls.any(axis=1)).astype(np.float32)
    return Music(templates.T @ activations, rolls, first_frames(rolls), templates, activations)


def first_frames(rolls: np.ndarray) -> np.ndarray:
    return rolls & ~np.pad(rolls, [(0, 0), (0, 0), (1, 0)])[..., :-1]


def some_music(grid: Grid = SMALL, frames: int = 50, seed: int = 0) -> Music:
    """Random notes of three instruments, and magnitudes that have little to do with them."""
    rng = np.random.default_rng(seed)
    rolls = np.zeros((3, PITCHES, frames), dtype=bool)
    for n in range(3):
        for key, begin in zip(rng.integers(20, 60, 8), rng.integers(0, frames - 5, 8), strict=True):
            rolls[n, key, begin : begin + rng.integers(1, 12)] = True
    magnitude = rng.gamma(0.3, 1.0, (grid.bins, frames)).astype(np.float32)
    return Music(magnitude, rolls, first_frames(rolls), np.zeros((0, 0)), np.zeros((0, 0)))


HARMONIC = ["harmonic"] * 3


def test_finds_two_known_templates_and_their_activations() -> None:
    music = two_notes()
    found = factorise(music.magnitude, music.rolls, HARMONIC[:2], SMALL, settings=replace(PLAIN, iterations=300))
    assert found.pitch.tolist() == [60, 67] and found.instrument.tolist() == [0, 1]
    np.testing.assert_allclose(found.templates, music.templates, atol=0.01)
    np.testing.assert_allclose(found.dense(), music.activations, atol=0.02)
    parts = music.templates[:, :, None] * music.activations[:, None]
    sounding = music.rolls.any(axis=(0, 1))
    np.testing.assert_allclose(
        masks(found, 1.0)[..., sounding], (parts / np.maximum(parts.sum(axis=0), 1e-9))[..., sounding], atol=0.02
    )


def test_the_usual_settings_part_two_known_notes_of_harmonic_spectra() -> None:
    """With combs as true templates nothing of the usual model is wrong but its attacks."""
    music = two_notes(GRID)
    templates = combs(np.array([60, 67]), GRID, FactoriseSettings()).astype(np.float32)
    parts = templates[:, :, None] * music.activations[:, None]
    found = masks(factorise(parts.sum(axis=0), music.rolls, HARMONIC[:2], GRID))
    wrong = np.abs(found * parts.sum(axis=0) - parts).sum() / parts.sum()
    assert wrong < 0.05


def test_a_pitch_that_is_not_heard_takes_the_envelope_of_its_neighbour_and_of_no_other_instrument() -> None:
    rolls = np.zeros((2, PITCHES, 9), dtype=bool)
    rolls[0, [30, 35], 0] = rolls[1, 35, 0] = True
    settings = FactoriseSettings(onset_length=0.0, neighbours=5.0)
    start = components_of(rolls, rolls, HARMONIC[:2], GRID, settings)
    dull = start.templates[0] * np.exp(-np.arange(GRID.bins) / 200)
    exposure = np.zeros((3, GRID.bins), dtype=np.float32)
    exposure[0] = 7.0
    learnt = np.stack([7.0 * dull / dull.sum(), 0 * dull, 0 * dull])
    triangles = bands(GRID, settings.bands).astype(np.float32)
    comb = start.templates[start.pitched]
    envelopes = SharedEnvelopes(neighbours(start, settings), comb, triangles, project, combine)
    shapes = envelopes.update(learnt, exposure)
    np.testing.assert_allclose(shapes.sum(axis=1), 1, rtol=1e-5)
    envelopes = shapes / start.templates
    envelopes /= envelopes[:, :1]
    np.testing.assert_allclose(envelopes[1], envelopes[0], rtol=1e-3)
    assert envelopes[0, 600] < 0.1
    np.testing.assert_allclose(envelopes[2], 1, rtol=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_bins_of_ones_own_teach_better_than_bins_that_beat(seed: int) -> None:
    """Where two sounds meet, their phases decide what the mixture's magnitude is; there is less to learn from it."""
    rng = np.random.default_rng(seed)
    music = two_notes(GRID, frames=120, seed=seed)
    templates = combs(np.array([60, 67]), GRID, FactoriseSettings()) * rng.uniform(0.2, 2.0, (2, GRID.bins))
    parts = templates[:, :, None] * music.activations[:, None]
    magnitude = np.abs(parts[0] + parts[1] * np.exp(2j * np.pi * rng.random(parts[0].shape)))
    truth = templates / templates.max(axis=1, keepdims=True)
    wrong = []
    for weighted in (False, True):
        settings = FactoriseSettings(weighted=weighted, onset_length=0.0, decay=0.0)
        found = factorise(magnitude, music.rolls, HARMONIC[:2], GRID, settings=settings)
        wrong.append(np.abs(found.templates - truth).sum())
    assert wrong[1] < 0.9 * wrong[0]


def plain_sweep(magnitude, templates, active, activations):
    """One step of probabilistic latent component analysis, densely: (F, T), (K, F) of sum 1, (K, T) bool, (K, T)."""
    ratio = magnitude / (templates.T @ activations + BACKGROUND)
    learnt = templates * (activations @ ratio.T)
    return learnt / learnt.sum(axis=1, keepdims=True), activations * (templates @ ratio) * active


def test_agrees_with_a_dense_implementation() -> None:
    music = some_music()
    settings = replace(PLAIN, iterations=6, lead=0.008, decay=0.016)
    found = factorise(music.magnitude, music.rolls, HARMONIC, SMALL, settings=settings)
    keys = [np.flatnonzero(roll.any(axis=1)) for roll in music.rolls]
    active = np.concatenate([spread(music.rolls[n, keys[n]].T, 1, 2).T for n in range(3)])
    templates = np.concatenate([combs(k + LOWEST_PITCH, SMALL, settings) for k in keys])
    templates /= templates.sum(axis=1, keepdims=True)
    activations = active * (music.magnitude.sum(axis=0) / np.maximum(active.sum(axis=0), 1))
    for _ in range(settings.iterations):
        templates, activations = plain_sweep(music.magnitude.astype(np.float64), templates, active, activations)
    peak = templates.max(axis=1, keepdims=True)
    np.testing.assert_allclose(found.templates, templates / peak, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found.dense(), activations * peak, rtol=1e-3, atol=1e-5)
    models = np.stack([templates[k].T @ activations[k] for k in (found.instrument == n for n in range(3))])
    shares = models**1.5 / np.maximum((models**1.5).sum(axis=0), 1e-12)
    heard = active.any(axis=0)
    np.testing.assert_allclose(masks(found)[..., heard], shares[..., heard], atol=2e-3)


def divergence(magnitude: np.ndarray, factors: Factors) -> float:
    """Generalised Kullback-Leibler divergence of a mixture (F, T) from its factors, where anything may sound."""
    active = np.diff(factors.first) > 0
    model = BACKGROUND + (factors.templates.T.astype(np.float64) @ factors.dense())[:, active]
    mixture = np.maximum(magnitude[:, active].astype(np.float64), 1e-300)
    return float((model - mixture + mixture * np.log(mixture / model)).sum())


@pytest.mark.parametrize("seed", range(3))
def test_divergence_never_grows(seed: int) -> None:
    """Of multiplicative updates that is a theorem."""
    music = some_music(seed=seed)
    plain = FactoriseSettings(shared=0, prior=0.0, weighted=False)
    found = [
        divergence(music.magnitude, factorise_with(music, replace(plain, iterations=count))) for count in range(1, 25)
    ]
    assert all(after <= before * (1 + 1e-6) for before, after in pairwise(found))
    assert found[-1] < 0.95 * found[0]


def factorise_with(music: Music, settings: FactoriseSettings) -> Factors:
    return factorise(music.magnitude, music.rolls, HARMONIC, SMALL, music.onsets, settings)


def test_likelihood_decides_what_the_mixture_leaves_open() -> None:
    """Two instruments on one key: nothing in the mixture tells them apart, so they keep the odds they began with."""
    music = two_notes()
    rolls = np.stack([music.rolls[0], music.rolls[0]])
    likelihood = np.where(rolls, np.array([0.9, 0.3])[:, None, None], 0.0)
    found = factorise(music.magnitude, rolls, HARMONIC[:2], SMALL, settings=PLAIN, likelihood=likelihood)
    sounding = rolls[0].any(axis=0)
    np.testing.assert_allclose(masks(found, 1.0)[0][:, sounding], 0.75, atol=1e-3)
    alike = factorise(music.magnitude, rolls, HARMONIC[:2], SMALL, settings=PLAIN, likelihood=np.ones(rolls.shape))
    plain = factorise(music.magnitude, rolls, HARMONIC[:2], SMALL, settings=PLAIN)
    np.testing.assert_array_equal(alike.activation, plain.activation)


def test_what_is_heard_overrules_a_wrong_likelihood() -> None:
    music = two_notes(GRID)
    truth = combs(np.array([60, 67]), GRID, FactoriseSettings()).astype(np.float32)
    magnitude = truth.T @ music.activations
    rolls = music.rolls.copy()
    rolls[1, 70 - LOWEST_PITCH] = rolls[1].any(axis=0)  # nobody plays this key
    likelihood = np.where(rolls, 1.0, 0.0)
    likelihood[1, 67 - LOWEST_PITCH] *= 0.2  # and the one that is played is thought the less likely
    settings = replace(PLAIN, iterations=60)
    found = factorise(magnitude, rolls, HARMONIC[:2], GRID, settings=settings, likelihood=likelihood)
    energy = (found.dense() * found.templates.sum(axis=1)[:, None]).sum(axis=1)
    assert found.pitch.tolist() == [60, 67, 70]
    assert energy[1] > 2 * energy[2]


def test_notes_that_nobody_wrote_go_to_the_part_that_plays_them_elsewhere() -> None:
    """Of two instruments both play throughout, and the first one's score has the first half only."""
    rng = np.random.default_rng(0)
    templates = combs(np.array([60, 67]), GRID, FactoriseSettings()) * rng.uniform(0.2, 2.0, (2, GRID.bins))
    parts = [np.outer(shape, rng.uniform(0.5, 1.5, 60)) for shape in templates]
    rolls = np.zeros((2, PITCHES, 60), dtype=bool)
    rolls[0, 60 - LOWEST_PITCH, :30] = rolls[1, 67 - LOWEST_PITCH] = True
    mixture, kinds = np.asfortranarray(sum(parts), dtype=np.float32), ["harmonic"] * 2
    before = rolls.copy()
    for unwritten, least in ((False, 0.0), (True, 0.8)):
        settings = FactoriseSettings(unwritten=unwritten, decay=0.0)
        share = masks(factorise(mixture, rolls, kinds, GRID, settings=settings))[0, :, 35:]
        taken = (share * mixture[:, 35:])[np.argmax(parts[0][:, 35:], axis=0), range(25)]
        assert taken.sum() >= least * parts[0][:, 35:].max(axis=0).sum() and (unwritten or not taken.any())
    assert np.array_equal(rolls, before)


def test_unwritten_notes_that_come_to_nothing_are_dropped() -> None:
    music, settings = two_notes(GRID, 60), FactoriseSettings(unwritten=True)  # which ends with a silence of five frames
    found = factorise(music.magnitude, music.rolls, ["harmonic"] * 2, GRID, settings=settings)
    assert found.first[55] == found.first[60] == len(found.component) < 60 * len(found.templates)
    silent = factorise(0 * music.magnitude, music.rolls, ["harmonic"] * 2, GRID, settings=settings)
    assert not len(silent.component) and np.isfinite(masks(silent)).all()


def test_an_unwritten_stroke_is_heard() -> None:
    """A drum that is struck twice and written once, over a held note."""
    rng = np.random.default_rng(1)
    comb = combs(np.array([60]), GRID, FactoriseSettings())[0]
    noise, strokes = rng.uniform(0.2, 1.0, GRID.bins), np.zeros(60)
    strokes[[10, 11, 12, 40, 41, 42]] = [1.0, 0.6, 0.3] * 2
    rolls, onsets = np.zeros((2, 2, PITCHES, 60), dtype=bool)
    rolls[0, 60 - LOWEST_PITCH] = onsets[0, 60 - LOWEST_PITCH, 0] = True
    rolls[1, 38 - LOWEST_PITCH, 10] = onsets[1, 38 - LOWEST_PITCH, 10] = True
    mixture = np.asfortranarray(np.outer(comb, np.ones(60)) + 0.3 * np.outer(noise, strokes), dtype=np.float32)
    drum, heard = 0.3 * np.outer(noise, strokes)[:, 40:42], []
    for unwritten in (False, True):
        settings = FactoriseSettings(unwritten=unwritten)
        share = masks(factorise(mixture, rolls, ["harmonic", "percussive"], GRID, onsets, settings))[1]
        heard.append((share * mixture)[:, 40:42].sum() / drum.sum())
    assert heard[0] == 0 and heard[1] > 0.5


def test_same_input_gives_same_factors_whatever_its_layout() -> None:
    music = some_music()
    found = [
        factorise(magnitude, music.rolls, HARMONIC, SMALL)
        for magnitude in (music.magnitude, music.magnitude.copy(order="F"), music.magnitude.astype(np.float64))
    ]
    for other in found[1:]:
        assert np.array_equal(found[0].templates, other.templates)
        assert np.array_equal(found[0].activation, other.activation)


def test_leaves_its_input_alone() -> None:
    music = some_music()
    before = [music.magnitude.copy(), music.rolls.copy()]
    masks(factorise(music.magnitude.T.copy().T, music.rolls, HARMONIC, SMALL))
    assert np.array_equal(music.magnitude, before[0]) and np.array_equal(music.rolls, before[1])


def test_activations_keep_to_the_notes() -> None:
    """A component is active from its note's first frame to the end of its decay, an attack around onsets only."""
    rolls = np.zeros((1, PITCHES, 60), dtype=bool)
    rolls[0, 40, 20:30] = True
    magnitude = np.ones((GRID.bins, 60), dtype=np.float32)
    settings = FactoriseSettings(lead=0.064, decay=0.16, onset_lead=0.032, onset_length=0.096)
    found = factorise(magnitude, rolls, HARMONIC[:1], GRID, settings=settings)
    active = {int(pitch): np.flatnonzero(row) for pitch, row in zip(found.pitch, found.dense() > 0, strict=True)}
    assert active[40 + LOWEST_PITCH].tolist() == list(range(18, 35))
    assert active[ATTACK].tolist() == [19, 20, 21, 22]
    assert found.first[-1] == len(found.component) == 17 + 4


def test_a_stroke_sounds_on_after_its_note() -> None:
    rolls = np.zeros((1, PITCHES, 60), dtype=bool)
    rolls[0, 15, 20] = True
    settings = FactoriseSettings(stroke_decay=0.32, onset_lead=0.0)
    found = factorise(np.ones((GRID.bins, 60), np.float32), rolls, ["percussive"], GRID, settings=settings)
    assert found.pitch.tolist() == [36] and np.flatnonzero(found.dense()[0]).tolist() == list(range(20, 30))


def test_silence_is_shared_and_stays_finite() -> None:
    music = some_music()
    found = factorise(np.zeros_like(music.magnitude), music.rolls, HARMONIC, SMALL)
    assert np.isfinite(found.templates).all() and not found.activation.any()
    np.testing.assert_allclose(masks(found), 1 / 3, rtol=1e-6)


def test_silence_in_the_middle_of_notes_stays_finite() -> None:
    music = some_music()
    magnitude = music.magnitude.copy()
    magnitude[:, 10:20] = 0
    magnitude[30:, 20:30] = 0
    found = factorise(magnitude, music.rolls, HARMONIC, SMALL)
    assert np.isfinite(found.templates).all() and np.isfinite(found.activation).all()
    assert np.isfinite(masks(found)).all()


def test_the_faintest_magnitudes_give_masks_that_are_numbers() -> None:
    music = some_music()
    for scale in (1e-20, 1e-30, 1e-38, 1e-42):
        assert np.isfinite(masks(factorise(music.magnitude * np.float32(scale), music.rolls, HARMONIC, SMALL))).all()


@pytest.mark.parametrize("height", [1e-30, 1e-38, 1e-40, 1e-44])
def test_activations_that_have_nearly_vanished_give_masks_that_are_numbers(height: float) -> None:
    """Where two instruments compete, an update may shrink one of them for ever."""
    one = np.array([0, 1], dtype=np.int32)
    faint = Factors(
        np.ones((2, 3), np.float32), one, one, np.array([0, 2]), one, np.array([height, height / 2], np.float32), 2
    )
    shares = masks(faint)
    assert np.isfinite(shares).all()
    np.testing.assert_allclose(shares.sum(axis=0), 1, rtol=1e-5)


def test_without_notes_all_share() -> None:
    magnitude = some_music().magnitude
    found = factorise(magnitude, np.zeros((3, PITCHES, 50), dtype=bool), HARMONIC, SMALL)
    assert found.templates.shape == (0, SMALL.bins) and len(found.component) == 0 and found.frames == 50
    np.testing.assert_allclose(masks(found), 1 / 3, rtol=1e-6)
    assert divergence(magnitude, found) == 0.0


def test_an_instrument_without_notes_gets_nothing_where_others_play() -> None:
    music = some_music()
    rolls = music.rolls.copy()
    rolls[1] = False
    shares = masks(factorise(music.magnitude, rolls, HARMONIC, SMALL))
    assert not shares[1][:, rolls.any(axis=(0, 1))].any()


def test_what_has_no_score_takes_what_no_score_explains() -> None:
    """Noise that the score knows nothing of goes to `other`, the note beside it does not."""
    rng = np.random.default_rng(0)
    music = two_notes(GRID)
    comb = combs(np.array([60]), GRID, FactoriseSettings())[0]
    note = comb[:, None] * music.activations[0]
    noise = rng.gamma(2.0, 0.01, note.shape) * (np.arange(GRID.bins) > 400)[:, None]
    rolls = np.stack([music.rolls[0], np.zeros_like(music.rolls[0])])
    found = factorise(note + noise, rolls, ["harmonic", "other"], GRID)
    assert (found.pitch == FREE).sum() == FactoriseSettings().free
    free = found.templates[found.pitch == FREE]
    assert np.abs(free[:, None] - free).max(axis=2)[~np.eye(len(free), dtype=bool)].min() > 0.1, "all alike"
    estimates = masks(found) * (note + noise)
    assert np.abs(estimates[0] - note).sum() < 0.35 * note.sum()
    assert np.abs(estimates[1] - noise)[401:].sum() < 0.25 * noise.sum()


def test_masks_add_up_and_have_the_shape_of_the_mixture() -> None:
    music = some_music()
    shares = masks(factorise(music.magnitude, music.rolls, HARMONIC, SMALL))
    assert shares.shape == (3, *music.magnitude.shape) and shares.dtype == np.float32
    np.testing.assert_allclose(shares.sum(axis=0), 1, rtol=1e-5)
    assert shares.min() >= 0


def test_halves_are_small_and_give_nearly_the_same_masks() -> None:
    music = some_music(frames=200)
    whole = factorise(music.magnitude, music.rolls, HARMONIC, SMALL)
    half = whole.half()
    assert (half.templates.dtype, half.component.dtype, half.activation.dtype) == (np.float16, np.uint16, np.float16)
    assert np.array_equal(half.component, whole.component)
    assert np.abs(masks(half) - masks(whole)).max() < 0.01


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_music_of_few_frames(frames: int) -> None:
    rolls = np.zeros((2, PITCHES, frames), dtype=bool)
    rolls[0, 40, 0] = rolls[1, 45, -1] = True
    shares = masks(factorise(np.ones((SMALL.bins, frames), np.float32), rolls, ["harmonic", "percussive"], SMALL))
    assert shares.shape == (2, SMALL.bins, frames) and np.isfinite(shares).all()


@pytest.mark.parametrize(
    "change",
    [
        {"magnitude": np.ones((SMALL.bins, 49), np.float32)},
        {"magnitude": np.ones((SMALL.bins - 1, 50), np.float32)},
        {"kinds": HARMONIC[:2]},
        {"onsets": np.zeros((3, PITCHES, 49), bool)},
        {"likelihood": np.zeros((3, PITCHES, 49))},
    ],
)
def test_shapes_that_do_not_fit_are_refused(change: dict) -> None:
    music = some_music()
    wanted = {"magnitude": music.magnitude, "rolls": music.rolls, "kinds": HARMONIC, "grid": SMALL, **change}
    with pytest.raises(ValueError, match=r"\(3, 88, \d+\)"):
        factorise(**wanted)


def test_memory_grows_with_the_notes_and_not_with_components_times_frames() -> None:
    """Entries are the frames in which notes sound; a chromatic scale of one frame a note has few."""
    frames = 880
    rolls = np.zeros((1, PITCHES, frames), dtype=bool)
    rolls[0, np.arange(frames) // 10, np.arange(frames)] = True
    found = factorise(np.ones((SMALL.bins, frames), np.float32), rolls, HARMONIC[:1], SMALL, settings=PLAIN)
    assert found.templates.shape == (PITCHES, SMALL.bins)
    assert len(found.component) == frames
    bytes_of = sum(getattr(found.half(), name).nbytes for name in ("component", "activation"))
    assert bytes_of == 4 * frames


def test_after_warming_up_nothing_is_left_to_compile() -> None:
    """Workers would otherwise compile at the same time, for types that the warm-up did not name."""
    warm_up()
    kernels = (nmf_kernels.sweep, nmf_kernels.share, project, combine)
    before = [len(kernel.signatures) for kernel in kernels]
    music = some_music()
    masks(factorise(music.magnitude, music.rolls, HARMONIC, SMALL))
    assert [len(kernel.signatures) for kernel in kernels] == before


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """Three songs of eight seconds, with drums, played by the bundled SoundFont."""
    folder = tmp_path_factory.mktemp("rendered")
    groups = ("piano", "guitar", "bass", "drums")
    render_corpus(
        folder / "corpus", RenderSettings(songs=3, seconds=8.0, sample_rate=16000, seed=4, groups=groups), jobs=1
    )
    prepare(open_slakh(folder / "corpus"), folder / "cache.h5", CacheSettings(instruments=choose(groups)), Engine(1))
    return Cache(folder / "cache.h5")


def improvements(
    cache: Cache, row: int, kinds: list[str], settings: FactoriseSettings
) -> tuple[np.ndarray, np.ndarray]:
    """SI-SDR in dB of each instrument by factorisation, and by the harmonic mask."""
    mixture, stems, grid = cache.mixture(row), cache.stems(row), cache.grid
    track = TrueTrack(mixture, stems, cache.harmonic(row), grid)
    magnitude = cache.magnitude(row).astype(np.float32) / np.float32(cache.level(row))
    rolls, onsets = (np.moveaxis(values, 0, 2) for values in (cache.roll(row), cache.onset(row)))
    shares = masks(factorise(magnitude.T, rolls, kinds, grid, onsets, settings))
    spectrum = stft(mixture, grid.n_fft, grid.hop)
    estimates = [istft(spectrum * share.T, len(mixture), grid.n_fft, grid.hop) for share in shares]
    ours = [si_sdr(stem, estimate) for stem, estimate in zip(stems, estimates, strict=True)]
    theirs = [si_sdr(stem, estimate) for stem, estimate in zip(stems, harmonic_mask(track), strict=True)]
    return np.array(ours), np.array(theirs)


@pytest.mark.integration
def test_is_above_the_harmonic_mask_on_every_instrument_of_rendered_music(rendered: Cache) -> None:
    kinds = [instrument.kind for instrument in rendered.instruments]
    pairs = [improvements(rendered, row, kinds, FactoriseSettings()) for row in range(len(rendered.tracks["id"]))]
    gain = np.nanmean([ours - theirs for ours, theirs in pairs], axis=0)
    assert (gain > 1.5).all(), gain


def test_drums_without_a_score_are_still_found(rendered: Cache) -> None:
    kinds = ["harmonic", "harmonic", "harmonic", "other"]
    pairs = [improvements(rendered, row, kinds, FactoriseSettings()) for row in range(len(rendered.tracks["id"]))]
    mixture = [[si_sdr(stem, rendered.mixture(row)) for stem in rendered.stems(row)] for row in range(len(pairs))]
    gain = np.nanmean([ours for ours, _ in pairs], axis=0) - np.nanmean(mixture, axis=0)
    assert (gain > 2.0).all(), gain


def test_attacks_and_shared_envelopes_pay(rendered: Cache) -> None:
    """What the documentation says matters most must show on these songs, too."""
    kinds = [instrument.kind for instrument in rendered.instruments]

    def mean(settings: FactoriseSettings) -> float:
        rows = range(len(rendered.tracks["id"]))
        return float(np.nanmean([improvements(rendered, row, kinds, settings)[0] for row in rows]))

    usual = mean(FactoriseSettings())
    assert usual > mean(FactoriseSettings(onset_length=0.0)) + 0.2
    assert usual > mean(FactoriseSettings(shared=0, prior=0.0)) + 0.05


def test_divergence_falls_on_rendered_music_with_the_usual_settings(rendered: Cache) -> None:
    """Prior and weights change what is minimised, yet the fit must not get worse."""
    magnitude = (rendered.magnitude(0).astype(np.float32) / np.float32(rendered.level(0))).T
    rolls, onsets = (np.moveaxis(values, 0, 2) for values in (rendered.roll(0), rendered.onset(0)))
    kinds = [instrument.kind for instrument in rendered.instruments]
    found = [
        divergence(
            magnitude, factorise(magnitude, rolls, kinds, rendered.grid, onsets, FactoriseSettings(iterations=n))
        )
        for n in range(1, 16)
    ]
    assert all(after <= before for before, after in pairwise(found)), found


def test_halves_separate_rendered_music_as_well(rendered: Cache) -> None:
    magnitude = (rendered.magnitude(0).astype(np.float32) / np.float32(rendered.level(0))).T
    rolls, onsets = (np.moveaxis(values, 0, 2) for values in (rendered.roll(0), rendered.onset(0)))
    whole = factorise(magnitude, rolls, [i.kind for i in rendered.instruments], rendered.grid, onsets)
    wrong = np.abs(masks(whole.half()) - masks(whole)) * magnitude
    assert wrong.sum() < 1e-3 * magnitude.sum()


def test_products_are_those_of_numpy():
    """Compiled, so that they do not depend on how many threads a BLAS library has."""
    rng = np.random.default_rng(0)
    a, b = (rng.random(shape, dtype=np.float32) for shape in ((7, 33), (5, 33)))
    assert np.allclose(project(a, b), a @ b.T, rtol=1e-5)
    assert np.allclose(combine(project(a, b), b), a @ b.T @ b, rtol=1e-5)
    assert combine(a[:0], a.T).shape == (0, 7)
