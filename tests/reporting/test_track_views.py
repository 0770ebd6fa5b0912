from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from scoresep.audio.spectrogram import istft, stft
from scoresep.cache.reader import Cache
from scoresep.errors import NotFound
from scoresep.evaluation.evaluate import Evaluation
from scoresep.evaluation.figures import FigureRow, record_of
from scoresep.evaluation.metric_table import MODEL
from scoresep.models.checkpoint import load_checkpoint
from scoresep.reporting.track_views import chosen_tracks, excerpt_frames, merits, rank_text, view_track, within
from scoresep.separation.separate import Options, separate_array


def evaluated(gains: dict[str, float | None], stems: bool = True) -> Evaluation:
    """Tracks with the model's improvement of the piano, None where it is silent, and a note F1 of 1/2."""
    tracks = []
    for track, gain in gains.items():
        silent = FigureRow(track, "separation", MODEL, "piano", "bleed_db", -30.0, (), "silent")
        scored = FigureRow(track, "separation", MODEL, "piano", "si_sdr_improvement", gain or 0.0)
        notes = FigureRow(track, "transcription", MODEL, "piano", "note_f1", 0.5, (2, 2, 1, 1))
        tracks.append(record_of(track, 1.0, [*([silent if gain is None else scored] if stems else []), notes]))
    return Evaluation({"instruments": ["piano"]}, [], tracks)


def test_worst_middle_and_best_are_chosen(cache: Cache) -> None:
    gains = {"Track00001": 3.0, "Track00002": -1.0, "Track00003": 2.0}
    result = evaluated(gains)
    rows = chosen_tracks(cache, "train", result, 3)
    assert [cache.tracks["id"][row] for row, _ in rows] == ["Track00002", "Track00003", "Track00001"]
    assert [why for _, why in rows][::2] == [f"the {w} of 3 tracks for this model" for w in ("worst", "best")]
    assert [cache.tracks["id"][row] for row, _ in chosen_tracks(cache, "train", result, 1)] == ["Track00003"]
    assert len(chosen_tracks(cache, "train", result, 9)) == 3
    assert chosen_tracks(cache, "train", result, 0) == []


def test_without_figures_the_first_are_shown_and_names_are_obeyed(cache: Cache, refused: Any) -> None:
    assert [cache.tracks["id"][row] for row, _ in chosen_tracks(cache, "train", None, 2)] == [
        "Track00001",
        "Track00002",
    ]
    ((row, why),) = chosen_tracks(cache, "train", None, ["Track00005"])
    assert cache.tracks["id"][row] == "Track00005" and why == "as asked for"
    with refused(NotFound, cache.path):
        chosen_tracks(cache, "train", None, ["Track0005"])


def test_what_cannot_be_ranked_has_no_merit() -> None:
    assert merits(evaluated({"a": None, "b": 2.0}).figures) == {"b": 2.0}
    assert merits(evaluated({"a": None}, stems=False).figures) == {"a": 0.5}
    assert rank_text(3, 10) == "number 7 of 10 tracks for this model, best first"


def test_a_view_is_cut_out_of_what_the_product_makes(made, cache: Cache) -> None:
    model = load_checkpoint(made.checkpoint).model
    grid, row = cache.grid, 1
    view = view_track(cache, row, "why", model, seconds=1.5)
    first, count = excerpt_frames(cache, row, 1.5)
    samples = slice(first * grid.hop, (first + count) * grid.hop)
    assert view.span == (samples.start / 16000, samples.stop / 16000) and count == grid.frame_at(1.5)
    np.testing.assert_array_equal(view.mixture, cache.mixture(row)[samples])
    stems = separate_array(cache.mixture(row), 16000, model)
    for n, part in enumerate(view.parts):
        np.testing.assert_array_equal(part.estimate, stems[part.instrument.name][samples])
        np.testing.assert_array_equal(part.truth, cache.stems(row)[n, samples])
        np.testing.assert_array_equal(part.score_mask, cache.harmonic(row)[first : first + count, n])
        assert part.mask.shape == part.oracle.shape == part.score_mask.shape
    np.testing.assert_allclose(sum(part.mask for part in view.parts), 1.0, atol=1e-5)


@pytest.mark.parametrize("refine", [False, True])
def test_the_masks_shown_are_those_that_are_heard(made, cache: Cache, refine: bool) -> None:
    """Mask times spectrum gives the estimate: nothing is shown that separation does not use."""
    model, mixture, grid = load_checkpoint(made.checkpoint).model, cache.mixture(0), cache.grid
    with torch.no_grad():
        model.transcriptor.head.bias += 3.0  # untrained, it hears no notes to refine by
    view = view_track(cache, 0, "why", model, seconds=0, options=Options(refine=refine))
    plain = separate_array(mixture, 16000, model)
    differences = [np.abs(part.estimate - plain[part.instrument.name][: len(part.estimate)]) for part in view.parts]
    assert (np.max(differences) > 1e-3) == refine
    spectrum = stft(mixture, grid.n_fft, grid.hop)
    for part in view.parts:
        count = len(part.mask)
        masked = spectrum.copy()
        masked[:count] *= part.mask
        whole = istft(masked, len(mixture), grid.n_fft, grid.hop)
        inside = slice(0, (count - 4) * grid.hop)
        np.testing.assert_allclose(whole[inside], part.estimate[inside], atol=1e-4)


def test_oracle_masks_share_the_sound(made, cache: Cache) -> None:
    view = view_track(cache, 0, "why", load_checkpoint(made.checkpoint).model, seconds=0)
    total = sum(part.oracle for part in view.parts)
    assert total.max() <= 1.0001 and np.median(total) == pytest.approx(1.0, abs=1e-4)


def test_without_stems_and_score(unstemmed) -> None:
    cache = Cache(unstemmed.cache)
    view = view_track(cache, 0, "why", load_checkpoint(unstemmed.checkpoint).model)
    piano, drums, other = view.parts
    assert all(part.truth is None and part.oracle is None for part in view.parts)
    assert other.score_mask is None and other.notes is None and other.true_notes is None
    assert len(piano.true_notes) and len(drums.true_notes) == 2 and drums.notes is not None
    assert np.isfinite(piano.estimate).all() and replace(view, parts=()).seconds == pytest.approx(3.0)


def test_notes_are_cut_to_the_span() -> None:
    notes = np.array([[0.0, 1.0, 60, 80], [1.5, 4.0, 62, 80], [5.0, 6.0, 64, 80]])
    assert within(notes, (1.0, 3.0)).tolist() == [[1.5, 3.0, 62, 80]]
    assert within(notes, (7.0, 8.0)).shape == (0, 4)
