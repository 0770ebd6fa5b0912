from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from scoresep.audio.spectrogram import level_of, stft
from scoresep.errors import InvalidValue, Mismatch
from scoresep.evaluation.metrics import si_sdr
from scoresep.grid import LOWEST_PITCH, PITCHES, Grid
from scoresep.instruments import choose
from scoresep.models.model import Model
from scoresep.models.networks import Architecture
from scoresep.models.tcn import TCNSettings
from scoresep.nmf import factorise
from scoresep.nmf import masks as nmf_masks
from scoresep.score.parts import Part, part_from_notes
from scoresep.separation.nmf_refine import (
    EXTRA_KEY_WEIGHT,
    SETTINGS,
    Outputs,
    moving_max,
    network_outputs,
    note_prior,
    peaks,
    piece_spans,
    refined_blocks,
    refined_masks,
)
from scoresep.separation.score_prior import SCORE_WEIGHT, ScorePrior
from scoresep.separation.separate import Options, separate_array

GRID = Grid()
SHARES = (0.5, 0.3, 0.2)
SECONDS = 6.0
TUNES = {"piano": (60, 64, 67), "guitar": (55, 59, 62), "bass": (36, 43, 40)}

Notes = list[tuple[float, float, int]]


def tune(name: str, seconds: float = SECONDS) -> Notes:
    length = {"piano": 0.4, "guitar": 0.55, "bass": 0.7}[name]
    starts = np.arange(0.1, seconds - length, length)
    return [(start, start + 0.9 * length, TUNES[name][k % 3]) for k, start in enumerate(starts.tolist())]


def believing(model: Model, keys: dict[str, Sequence[int]], probability: float = 0.9) -> Model:
    """The model with a transcriptor that hears these keys at every time, and attacks at none."""
    with torch.no_grad():
        model.transcriptor.head.weight.zero_()
        bias = model.transcriptor.head.bias.view(2, len(model.names), PITCHES)
        bias.fill_(-12.0)
        for name, pitches in keys.items():
            for pitch in pitches:
                bias[0, model.names.index(name), pitch - LOWEST_PITCH] = float(np.log(probability / (1 - probability)))
    return model


def relative(mixture: np.ndarray) -> np.ndarray:
    return np.abs(stft(mixture, GRID.n_fft, GRID.hop)) / np.float32(level_of(mixture))


