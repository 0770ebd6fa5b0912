"""Networks and losses with their gradients: on the device as on the CPU, in float32 and bfloat16."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import nn

from scoresep.losses.batch import DATASETS, STEMS, TEACHER, WEAK
from scoresep.losses.formulas import OBJECTIVES
from scoresep.losses.table import LOSSES as LOSSES_BY_NETWORK
from scoresep.losses.table import StepContext
from scoresep.models.base import MASKS
from scoresep.models.model import Model
from scoresep.models.networks import NETWORKS as ROWS
from scoresep.models.tcn import KERNEL, DepthwiseConv
from scoresep.score.weak_labels import ABSENT, FIRST_SET
from scoresep.training.clip_dataset import ShardClips
from scoresep.training.loader import stream
from scoresep.training.trainer import autocast

CPU = torch.device("cpu")
BINS, COUNT = 129, 3
NETWORKS = {
    **{
        f"{key}, critic of {critic}": lambda row=row, make=make: make(BINS, COUNT, row.settings())
        for key, row in ROWS.items()
        for critic, make in row.critics.items()
    },
    **{
        f"{key}, separator, {mask}": lambda row=row, mask=mask: row.separator(BINS, COUNT, row.settings(), mask)
        for key, row in ROWS.items()
        if row.separator
        for mask in MASKS
    },
}
"""Every row of the table, with the settings that it has by itself."""


def results(network: nn.Module, x: torch.Tensor, precision: str) -> list[torch.Tensor]:
    """Outputs, gradients and statistics after a forward and a backward pass."""
    x = x.detach().clone().requires_grad_()
    with autocast(x.device, precision):
        outputs = network(x)
    outputs = [outputs] if isinstance(outputs, torch.Tensor) else [output for output in outputs if output.numel()]
    sum(output.square().mean() for output in outputs).backward()
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    norm = torch.stack([gradient.float().norm() for gradient in gradients]).norm()
    statistics = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
    return [*outputs, *statistics, x.grad, norm]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_in_float32(device, close, name, training):
    torch.manual_seed(0)
    network = NETWORKS[name]().train(training)
    x = torch.rand(4, BINS, 70)
    there = copy.deepcopy(network).to(device)
    torch.backends.cudnn.allow_tf32 = False  # as `Model.to` has it
    for found, expected in zip(results(there, x.to(device), "float32"), results(network, x, "float32"), strict=True):
        close(found, expected, 10 * close.rounding)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_in_bfloat16(device, close, name):
    """Against float32 on the CPU: what rounding does there is no more exact. Gradients by their norm."""
    torch.manual_seed(0)
    network = NETWORKS[name]().eval()
    x = torch.rand(4, BINS, 70)
    found = results(copy.deepcopy(network).to(device), x.to(device), "bfloat16")
    expected = results(network, x, "float32")
    for ours, theirs in zip(found[:-2], expected[:-2], strict=True):
        close(ours, theirs, close.coarse)
    close(found[-1], expected[-1], 2 * close.coarse)


@pytest.mark.parametrize("dilation", [1, 2, 8, 64, 100])
def test_depthwise_convolution(device, close, dilation):
    torch.manual_seed(0)
    layer, x = DepthwiseConv(24, dilation), torch.randn(3, 24, 90)
    assert layer.weight.shape[-1] == KERNEL
    there = copy.deepcopy(layer).to(device)
    for found, expected in zip(results(there, x.to(device), "float32"), results(layer, x, "float32"), strict=True):
        close(found, expected)


LOSSES = [
    (network, loss, objective)
    for network in LOSSES_BY_NETWORK
    for loss in LOSSES_BY_NETWORK[network]
    for objective in (OBJECTIVES if loss.startswith("adversarial") else ["cross-entropy"])
]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("network", "loss", "objective"), LOSSES)
def test_a_loss_and_its_gradient(cache, make, device, close, network, loss, objective, precision):
    config = make.config("network.channels=16", "network.blocks=3")
    torch.manual_seed(0)
    model = Model(cache.grid, cache.instruments, config.architecture, config.mask).eval()
    source = ShardClips(cache, 32, (*DATASETS, STEMS, TEACHER), stemmed=[0, 2])
    crops = [(0, 0), (1, 5), (2, 9), (0, 40)]

    def found(where: torch.device, precision: str) -> tuple[torch.Tensor, torch.Tensor]:
        here = copy.deepcopy(model).to(where)
        (batch,) = stream(cache, 32, [crops], 0, where, source)
        if WEAK in LOSSES_BY_NETWORK[network][loss].reads:
            weak = torch.full(batch.roll[:, :, 0].shape, ABSENT, dtype=torch.uint8)
            weak[:, 0, 5:20] = FIRST_SET
            batch = dataclasses.replace(batch, weak=weak.to(where))
        with autocast(where, precision):
            value = LOSSES_BY_NETWORK[network][loss].function(
                StepContext(here, batch, torch.tensor([0, 1, 3]), objective=OBJECTIVES[objective])
            )
        value.backward()
        parameters = here.networks[network].parameters()
        gradients = [parameter.grad.norm() for parameter in parameters if parameter.grad is not None]
        return value, torch.stack(gradients).norm()

    share = {"float32": 10 * close.rounding, "bfloat16": 2 * close.coarse}[precision]
    for ours, theirs in zip(found(device, precision), found(CPU, "float32"), strict=True):
        close(ours, theirs, share)
