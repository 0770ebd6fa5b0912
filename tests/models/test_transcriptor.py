"""Magnitudes to rolls."""

from __future__ import annotations

import torch

from scoresep.models.tcn import TCNSettings, TCNTranscriptor

SMALL = TCNSettings(channels=8, hidden=16, blocks=2, repeats=1)


def test_frames_and_onsets_of_every_instrument_and_pitch():
    rolls = TCNTranscriptor(33, 3, SMALL)(torch.rand(2, 33, 17))
    assert rolls.frame.shape == rolls.onset.shape == (2, 3, 88, 17)


def test_a_new_network_expects_silence():
    torch.manual_seed(0)
    rolls = TCNTranscriptor(33, 3, SMALL)(torch.rand(2, 33, 40))
    assert torch.sigmoid(rolls.frame).mean() < 0.1 and torch.sigmoid(rolls.onset).mean() < 0.1


def test_rolls_are_cut_from_the_head_in_the_documented_order():
    torch.manual_seed(0)
    network = TCNTranscriptor(33, 3, SMALL).eval()
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.copy_(torch.arange(2 * 3 * 88))
    rolls = network(torch.rand(1, 33, 5))
    assert rolls.frame[0, 2, 10, 0] == 2 * 88 + 10 and rolls.onset[0, 1, 5, 4] == 3 * 88 + 88 + 5


def test_context_is_that_of_the_trunk():
    assert TCNTranscriptor(33, 2, SMALL).context == 3
