"""Magnitudes to masks."""

from __future__ import annotations

import pytest
import torch

from scoresep.errors import InvalidValue
from scoresep.models.base import MASKS
from scoresep.models.tcn import TCNSeparator, TCNSettings

SMALL = TCNSettings(channels=8, hidden=16, blocks=2, repeats=1)


@pytest.mark.parametrize("mask", MASKS)
def test_masks_lie_between_zero_and_one(mask):
    masks = TCNSeparator(33, 3, SMALL, mask)(torch.rand(2, 33, 17))
    assert masks.shape == (2, 3, 33, 17) and masks.min() >= 0 and masks.max() <= 1


def test_softmax_shares_every_bin_out():
    masks = TCNSeparator(33, 3, SMALL, "softmax")(torch.rand(2, 33, 17))
    assert torch.allclose(masks.sum(1), torch.ones(2, 33, 17), atol=1e-6)


def test_sigmoid_masks_are_independent():
    network = TCNSeparator(33, 3, SMALL, "sigmoid").eval()
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.copy_(torch.tensor([9.0, 9.0, -9.0]).repeat_interleave(33))
    masks = network(torch.rand(1, 33, 4))
    assert masks[0, :, 0, 0].round().tolist() == [1.0, 1.0, 0.0]


def test_unknown_mask_is_refused_with_a_suggestion(refused):
    with refused(InvalidValue) as fault:
        TCNSeparator(33, 3, SMALL, "softmx")
    assert "softmax" in fault.value.remedy
