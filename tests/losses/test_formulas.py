"""Losses against numbers worked out by hand, and the signs of their gradients."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scoresep.losses import formulas as losses

HALF = math.log(2.0)
"""H(0, 1/2) = H(1, 1/2)."""


def logit(probability: float) -> float:
    return math.log(probability / (1.0 - probability))


def two_parts() -> tuple[Tensor, Tensor]:
    """Logits and roll of one clip, 2 instruments, 1 pitch, 2 frames.

    Instrument 0 sounds in frame 0 and is heard with p = 0.9, 0.2; instrument 1 in frame 1, heard with p = 0.4, 0.5.
    """
    logits = torch.tensor([[[[logit(0.9), logit(0.2)]], [[logit(0.4), logit(0.5)]]]], dtype=torch.float64)
    roll = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]], dtype=torch.float64)
    return logits, roll


def test_score_loss_is_mean_over_frames_and_sum_over_instruments():
    logits, roll = two_parts()
    # instrument 0: -ln 0.9 - ln 0.8 = 0.105361 + 0.223144; instrument 1: -ln 0.6 - ln 0.5 = 0.510826 + 0.693147
    assert losses.score_loss(logits, roll).item() == pytest.approx((0.328504 + 1.203973) / 2, abs=1e-5)


def test_score_loss_is_mean_over_batch_and_pitches():
    logits, roll = two_parts()
    once = losses.score_loss(logits, roll)
    assert torch.isclose(losses.score_loss(logits.repeat(3, 1, 5, 1), roll.repeat(3, 1, 5, 1)), once)


def test_score_loss_counts_an_added_instrument_fully():
    logits, roll = torch.zeros(1, 2, 1, 4), torch.zeros(1, 2, 1, 4)
    assert losses.score_loss(logits, roll).item() == pytest.approx(2 * HALF)
    assert losses.score_loss(logits.repeat(1, 2, 1, 1), roll.repeat(1, 2, 1, 1)).item() == pytest.approx(4 * HALF)


def test_score_loss_stays_finite_for_certain_errors():
    loss = losses.score_loss(torch.tensor([[[[200.0]]]]), torch.zeros(1, 1, 1, 1))
    assert loss.item() == pytest.approx(200.0)


def test_gradient_of_score_loss_pulls_logits_towards_the_roll():
    logits, roll = two_parts()
    logits.requires_grad_()
    losses.score_loss(logits, roll).backward()
    assert (logits.grad[roll == 1] < 0).all() and (logits.grad[roll == 0] > 0).all()


def track_example() -> tuple[Tensor, Tensor]:
    """T_j(S_i) of one clip, 2 tracks, 2 instruments, 1 pitch, 1 frame; both parts sound.

    p[i][j]: track 0 is heard as (0.8, 0.3), track 1 as (0.1, 0.6).
    """
    p = [[0.8, 0.3], [0.1, 0.6]]
    logits = torch.tensor([[logit(value) for value in row] for row in p], dtype=torch.float64)
    return logits.reshape(1, 2, 2, 1, 1), torch.ones(1, 2, 1, 1, dtype=torch.float64)


def test_transcription_loss_by_hand():
    logits, roll = track_example()
    # track 0: H(1, 0.8) + H(0, 0.3) = -ln 0.8 - ln 0.7; track 1: H(0, 0.1) + H(1, 0.6) = -ln 0.9 - ln 0.6
    assert losses.transcription_loss(logits, roll).item() == pytest.approx(
        0.223144 + 0.356675 + 0.105361 + 0.510826, abs=1e-5
    )


def test_adversarial_transcription_loss_by_hand():
    logits, roll = track_example()
    # track 0: H(0, 0.8) + H(1, 0.3) = -ln 0.2 - ln 0.3; track 1: H(1, 0.1) + H(0, 0.6) = -ln 0.1 - ln 0.4
    assert losses.adversarial_transcription_loss(logits, roll).item() == pytest.approx(
        1.609438 + 1.203973 + 2.302585 + 0.916291, abs=1e-5
    )


def test_both_transcription_losses_want_silence_where_nobody_plays():
    logits, roll = track_example()
    silence = torch.zeros_like(roll)
    # -ln 0.2 - ln 0.7 - ln 0.9 - ln 0.4
    expected = pytest.approx(1.609438 + 0.356675 + 0.105361 + 0.916291, abs=1e-5)
    assert losses.transcription_loss(logits, silence).item() == expected
    assert losses.adversarial_transcription_loss(logits, silence).item() == expected


def test_transcription_loss_hears_part_i_on_track_i_only():
    logits = torch.zeros(1, 3, 3, 2, 2, requires_grad=True)
    losses.transcription_loss(logits, torch.ones(1, 3, 2, 2)).backward()
    wanted = torch.eye(3)[None, :, :, None, None].expand_as(logits)
    assert ((logits.grad < 0) == wanted.bool()).all()


def test_adversarial_transcription_loss_hides_part_i_and_shows_the_others():
    logits = torch.zeros(1, 3, 3, 2, 2, requires_grad=True)
    losses.adversarial_transcription_loss(logits, torch.ones(1, 3, 2, 2)).backward()
    hidden = torch.eye(3)[None, :, :, None, None].expand_as(logits)
    assert ((logits.grad > 0) == hidden.bool()).all()


def test_targets_use_the_part_of_the_right_axis():
    roll = torch.tensor([1.0, 0.0, 1.0]).reshape(1, 3, 1, 1)  # instruments 0 and 2 sound
    own = losses.own_part_targets(roll)[0, :, :, 0, 0]
    others = losses.other_parts_targets(roll)[0, :, :, 0, 0]
    assert own.tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 1]]
    assert others.tolist() == [[0, 0, 1], [1, 0, 1], [1, 0, 0]]


def test_adversarial_mixture_losses_by_hand_and_opposed():
    logits = torch.tensor([logit(0.9), logit(0.3)], dtype=torch.float64).reshape(1, 2, 1, 1).requires_grad_()
    roll = torch.ones(1, 2, 1, 1, dtype=torch.float64)
    nothing = losses.adversarial_mixture_transcriptor_loss(logits)
    parts = losses.adversarial_mixture_separator_loss(logits, roll)
    assert nothing.item() == pytest.approx(2.302585 + 0.356675, abs=1e-5)  # -ln 0.1 - ln 0.7
    assert parts.item() == pytest.approx(0.105361 + 1.203973, abs=1e-5)  # -ln 0.9 - ln 0.3
    assert (torch.autograd.grad(nothing, logits)[0] > 0).all()
    assert (torch.autograd.grad(parts, logits)[0] < 0).all()


def mixture_example() -> tuple[Tensor, Tensor]:
    """X (1, 2, 2) and S (1, 2, 2, 2), bins down, frames across."""
    mixture = torch.tensor([[[4.0, 1.0], [2.0, 3.0]]])
    separated = torch.tensor([[[[3.0, 0.5], [1.0, 1.0]], [[0.5, 1.0], [0.0, 1.5]]]])
    return mixture, separated


def test_mixture_loss_with_both_active_by_hand():
    mixture, separated = mixture_example()
    # |4 - 3.5| + |1 - 1.5| + |2 - 1| + |3 - 2.5| = 2.5, over 10
    active = torch.ones(1, 2, 1, 1, dtype=torch.bool)
    assert losses.mixture_loss(mixture, separated, active).item() == pytest.approx(0.25)


def test_mixture_loss_with_one_inactive_by_hand():
    mixture, separated = mixture_example()
    active = torch.tensor([True, False]).reshape(1, 2, 1, 1)
    # missing |4 - 3| + |1 - 0.5| + |2 - 1| + |3 - 1| = 4.5; leaked 0.5 + 1 + 0 + 1.5 = 3; over 10
    assert losses.mixture_loss(mixture, separated, active).item() == pytest.approx(0.75)


def test_mixture_loss_does_not_depend_on_loudness():
    mixture, separated = mixture_example()
    active = torch.tensor([True, False]).reshape(1, 2, 1, 1)
    assert torch.isclose(
        losses.mixture_loss(7 * mixture, 7 * separated, active), losses.mixture_loss(mixture, separated, active)
    )


def test_mixture_loss_of_silence_is_zero_and_has_a_finite_gradient():
    separated = torch.zeros(1, 2, 2, 2, requires_grad=True)
    loss = losses.mixture_loss(torch.zeros(1, 2, 2), separated, torch.ones(1, 2, 1, 1, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0.0 and torch.isfinite(separated.grad).all()


def test_gradient_of_mixture_loss_fills_what_misses_and_silences_what_leaks():
    mixture, separated = mixture_example()
    separated.requires_grad_()
    losses.mixture_loss(mixture, separated, torch.tensor([True, False]).reshape(1, 2, 1, 1)).backward()
    assert (separated.grad[:, 0] < 0).all()  # track 0 lacks energy everywhere
    assert (separated.grad[0, 1][separated[0, 1] > 0] > 0).all()


def test_clip_activity_is_any_sound_in_the_clip():
    roll = torch.zeros(2, 2, 3, 4)
    roll[0, 1, 2, 3] = 1.0
    assert losses.clip_activity(roll).flatten(1).tolist() == [[False, True], [False, False]]
    assert losses.clip_activity(roll).shape == (2, 2, 1, 1)


def test_frame_activity_is_any_sound_in_the_frame():
    roll = torch.zeros(1, 2, 3, 4)
    roll[0, 1, 2, 3] = roll[0, 1, 0, 0] = 1.0
    assert losses.frame_activity(roll)[0, :, 0].tolist() == [[False] * 4, [True, False, False, True]]


def test_clip_mixture_loss_by_hand():
    mixture, separated = mixture_example()
    roll = torch.tensor([[[[1.0, 0.0]], [[0.0, 0.0]]]])  # instrument 0 in frame 0: active in the whole clip
    assert losses.clip_mixture_loss(mixture, separated, roll).item() == pytest.approx(0.75)


def test_frame_mixture_loss_by_hand():
    mixture, separated = mixture_example()
    roll = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])  # instrument 0 in frame 0, instrument 1 in frame 1
    # frame 0: |4 - 3| + |2 - 1| + leak 0.5 + 0; frame 1: |1 - 1| + |3 - 1.5| + leak 0.5 + 1 = 2.5 + 3; over 10
    assert losses.frame_mixture_loss(mixture, separated, roll).item() == pytest.approx(0.55)


def test_harmonic_mixture_loss_by_hand_leaves_uncovered_bins_out():
    mixture, separated = mixture_example()
    masks = torch.tensor([[[[True, False], [False, False]], [[True, True], [False, False]]]])
    # (bin 0, frame 0) both: |4 - 3.5| = 0.5; (0, 1) instrument 1: |1 - 1| + leak 0.5; bin 1 uncovered: 0. 1 over 10
    assert losses.harmonic_mixture_loss(mixture, separated, masks).item() == pytest.approx(0.1)


def test_harmonic_mixture_loss_has_no_gradient_in_uncovered_bins():
    mixture, separated = mixture_example()
    separated.requires_grad_()
    masks = torch.zeros(1, 2, 2, 2, dtype=torch.bool)
    masks[:, 0, 0] = True
    losses.harmonic_mixture_loss(mixture, separated, masks).backward()
    assert (separated.grad[:, :, 1] == 0).all() and (separated.grad[:, 0, 0] < 0).all()
    assert (separated.grad[:, 1, 0] > 0).all()


def test_perfect_separation_costs_nothing():
    separated = torch.rand(2, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    roll = torch.ones(2, 3, 1, 4)
    for loss in (losses.clip_mixture_loss, losses.frame_mixture_loss):
        assert loss(separated.sum(1), separated, roll).item() == pytest.approx(0.0, abs=1e-6)


def test_cross_mixture_by_hand():
    separated = torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]).reshape(3, 2, 1, 1)
    roll = torch.tensor([[0.1, 1.0], [0.2, 2.0], [0.3, 3.0]]).reshape(3, 2, 1, 1)
    mixture, parts = losses.cross_mixture(separated, roll, torch.tensor([1, 2]))
    # clip b takes track 0 of clip b + 1 and track 1 of clip b + 2, counted round
    assert mixture.flatten().tolist() == [2.0 + 30.0, 3.0 + 10.0, 1.0 + 20.0]
    assert torch.allclose(parts.flatten(1), torch.tensor([[0.2, 3.0], [0.3, 1.0], [0.1, 2.0]]))


def test_cross_mixture_passes_gradients_to_every_track():
    separated = torch.rand(3, 2, 4, 5, requires_grad=True)
    losses.cross_mixture(separated, torch.zeros(3, 2, 1, 5), torch.tensor([0, 1]))[0].sum().backward()
    assert (separated.grad == 1).all()


@pytest.mark.parametrize("seed", range(20))
def test_tracks_of_a_cross_mixture_come_from_different_clips(seed):
    shifts = losses.different_clips(4, 3, torch.Generator().manual_seed(seed))
    assert len(set(shifts.tolist())) == 3 and int(shifts.min()) >= 0 and int(shifts.max()) < 4


def test_small_batches_share_clips_as_little_as_possible():
    shifts = losses.different_clips(2, 3, torch.Generator().manual_seed(0))
    assert sorted(shifts.tolist()) in ([0, 0, 1], [0, 1, 1])


def test_stem_loss_by_hand():
    """|1-2| + |3-3| of the first stem, |2-0| + |0-1| of the second, over a mixture of 3 + 5."""
    separated = torch.tensor([[[[1.0, 3.0]], [[2.0, 0.0]]]])
    stems = torch.tensor([[[[2.0, 3.0]], [[0.0, 1.0]]]])
    assert losses.stem_loss(torch.tensor([[[3.0, 5.0]]]), separated, stems).item() == pytest.approx(4 / 8)
    assert losses.stem_loss(torch.tensor([[[3.0, 5.0]]]), stems, stems).item() == 0


def test_teacher_loss_by_hand():
    """Shares of 3/4 and 1/4 of a mixture of 4: |1-3| + |1-1|; where the teacher hears nobody, half of 5 each."""
    separated = torch.tensor([[[[1.0, 2.5]], [[1.0, 1.5]]]])
    parts = torch.tensor([[[[0.3, 0.0]], [[0.1, 0.0]]]])
    mixture = torch.tensor([[[4.0, 5.0]]])
    for tensors in ((mixture, separated, parts), (mixture.double(), separated.double(), parts.double())):
        assert losses.teacher_loss(*tensors).item() == pytest.approx((2 + 0 + 0 + 1) / 9)


def test_a_loss_over_some_clips_and_over_the_others_is_that_over_all():
    generator = torch.Generator().manual_seed(0)
    x, s, true = (torch.rand(shape, generator=generator) for shape in ((4, 5, 6), (4, 2, 5, 6), (4, 2, 5, 6)))
    logits, roll = (
        torch.randn(4, 2, 2, 3, 6, generator=generator),
        (torch.rand(4, 2, 3, 6, generator=generator) > 0.5).float(),
    )
    harmonic = torch.rand(4, 2, 5, 6, generator=generator) > 0.5
    for loss in (
        lambda counted: losses.transcription_loss(logits, roll, counted),
        lambda counted: losses.clip_mixture_loss(x, s, roll, None, counted),
        lambda counted: losses.frame_mixture_loss(x, s, roll, None, counted),
        lambda counted: losses.harmonic_mixture_loss(x, s, harmonic, counted),
        lambda counted: losses.stem_loss(x, s, true, counted),
    ):
        some = torch.tensor([True, False, False, True])
        assert torch.isclose(loss(some) + loss(~some), loss(None)) and 0 < loss(some) < loss(None)
        assert loss(torch.zeros(4, dtype=torch.bool)) == 0


def test_labels_of_a_clip_serve_as_its_roll():
    """One logit an instrument: the entropies by hand, the mixture loss as with the roll they came from."""
    labels, logits = torch.tensor([[[[1.0]], [[0.0]]]]), torch.zeros(1, 2, 2, 1, 1)
    assert losses.transcription_loss(logits, labels).item() == pytest.approx(4 * HALF)
    roll = torch.zeros(1, 2, 3, 4)
    roll[0, 0, 1, 2] = 1
    x, s = torch.rand(1, 5, 4), torch.rand(1, 2, 5, 4)
    assert losses.clip_mixture_loss(x, s, labels) == losses.clip_mixture_loss(x, s, roll)


def test_least_squares_by_hand_and_bounded():
    logits, roll = torch.tensor([[[[0.0], [math.log(3)]]]]), torch.tensor([[[[1.0], [0.0]]]])
    assert losses.least_squares(logits, roll).item() == pytest.approx((0.25 + 0.75**2) / 2)
    assert losses.adversarial_mixture_separator_loss(logits, roll, losses.least_squares) == losses.least_squares(
        logits, roll
    )
    silence = losses.adversarial_mixture_transcriptor_loss(logits, losses.least_squares)
    assert silence.item() == pytest.approx((0.25 + 0.75**2) / 2)
    certain = torch.full((1, 2, 3, 1, 1), 100.0, requires_grad=True)
    loss = losses.adversarial_transcription_loss(certain[:, :, :2], torch.zeros(1, 2, 1, 1), losses.least_squares)
    loss.backward()
    assert loss.item() == pytest.approx(4.0) and not certain.grad.any()


def test_literal_harmonic_loss_differs_in_uncovered_bins_which_softmax_masks_cannot_change():
    made = torch.Generator().manual_seed(0)
    mixture, harmonic = torch.rand(2, 6, 4, generator=made), torch.rand(2, 3, 6, 4, generator=made) < 0.3
    logits = torch.randn(2, 3, 6, 4, generator=made, requires_grad=True)

    def gradients(masks: torch.Tensor) -> list[torch.Tensor]:
        separated = masks * mixture[:, None]
        both = (losses.harmonic_mixture_loss, losses.literal_harmonic_mixture_loss)
        values = [loss(mixture, separated, harmonic) for loss in both]
        uncovered = ~harmonic.any(1)
        extra = (mixture + separated.sum(1))[uncovered].sum() / mixture.sum()
        assert torch.isclose(values[1], values[0] + extra)
        return [torch.autograd.grad(value, logits, retain_graph=True)[0] for value in values]

    plain, literal = gradients(torch.softmax(logits, 1))
    assert torch.allclose(plain, literal, atol=1e-7)
    plain, literal = gradients(torch.sigmoid(logits))
    assert not torch.allclose(plain, literal, atol=1e-3)