def chunks(magnitude: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return iter([magnitude[first : first + size] for first in range(0, len(magnitude), size)])


def random_outputs(instruments: int, frames: int, seed: int = 0) -> Outputs:
    rng = np.random.default_rng(seed)
    masks = rng.random((instruments, GRID.bins, frames), dtype=np.float32)
    rolls = rng.random((2, instruments, PITCHES, frames), dtype=np.float32) ** 8
    return Outputs(rng.random((frames, GRID.bins), dtype=np.float32), masks / masks.sum(axis=0), *rolls)


@pytest.fixture(scope="module")
def song(make: type) -> dict[str, np.ndarray]:
    return {name: make.play(tune(name), SECONDS).astype(np.float32) for name in TUNES}


@pytest.mark.parametrize(("frames", "length", "overlap"), [(1, 9, 3), (9, 9, 3), (10, 9, 3), (500, 90, 20), (7, 3, 5)])
def test_pieces_cover_everything_and_overlap(frames: int, length: int, overlap: int) -> None:
    spans = piece_spans(frames, length, overlap)
    assert spans[0][0] == 0 and spans[-1][1] == frames
    assert {stop - start for start, stop in spans} == {min(length, frames)}
    for (_, stop), (start, _) in pairwise(spans):
        assert stop - start >= min(overlap, length // 2)
    assert len(spans) <= 1 + frames / (length - min(overlap, length // 2))


def test_notes_that_are_heard_tell_the_instruments_apart(constant_model: Callable, song: dict[str, np.ndarray]) -> None:
    """A separator that knows nothing, and a transcriptor that knows which keys are whose, though not when."""
    model, mixture = believing(constant_model(SHARES), TUNES), sum(song.values())
    plain = separate_array(mixture, 16000, model)
    stems = separate_array(mixture, 16000, model, Options(refine=True))
    np.testing.assert_allclose(sum(stems.values()), mixture, atol=1e-6)
    for name, stem in song.items():
        assert si_sdr(stem, stems[name]) > si_sdr(stem, plain[name]) + 10


@pytest.mark.parametrize("scored", [False, True], ids=["heard", "scored"])
def test_who_does_not_play_gets_nothing_whatever_is_heard(
    constant_model: Callable, song: dict[str, np.ndarray], scored: bool
) -> None:
    model = believing(constant_model(SHARES), TUNES)
    mixture = song["guitar"] + song["bass"]
    score = ScorePrior(parts_of({"bass": tune("bass")}), model.instruments, GRID) if scored else None
    options = Options(score=score, refine=True, present=("guitar", "bass"))
    stems = separate_array(mixture, 16000, model, options)
    assert list(stems) == ["guitar", "bass"]
    np.testing.assert_allclose(sum(stems.values()), mixture, atol=1e-6)
    for name in stems:
        assert si_sdr(song[name], stems[name]) > 10
    magnitude = relative(mixture)
    present = np.array([False, True, True])
    blocks = refined_blocks(chunks(magnitude, 40), model, score, 50, len(magnitude), 3.0, present)
    masks = np.concatenate([masks for _, masks in blocks], axis=2)
    assert not masks[0].any()
    np.testing.assert_allclose(masks.sum(axis=0), 1, atol=1e-5)


def test_drums_alone_present_have_nothing_to_refine(song: dict[str, np.ndarray], refused: Any) -> None:
    model = Model(GRID, choose(["piano", "drums"]), Architecture.both(TCNSettings(8, 16, 2, 1)), "softmax").eval()
    with refused(Mismatch):
        separate_array(song["bass"], 16000, model, Options(refine=True, present=("drums",)))


def test_a_unison_goes_to_whom_it_is_heard_from(constant_model: Callable, make: type) -> None:
    mixture = make.play([(0.0, 2.0, 60)], 2.0).astype(np.float32)
    model = believing(constant_model((1 / 3, 1 / 3, 1 / 3)), {"piano": [60]}, 0.9)
    with torch.no_grad():
        model.transcriptor.head.bias.view(2, 3, PITCHES)[0, 1, 60 - LOWEST_PITCH] = float(np.log(0.2 / 0.8))
    stems = separate_array(mixture, 16000, model, Options(refine=True))
    energy = {name: float(np.square(stem).sum()) for name, stem in stems.items()}
    assert energy["piano"] > 10 * energy["guitar"] > 1000 * energy["bass"]


def test_masks_are_the_formula() -> None:
    model = Model(GRID, choose(["piano", "guitar", "bass"]), Architecture.both(TCNSettings(8, 16, 2, 1)), "softmax")
    outputs = random_outputs(3, 30)
    notes = note_prior(outputs, 0, model, None)
    np.testing.assert_array_equal(notes.likelihood, outputs.frame)
    factors = factorise(
        outputs.magnitude.T, notes.roll, ["harmonic"] * 3, GRID, notes.onset, SETTINGS, notes.likelihood
    )
    weight = outputs.masks ** (1 - SCORE_WEIGHT) * nmf_masks(factors)
    np.testing.assert_allclose(refined_masks(outputs, notes, model), weight / weight.sum(axis=0), atol=1e-4)


def test_the_weight_of_the_notes_goes_from_masks_alone_to_notes_alone() -> None:
    model = Model(GRID, choose(["piano", "guitar", "bass"]), Architecture.both(TCNSettings(8, 16, 2, 1)), "softmax")
    outputs = random_outputs(3, 30)
    notes = note_prior(outputs, 0, model, None)
    rolls = (notes.roll, ["harmonic"] * 3, GRID, notes.onset, SETTINGS, notes.likelihood)
    alone = nmf_masks(factorise(outputs.magnitude.T, *rolls))
    np.testing.assert_array_equal(refined_masks(outputs, notes, model, 0.0), outputs.masks)
    np.testing.assert_allclose(refined_masks(outputs, notes, model, 1.0), alone, atol=1e-4)
    half = outputs.masks**0.5 * alone ** (0.5 / SCORE_WEIGHT)
    np.testing.assert_allclose(refined_masks(outputs, notes, model, 0.5), half / half.sum(axis=0), atol=1e-4)


@pytest.mark.parametrize("weight", [-0.1, 1.1, "1", True, float("nan")])
def test_weights_are_checked(weight: Any, refused: Any) -> None:
    with refused(InvalidValue):
        Options(score_weight=weight)


@pytest.mark.parametrize("mask", ["softmax", "sigmoid"])
def test_what_has_no_notes_keeps_its_mask(mask: str) -> None:
    model = Model(GRID, choose(["piano", "other", "bass"]), Architecture.both(TCNSettings(8, 16, 2, 1)), mask)
    outputs = random_outputs(3, 30)
    if mask == "sigmoid":
        outputs = replace(outputs, masks=np.minimum(2 * outputs.masks, 1))
    notes, pitched = note_prior(outputs, 0, model, None), [0, 2]
    result = refined_masks(outputs, notes, model)
    np.testing.assert_array_equal(result[1], outputs.masks[1])
    np.testing.assert_allclose(result.sum(axis=0), outputs.masks.sum(axis=0), rtol=1e-4)
    left = outputs.magnitude.T * (1 - outputs.masks[1])
    rolls = (notes.roll[pitched], ["harmonic"] * 2, GRID, notes.onset[pitched], SETTINGS, notes.likelihood[pitched])
    weight = outputs.masks[pitched] ** (1 - SCORE_WEIGHT) * nmf_masks(factorise(left, *rolls))
    expected = weight / weight.sum(axis=0) * outputs.masks[pitched].sum(axis=0)
    np.testing.assert_allclose(result[pitched], expected, atol=1e-4)


def test_frames_in_which_nothing_is_heard_keep_their_masks() -> None:
    model = Model(GRID, choose(["piano", "guitar", "bass"]), Architecture.both(TCNSettings(8, 16, 2, 1)), "softmax")
    outputs = random_outputs(3, 60)
    outputs.frame[..., 20:] = outputs.onset[..., 20:] = 0
    result = refined_masks(outputs, note_prior(outputs, 0, model, None), model)
    ringing = 20 + int(np.ceil(SETTINGS.decay * GRID.frame_rate))
    np.testing.assert_array_equal(result[..., ringing:], outputs.masks[..., ringing:])
    assert np.abs(result[..., :20] - outputs.masks[..., :20]).max() > 0.1


def parts_of(tunes: dict[str, Notes]) -> list[Part]:
    programs = {"piano": 0, "guitar": 25, "bass": 33}
    return [part_from_notes([(*note, 90) for note in notes], program=programs[name]) for name, notes in tunes.items()]


def test_a_score_counts_more_than_what_is_heard_but_not_alone(model: Model) -> None:
    outputs = random_outputs(3, 100)
    outputs.frame[0, 40, 50], outputs.frame[0, 41, 50] = 0.8, 0.4
    prior = ScorePrior(parts_of({"piano": [(1.0, 2.0, 60)]}), model.instruments, GRID)
    notes = note_prior(outputs, 20, model, prior)
    first = round(1.0 * GRID.frame_rate) - 20
    key = 60 - LOWEST_PITCH
    assert notes.roll[0, key, first:40].all() and notes.onset[0, key, first]
    assert not notes.onset[0, key, first - 1] and not notes.onset[0, key, first + 1]
    assert (notes.likelihood[0, key, first - 1 : first + 31] == 1).all()
    assert notes.roll[0, 40, 50] and not notes.roll[0, 41, 50]
    assert notes.likelihood[0, 40, 50] == pytest.approx(EXTRA_KEY_WEIGHT * 0.8)
    np.testing.assert_array_equal(notes.likelihood[1:], outputs.frame[1:])  # the score has no part of theirs
    assert notes.has_notes.all()


def test_a_score_that_lacks_notes_is_helped_by_what_is_heard(
    constant_model: Callable, song: dict[str, np.ndarray]
) -> None:
    model, mixture = constant_model(SHARES), sum(song.values())
    lacking = {name: [note for note in tune(name) if note[2] != TUNES[name][2]] for name in TUNES}
    options = Options(score=ScorePrior(parts_of(lacking), model.instruments, GRID))
    deaf, hearing = believing(constant_model(SHARES), {}), believing(constant_model(SHARES), TUNES)
    alone, helped = (separate_array(mixture, 16000, each, options) for each in (deaf, hearing))
    gains = [si_sdr(song[name], helped[name]) - si_sdr(song[name], alone[name]) for name in song]
    assert np.mean(gains) > 3


def test_a_model_without_notes_needs_a_score(song: dict[str, np.ndarray], refused: Any) -> None:
    torch.manual_seed(0)
    model = Model(
        GRID, choose(["piano", "guitar", "bass"]), Architecture.both(TCNSettings(16, 32, 3, 1)), "softmax", "clips"
    ).eval()
    mixture = sum(song.values())
    with refused(Mismatch):
        separate_array(mixture, 16000, model, Options(refine=True))
    prior = ScorePrior(parts_of({"piano": tune("piano"), "bass": tune("bass")}), model.instruments, GRID)
    plain, stems = (separate_array(mixture, 16000, model, Options(score=each)) for each in (None, prior))
    np.testing.assert_allclose(stems["guitar"], plain["guitar"], atol=1e-5)  # nobody knows its notes
    assert si_sdr(song["bass"], stems["bass"]) > si_sdr(song["bass"], plain["bass"]) + 3


def test_a_model_of_drums_alone_has_nothing_to_refine(song: dict[str, np.ndarray], refused: Any) -> None:
    model = Model(GRID, choose(["drums", "other"]), Architecture.both(TCNSettings(16, 32, 3, 1)), "softmax").eval()
    with refused(Mismatch):
        separate_array(song["bass"], 16000, model, Options(refine=True))
    assert separate_array(song["bass"], 16000, model, Options()).keys() == {"drums", "other"}


def test_drums_sound_on_after_their_strokes() -> None:
    model = Model(GRID, choose(["piano", "drums"]), Architecture.both(TCNSettings(8, 16, 2, 1)), "softmax")
    nothing = np.zeros((2, PITCHES, 40), dtype=np.float32)
    outputs = Outputs(
        np.ones((40, GRID.bins), np.float32), np.full((2, GRID.bins, 40), 0.5, np.float32), nothing, nothing
    )
    outputs.onset[1, 17, 20] = 0.7
    notes = note_prior(outputs, 0, model, None)
    assert np.flatnonzero(notes.onset[1, 17]).tolist() == [20]
    ahead = int(np.ceil(SETTINGS.onset_lead * GRID.frame_rate))
    after = int(np.ceil(SETTINGS.stroke_decay * GRID.frame_rate))
    assert np.flatnonzero(notes.likelihood[1, 17] == np.float32(0.7)).tolist() == list(range(20 - ahead, 21 + after))


def test_drums_keep_their_mask_unless_a_score_has_them() -> None:
    model = Model(GRID, choose(["piano", "drums"]), Architecture.both(TCNSettings(8, 16, 2, 1)), "softmax")
    outputs = random_outputs(2, 60)
    assert note_prior(outputs, 0, model, None).has_notes.tolist() == [True, False]
    np.testing.assert_array_equal(
        refined_masks(outputs, note_prior(outputs, 0, model, None), model)[1], outputs.masks[1]
    )
    drums = part_from_notes([(0.5, 0.6, 38, 90)], program=0, is_drum=True)
    prior = ScorePrior([drums], model.instruments, GRID)
    assert note_prior(outputs, 0, model, prior).has_notes.tolist() == [True, True]
    assert not np.array_equal(refined_masks(outputs, note_prior(outputs, 0, model, prior), model)[1], outputs.masks[1])


def test_a_model_of_drums_alone_keeps_all_its_masks() -> None:
    model = Model(GRID, choose(["drums", "other"]), Architecture.both(TCNSettings(8, 16, 2, 1)), "softmax")
    outputs = random_outputs(2, 30)
    np.testing.assert_array_equal(refined_masks(outputs, note_prior(outputs, 0, model, None), model), outputs.masks)


def test_peaks_and_widest_by_hand() -> None:
    values = np.random.default_rng(3).integers(0, 5, (4, 50)).astype(np.float32)
    for row, peak, wide in zip(values, peaks(values), moving_max(values, 2, 3), strict=True):
        around = np.concatenate([[0], row, [0]])
        assert peak.tolist() == [bool(b > a and b >= c) for a, b, c in zip(around, row, around[2:], strict=False)]
        assert wide.tolist() == [row[max(t - 3, 0) : t + 3].max() for t in range(50)]


def test_pieces_are_faded_into_one_another(model: Model, song: dict[str, np.ndarray]) -> None:
    """Each piece factorised by itself, and a straight line from one to the next where they overlap."""
    magnitude = relative(sum(song.values()))
    frames = len(magnitude)
    blocks = list(refined_blocks(chunks(magnitude, 33), model, None, 50, frames, 3.0))
    np.testing.assert_array_equal(np.concatenate([place for place, _ in blocks]), magnitude)
    result = np.concatenate([masks for _, masks in blocks], axis=2)
    spans = piece_spans(frames, 94, 47)
    assert len(spans) == 3
    (whole,) = network_outputs(chunks(magnitude, frames), model, frames, frames)
    expected, end = np.zeros_like(result), 0
    for start, stop in spans:
        piece = whole.cut(start, stop)
        masks = refined_masks(piece, note_prior(piece, start, model, None), model)
        line = np.ones(stop - start, dtype=np.float32)
        if end:
            line[: end - start] = np.arange(1, end - start + 1) / (end - start + 1)
        expected[..., start:stop] = expected[..., start:stop] * (1 - line) + masks * line
        end = stop
    np.testing.assert_allclose(result, expected, atol=1e-3)


def test_pieces_of_one_sound_give_about_what_the_whole_gives(
    constant_model: Callable, song: dict[str, np.ndarray]
) -> None:
    model, mixture = believing(constant_model(SHARES), TUNES), sum(song.values())
    whole, cut = (
        separate_array(mixture, 16000, model, Options(refine=True, block_seconds=0.5, piece_seconds=seconds))
        for seconds in (60.0, 3.0)
    )
    np.testing.assert_allclose(sum(cut.values()), mixture, atol=1e-6)
    for name in song:
        assert si_sdr(whole[name], cut[name]) > 15
