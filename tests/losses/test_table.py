"""The losses of a step are those of `losses` on what the networks give."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from scoresep.losses import formulas as losses
from scoresep.losses.batch import DATASETS, STEMS, TEACHER, Batch
from scoresep.losses.table import LOSSES, StepContext
from scoresep.models.model import Model
from scoresep.nmf import masks
from scoresep.training.clip_dataset import ShardClips
from scoresep.training.loader import stream


@pytest.fixture
def context(cache, make) -> StepContext:
    torch.manual_seed(0)
    config = make.config()
    model = Model(cache.grid, cache.instruments, config.architecture, config.mask).eval()
    return StepContext(model, read(cache, ()), torch.tensor([0, 1, 3]))


def read(cache, stemmed) -> Batch:
    """Four clips, with the stems of the tracks `stemmed` where there are any."""
    names = (*DATASETS, STEMS) if stemmed else DATASETS
    source = ShardClips(cache, 32, names, stemmed=stemmed)
    (batch,) = stream(cache, 32, [[(0, 0), (1, 5), (2, 9), (0, 40)]], 0, torch.device("cpu"), source)
    return batch


def test_separated_tracks_add_up_to_the_mixture_with_softmax_masks(context):
    assert torch.allclose(context.separated.sum(1), context.batch.magnitude, atol=1e-4)


def test_every_separated_track_is_transcribed_on_its_own(context):
    for b, i in ((0, 0), (2, 1), (3, 2)):
        alone = context.model.transcriptor(context.separated[b : b + 1, i]).frame[0]
        assert torch.allclose(context.track_logits[b, i], alone, atol=1e-4)


def test_rows_are_the_losses(context):
    model, batch = context.model, context.batch
    separated = model.separator(batch.magnitude) * batch.magnitude.unsqueeze(1)
    rolls = model.transcriptor(batch.magnitude)
    tracks = torch.stack([model.transcriptor(separated[:, i]).frame for i in range(3)], dim=1)
    mixture, parts = losses.cross_mixture(separated, batch.roll, context.shifts)
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
            "literal_harmonic_mixture": losses.literal_harmonic_mixture_loss(
                batch.magnitude, separated, batch.harmonic
            ),
            "adversarial_mixture": losses.adversarial_mixture_separator_loss(crossed, parts),
        },
    }
    named = {network: set(rows) for network, rows in LOSSES.items()}
    assert {network: set(rows) for network, rows in expected.items()} == {
        "transcriptor": named["transcriptor"] - {"note_set"},
        "separator": named["separator"] - {"stem", "teacher", "absence"},
    }
    for network, rows in expected.items():
        for name, value in rows.items():
            assert torch.isclose(LOSSES[network][name].function(context), value, rtol=1e-4), name


def test_a_detached_context_passes_no_gradient_to_the_separator(context):
    context.detached().track_logits.sum().backward()
    assert all(p.grad is None for p in context.model.separator.parameters())
    assert any(p.grad is not None and p.grad.any() for p in context.model.transcriptor.parameters())


def test_a_context_passes_the_gradient_through_the_transcriptor_to_the_separator(context):
    LOSSES["separator"]["transcription"].function(context).backward()
    assert any(p.grad is not None and p.grad.any() for p in context.model.separator.parameters())


def test_clips_with_stems_are_judged_by_them_and_the_others_by_the_score(context, cache):
    """Clips 0 and 3 are of the track with stems; each loss is that of its clips, divided by what the whole is."""
    batch = read(cache, {0})
    assert batch.stemmed.tolist() == [True, False, False, True]
    masked = StepContext(context.model, batch, context.shifts)
    separated, magnitude = masked.separated, batch.magnitude
    parts = {True: torch.tensor([0, 3]), False: torch.tensor([1, 2])}
    louder = {side: magnitude[clips].sum() / magnitude.sum() for side, clips in parts.items()}
    rest = parts[False]
    tracks, roll = masked.track_logits[rest], batch.roll[rest]
    expected = {
        "transcription": losses.transcription_loss(tracks, roll) / 2,
        "clip_mixture": losses.clip_mixture_loss(magnitude[rest], separated[rest], roll) * louder[False],
        "frame_mixture": losses.frame_mixture_loss(magnitude[rest], separated[rest], roll) * louder[False],
        "harmonic_mixture": losses.harmonic_mixture_loss(magnitude[rest], separated[rest], batch.harmonic[rest])
        * louder[False],
        "stem": losses.stem_loss(magnitude[parts[True]], separated[parts[True]], batch.stems[parts[True]])
        * louder[True],
    }
    for name, value in expected.items():
        assert torch.isclose(LOSSES["separator"][name].function(masked), value, rtol=1e-4), name


def test_the_teachers_loss_is_that_of_its_masks(context, cache):
    """Masks as the factorisation has them, clip by clip."""
    source = ShardClips(cache, 32, (*DATASETS, TEACHER))
    (batch,) = stream(cache, 32, [context.batch.crops], 0, torch.device("cpu"), source)
    shares = [masks(cache.factors(row), power=1.0)[..., first : first + 32] for row, first in batch.crops]
    estimates = torch.from_numpy(np.stack(shares)) * batch.magnitude.unsqueeze(1)
    expected = losses.stem_loss(batch.magnitude, context.separated, estimates)
    assert torch.isclose(
        LOSSES["separator"]["teacher"].function(StepContext(context.model, batch, context.shifts)), expected, rtol=1e-4
    )


@pytest.mark.parametrize(("critic", "shape"), [("frames", (4, 3, 1, 32)), ("clips", (4, 3, 1, 1))])
def test_a_critic_of_who_plays_sees_no_pitches(context, cache, critic, shape):
    model = Model(cache.grid, cache.instruments, context.model.architecture, "softmax", critic).eval()
    seen = StepContext(model, context.batch, context.shifts)
    roll = context.batch.roll
    expected = roll.any(2, keepdim=True) if critic == "frames" else roll.flatten(2).any(2)[:, :, None, None]
    assert torch.equal(seen.labels, expected.float()) and seen.labels.shape == shape == seen.rolls.frame.shape
    assert seen.track_logits.shape == (4, 3, *shape[1:])
    shuffled = dataclasses.replace(
        context.batch, roll=roll[:, :, torch.randperm(88, generator=torch.Generator().manual_seed(0))]
    )
    other = StepContext(model, shuffled, context.shifts)
    for network, name in (
        ("transcriptor", "score"),
        ("separator", "transcription"),
        ("separator", "clip_mixture"),
        ("separator", "frame_mixture"),
    ):
        assert torch.equal(LOSSES[network][name].function(seen), LOSSES[network][name].function(other)), name
