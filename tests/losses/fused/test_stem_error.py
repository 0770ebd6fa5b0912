"""The distance from stems in one pass against the formula, differentiated by torch."""

from __future__ import annotations

import pytest
import torch

from scoresep.losses.formulas import plain_stem_error, shares
from scoresep.losses.fused.stem_error import StemError

B, N, F, T = 5, 3, 17, 9
SOME = torch.tensor([True, False, True, True, False])


def example() -> tuple[torch.Tensor, ...]:
    made = torch.Generator().manual_seed(3)
    mixture, separated, parts = (torch.rand(*shape, F, T, generator=made) for shape in ((B,), (B, N), (B, N)))
    parts[0, 1] = 0.0
    parts[1, :, 3:5] = 0.0  # nobody is heard
    parts[2] *= 1e-20  # nor here
    return mixture, separated.requires_grad_(), parts


@pytest.mark.parametrize("counted", [None, SOME])
@pytest.mark.parametrize("shared", [False, True])
def test_value_and_gradient_are_those_of_the_formula(shared, counted):
    mixture, separated, parts = example()
    found = StemError.apply(mixture, separated, parts, counted, shared)
    (slope,) = torch.autograd.grad(3 * found, separated)
    stems = shares(parts) * mixture[:, None] if shared else parts
    exact = plain_stem_error(separated.double(), stems.double(), counted)
    (expected,) = torch.autograd.grad(3 * plain_stem_error(separated, stems, counted), separated)
    assert found.item() == pytest.approx(exact.item(), rel=1e-6)
    assert torch.equal(slope, expected)
    assert counted is None or not slope[~counted].any()


def test_tracks_that_are_right_are_left_alone():
    mixture, _, parts = example()
    separated = parts.clone().requires_grad_()
    error = StemError.apply(mixture, separated, parts, None, False)
    error.backward()
    assert error == 0 and not separated.grad.any()


def test_layouts_that_are_not_contiguous_are_read_right():
    inputs = example()
    turned = [x.detach().transpose(-1, -2).contiguous().transpose(-1, -2) for x in inputs]
    assert not turned[1].is_contiguous()
    assert StemError.apply(*turned, SOME, True) == StemError.apply(*inputs, SOME, True)


def test_the_number_of_threads_changes_no_bit():
    inputs = example()
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3, 8):
            torch.set_num_threads(threads)
            value = StemError.apply(*inputs, SOME, True)
            found.append((value, torch.autograd.grad(value, inputs[1])[0]))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(value, found[0][0]) and torch.equal(slope, found[0][1]) for value, slope in found)
