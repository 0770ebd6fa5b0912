"""The mixture losses' error in one pass against the formula, differentiated by torch."""

from __future__ import annotations

import pytest
import torch

from scoresep.losses.formulas import plain_mixture_error
from scoresep.losses.fused.mixture_error import MixtureError

B, N, F, T = 5, 3, 17, 9
ACTIVITY = {"bins": (B, N, F, T), "frames": (B, N, 1, T), "clips": (B, N, 1, 1)}
COUNTED = {"bins": (B, F, T), "clips": (B, 1, 1), "everywhere": (1, 1, 1)}


def example(activity: str, counted: str) -> tuple[torch.Tensor, ...]:
    made = torch.Generator().manual_seed(3)
    mixture = torch.rand(B, F, T, generator=made)
    separated = torch.rand(B, N, F, T, generator=made)
    active = torch.rand(ACTIVITY[activity], generator=made) < 0.5
    where = torch.rand(COUNTED[counted], generator=made) < 0.7
    return mixture, separated.requires_grad_(), active, where


@pytest.mark.parametrize("counted", COUNTED)
@pytest.mark.parametrize("activity", ACTIVITY)
def test_value_and_gradient_are_those_of_the_formula(activity, counted):
    mixture, separated, active, where = example(activity, counted)
    found = MixtureError.apply(mixture, separated, active, where)
    (slope,) = torch.autograd.grad(3 * found, separated)
    exact = plain_mixture_error(mixture.double(), separated.double(), active, where)
    (expected,) = torch.autograd.grad(3 * plain_mixture_error(mixture, separated, active, where), separated)
    assert found.item() == pytest.approx(exact.item(), rel=1e-6)
    assert torch.equal(slope, expected)


def test_layouts_that_are_not_contiguous_are_read_right():
    mixture, separated, active, where = example("bins", "bins")
    turned = [x.detach().transpose(-1, -2).contiguous().transpose(-1, -2) for x in (mixture, separated, active, where)]
    assert not turned[1].is_contiguous()
    assert MixtureError.apply(*turned) == MixtureError.apply(mixture, separated, active, where)


def test_the_number_of_threads_changes_no_bit():
    inputs = example("bins", "everywhere")
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3, 8):
            torch.set_num_threads(threads)
            value = MixtureError.apply(*inputs)
            found.append((value, torch.autograd.grad(value, inputs[1])[0]))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(value, found[0][0]) and torch.equal(slope, found[0][1]) for value, slope in found)
