from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch

from scoresep.cache.reader import Cache
from scoresep.errors import NothingToDo
from scoresep.models.model import Model
from scoresep.transcription.note_metrics import frame_counts, matched_notes, note_counts, scores
from scoresep.transcription.threshold_tuning import CANDIDATES, Tally, tune_thresholds

RNG = np.random.default_rng(0)


@pytest.fixture
def own_model(model: Model) -> Model:
    """A copy, since tuning sets the model's thresholds."""
    return deepcopy(model)


def best_threshold(probabilities: np.ndarray, truth: np.ndarray, candidates: tuple[float, ...] = CANDIDATES) -> float:
    tally = Tally(candidates)
    tally.add(probabilities, truth)
    return tally.best()


def test_best_threshold_equals_trying_them_all() -> None:
    truth = RNG.random((200, 88)) < 0.1
    probabilities = np.clip(0.25 * truth + 0.3 * RNG.random((200, 88)), 0, 1).astype(np.float32)
    f1 = [scores(frame_counts(truth, probabilities >= np.float32(candidate))).f1 for candidate in CANDIDATES]
    threshold = best_threshold(probabilities, truth)
    assert f1[CANDIDATES.index(threshold)] == pytest.approx(max(f1))
    assert 0.2 < threshold < 0.4


def test_equals_are_settled_nearest_to_half() -> None:
    assert best_threshold(np.array([0.1, 0.9]), np.array([False, True])) == 0.5
    assert best_threshold(np.array([0.6, 0.9]), np.array([False, True]), (0.1, 0.7, 0.8)) == 0.7


def test_nothing_true() -> None:
    assert best_threshold(np.array([0.9, 0.1]), np.array([False, False])) == 0.5


def test_tally_adds_up() -> None:
    probabilities, truth = RNG.random((2, 100)), RNG.random((2, 100)) < 0.5
    whole, parts = Tally(CANDIDATES), Tally(CANDIDATES)
    whole.add(probabilities, truth)
    for n in range(2):
        parts.add(probabilities[n], truth[n])
    assert whole.best() == parts.best()


@pytest.mark.parametrize("seed", range(5))
def test_matched_notes_equal_mir_eval(seed: int) -> None:
    rng = np.random.default_rng(seed)

    def some(count: int) -> np.ndarray:
        onset = rng.uniform(0, 10, count)
        return np.stack([onset, onset + 0.5, rng.integers(60, 64, count), np.full(count, 80)], axis=1)

    true, estimated = some(150), some(120)
    assert matched_notes(true, estimated, 0.05) == note_counts(true, estimated).matched
    assert matched_notes(true, estimated[:0], 0.05) == 0


def test_tuning_finds_thresholds_and_leaves_the_model_alone(own_model: Model, cache: Cache) -> None:
    with torch.no_grad():
        own_model.transcriptor.head.weight.mul_(8)
    before = list(own_model.threshold), list(own_model.onset_threshold)
    tuned = tune_thresholds(own_model, cache)
    assert (own_model.threshold, own_model.onset_threshold) == before
    assert all(0 < value < 1 for value in (*tuned.threshold, *tuned.onset_threshold))


def test_tuning_never_looks_at_sound(own_model: Model, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("audio was read")

    monkeypatch.setattr(Cache, "stems", refuse)
    monkeypatch.setattr(Cache, "mixture", refuse)
    tune_thresholds(own_model, cache)


def test_no_validation_track(own_model: Model, cache: Cache, refused: Any) -> None:
    with refused(NothingToDo, cache.path):
        tune_thresholds(own_model, cache, split="nothing")
