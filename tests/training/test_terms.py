"""The losses of a step are those of `losses` on what the networks give."""

from __future__ import annotations

import pytest
import torch

from scoresep import losses
from scoresep.training.checkpoint import Model
from scoresep.training.stream import stream
from scoresep.training.terms import TERMS, Pass


@pytest.fixture
def view(cache, make) -> Pass:
    torch.manual_seed(0)
    recipe = make.recipe()
    model = Model(cache.grid, cache.instruments, recipe.trunk, recipe.mask).eval()
    (batch,) = stream(cache, 32, [[(0, 0), (1, 5), (2, 9), (0, 40)]], 0, torch.device("cpu"))
    return Pass(model, batch, torch.tensor([0, 1, 3]))


def test_separated_tracks_add_up_to_the_mixture_with_softmax_masks(view):
    assert torch.allclose(view.separated.sum(1), view.batch.magnitude, atol=1e-4)


def test_every_separated_track_is_transcribed_on_its_own(view):
    for b, i in ((0, 0), (2, 1), (3, 2)):
        alone = view.model.transcriptor(view.separated[b : b + 1, i]).frame[0]
        assert torch.allclose(view.track_logits[b, i], alone, atol=1e-4)


def test_terms_are_the_losses(view):
    model, batch = view.model, view.batch
    separated = model.separator(batch.magnitude) * batch.magnitude.unsqueeze(1)
    rolls = model.transcriptor(batch.magnitude)
    tracks = torch.stack([model.transcriptor(separated[:, i]).frame for i in range(3)], dim=1)
    mixture, parts = losses.cross_mixture(separated, batch.roll, view.shifts)
    crossed = model.transcriptor(mixture).frame
    expected = {
        "transcriptor": {
            "score": losses.score_loss(rolls.frame, batch.roll),
            "onset": losses.score_loss(rolls.onset, batch.onset),
            "adversarial_mixture": losses.adversarial_mixture_transcriptor_loss(crossed),
            "adversarial_transcription": losses.adversarial_transcription_loss(tracks, batch.roll),
        },
        "separator": {
            "transcription": losses.transcription_loss(tracks, batch.roll),
            "clip_mixture": losses.clip_mixture_loss(batch.magnitude, separated, batch.roll),
            "frame_mixture": losses.frame_mixture_loss(batch.magnitude, separated, batch.roll),
            "harmonic_mixture": losses.harmonic_mixture_loss(batch.magnitude, separated, batch.harmonic),
            "adversarial_mixture": losses.adversarial_mixture_separator_loss(crossed, parts),
        },
    }
    assert {player: set(terms) for player, terms in expected.items()} == {p: set(terms) for p, terms in TERMS.items()}
    for player, terms in expected.items():
        for name, value in terms.items():
            assert torch.isclose(TERMS[player][name](view), value, rtol=1e-4), name


def test_a_detached_view_passes_no_gradient_to_the_separator(view):
    view.detached().track_logits.sum().backward()
    assert all(p.grad is None for p in view.model.separator.parameters())
    assert any(p.grad is not None and p.grad.any() for p in view.model.transcriptor.parameters())


def test_a_view_passes_the_gradient_through_the_transcriptor_to_the_separator(view):
    TERMS["separator"]["transcription"](view).backward()
    assert any(p.grad is not None and p.grad.any() for p in view.model.separator.parameters())
