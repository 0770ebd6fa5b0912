"""The trunk that both networks share."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from scoresep.models.tcn import DepthwiseConv, TCNSettings, Trunk

SMALL = TCNSettings(channels=8, hidden=16, blocks=3, repeats=2)


@pytest.mark.parametrize("dilation", [1, 2, 8, 64])
@pytest.mark.parametrize("frames", [1, 7, 8, 40])
def test_shifted_sums_are_a_dilated_depthwise_convolution(dilation, frames):
    torch.manual_seed(0)
    layer = DepthwiseConv(5, dilation)
    x = torch.randn(2, 5, frames, requires_grad=True)
    expected = functional.conv1d(x, layer.weight, padding=dilation, dilation=dilation, groups=5)
    assert layer(x).shape == x.shape and torch.allclose(layer(x), expected, atol=1e-6)
    upstream = torch.randn_like(expected)
    found = torch.autograd.grad((layer(x) * upstream).sum(), (x, layer.weight))
    wanted = torch.autograd.grad((expected * upstream).sum(), (x, layer.weight))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found, wanted, strict=True))


def test_features_have_one_column_a_frame():
    trunk = Trunk(33, SMALL)
    assert trunk(torch.rand(2, 33, 17)).shape == (2, 8, 17)


def test_context_is_the_reach_of_an_output_frame():
    torch.manual_seed(0)
    trunk = Trunk(33, SMALL).eval()
    context = SMALL.context
    assert context == 2 * (1 + 2 + 4)
    x = torch.rand(1, 33, 61, requires_grad=True)
    trunk(x)[0, :, 30].sum().backward()
    touched = x.grad.abs().sum((0, 1)).nonzero().flatten()
    assert (int(touched.min()), int(touched.max())) == (30 - context, 30 + context)


def test_output_in_evaluation_does_not_depend_on_the_batch():
    torch.manual_seed(0)
    trunk = Trunk(33, SMALL).eval()
    x = torch.rand(3, 33, 20)
    assert torch.allclose(trunk(x)[1:2], trunk(x[1:2]), atol=1e-5)


def test_gradient_at_silence_is_finite():
    trunk = Trunk(33, SMALL).eval()
    x = torch.zeros(1, 33, 20, requires_grad=True)
    trunk(x).sum().backward()
    assert torch.isfinite(x.grad).all() and x.grad.any()
