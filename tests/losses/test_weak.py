"""Losses of clips with weak labels: what is known teaches, what is open does not."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from scoresep.losses import formulas as losses
from scoresep.losses.batch import DATASETS, TEACHER
from scoresep.losses.table import LOSSES, StepContext
from scoresep.models.base import Rolls
from scoresep.models.model import Model
from scoresep.score.weak_labels import ABSENT, FIRST_SET, PRESENT, UNKNOWN
from scoresep.training.clip_dataset import ShardClips
from scoresep.training.loader import stream

KNOWN = (PRESENT, ABSENT, UNKNOWN)
"""Of the instruments in the clip with weak labels, the second of four."""


def make_context(cache, make, critic="keys") -> StepContext:
    torch.manual_seed(0)
    config = make.config()
    model = Model(cache.grid, cache.instruments, config.architecture, config.mask, critic).eval()
    source = ShardClips(cache, 32, (*DATASETS, TEACHER))
    (batch,) = stream(cache, 32, [[(0, 0), (1, 5), (2, 9), (0, 40)]], 0, torch.device("cpu"), source)
    weak = torch.zeros(4, 3, 32, dtype=torch.uint8)
    weak[1] = torch.tensor(KNOWN)[:, None]
    roll = batch.roll.clone()
    roll[1] = torch.tensor([1.0, 0.0, 1.0])[:, None, None]
    return StepContext(model, dataclasses.replace(batch, roll=roll, weak=weak), torch.tensor([0, 1, 3]))


@pytest.fixture
def context(cache, make) -> StepContext:
    return make_context(cache, make)


def test_open_keys_of_the_transcriptor_get_no_gradient_and_the_others_that_of_the_score(context):
    logits = torch.randn(2, 4, 3, 88, 32, requires_grad=True)
    context.rolls = Rolls(logits[0], logits[1])
    (LOSSES["transcriptor"]["score"].function(context) + LOSSES["transcriptor"]["onset"].function(context)).backward()
    targets = torch.stack([context.batch.roll, context.batch.onset])
    expected = (torch.sigmoid(logits.detach()) - targets) / (4 * 88 * 32)
    expected[:, 1, [0, 2]] = 0
    assert torch.allclose(logits.grad, expected, atol=1e-9)


def test_a_track_must_not_hold_others_whatever_is_known(context):
    logits = torch.randn(4, 3, 3, 88, 32, requires_grad=True)
    context.track_logits = logits
    for network, name in (("separator", "transcription"), ("transcriptor", "adversarial_transcription")):
        (gradient,) = torch.autograd.grad(LOSSES[network][name].function(context), logits)
        moved = gradient.flatten(3).abs().sum(3) > 0
        own = torch.eye(3, dtype=torch.bool)
        unknown = torch.tensor([True, False, True]).expand(3, 3)  # of instrument j
        assert moved[[0, 2, 3]].all()
        assert torch.equal(moved[1], ~(unknown & (own if name == "transcription" else ~own)))


def test_cross_clip_mixtures_carry_what_is_open_along(context):
    frame, roll, left_open = context.crossed
    known = torch.zeros(4, 3, 88, 32)
    known[1, [0, 2]] = 1
    expected = torch.stack([known[:, i].roll(-move, 0) for i, move in enumerate((0, 1, 3))], 1)
    assert torch.equal(left_open, expected) and left_open.any()
    hand = torch.nn.functional.binary_cross_entropy_with_logits(frame, roll, 1 - expected, reduction="sum")
    for objective, name in ((losses.cross_entropy, "cross"), (losses.least_squares, "least")):
        value = LOSSES["separator"]["adversarial_mixture"].function(dataclasses.replace(context, objective=objective))
        error = ((torch.sigmoid(frame) - roll).square() * (1 - expected)).sum()
        assert torch.isclose(value, (hand if name == "cross" else error) / (4 * 88 * 32), rtol=1e-4)


def test_the_teacher_teaches_clips_with_scores(context):
    taught = [0, 2, 3]
    parts = losses.shares(context.taught) * context.batch.magnitude.unsqueeze(1)
    error = (context.separated - parts).abs()[taught].sum() / context.batch.magnitude.sum()
    assert torch.isclose(LOSSES["separator"]["teacher"].function(context), error, rtol=1e-4)


def test_absent_instruments_must_be_silent(context):
    expected = context.separated[1, 1].sum() / context.batch.magnitude.sum()
    assert torch.isclose(LOSSES["separator"]["absence"].function(context), expected, rtol=1e-5)


def test_a_critic_of_who_plays_learns_that_somebody_plays(cache, make):
    context = make_context(cache, make, "frames")
    assert context.open_keys.shape == context.labels.shape == (4, 3, 1, 32)
    assert context.open_keys[1, :, 0, 0].tolist() == [0, 0, 1] and context.labels[1, :, 0, 0].tolist() == [1, 0, 1]
    assert not context.open_keys[[0, 2, 3]].any()


def test_a_note_of_a_set_sounds_at_its_likeliest_moment():
    """Of two keys the first is in the set of frames 1 and 2; a bar that reaches the clip's edge says nothing."""
    weak = torch.tensor([[[ABSENT, FIRST_SET, FIRST_SET, FIRST_SET + 1]]], dtype=torch.uint8)
    roll = torch.tensor([[[[0.0, 1, 1, 1], [0, 0, 0, 0]]]])
    logits = torch.tensor([[[[9.0, 1, 3, -9], [5, 5, 5, 5]]]], requires_grad=True)
    loss = losses.note_set_loss(logits, roll, weak)
    assert loss.item() == pytest.approx(math.log1p(math.exp(-3)) / 2)
    loss.backward()
    assert torch.nonzero(logits.grad).tolist() == [[0, 0, 0, 2]]
    assert losses.note_set_loss(logits, roll, torch.zeros_like(weak)) == 0
