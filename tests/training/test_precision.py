"""The number format of the networks' products."""

from __future__ import annotations

import pytest
import torch

from scoresep.models.model import Model
from scoresep.training import precision
from scoresep.training.precision import autocast, choose_precision

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("able", [True, False])
def test_auto_takes_what_was_measured_to_pay(monkeypatch, able):
    monkeypatch.setattr(precision, "cpu_multiplies_bfloat16", lambda: able)
    assert choose_precision("auto", CPU) == ("bfloat16" if able else "float32")
    assert choose_precision("auto", GPU) == "float32"
    assert choose_precision("float32", CPU) == "float32" and choose_precision("bfloat16", GPU) == "bfloat16"


def test_a_torch_that_cannot_tell_means_no(monkeypatch):
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        monkeypatch.delattr(torch.cpu, name, raising=False)
    assert not precision.cpu_multiplies_bfloat16()


@pytest.mark.parametrize("wanted", ["float32", "bfloat16"])
def test_networks_give_float32_near_to_the_exact_result(cache, make, wanted):
    config = make.config()
    torch.manual_seed(0)
    model = Model(cache.grid, cache.instruments, config.architecture, config.mask).eval()
    x = torch.rand(2, cache.grid.bins, 16)
    exact = (model.transcriptor(x).frame, model.separator(x))
    with autocast(CPU, wanted):
        found = (model.transcriptor(x).frame, model.separator(x))
    for a, b in zip(found, exact, strict=True):
        assert a.dtype == torch.float32 and torch.allclose(a, b, atol=0.05)
        assert torch.equal(a, b) == (wanted == "float32")
    assert torch.allclose(found[1].sum(1), torch.ones(2, cache.grid.bins, 16), atol=1e-5), "shares still add up"
