"""What every network of the table must hold: shapes, reach, memory, checkpoints; and what is special to each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from scoresep.errors import InvalidValue
from scoresep.grid import LOWEST_PITCH, PITCHES, Grid
from scoresep.instruments import choose
from scoresep.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from scoresep.models.hppnet import FINE, HARMONICS, SUBHARMONIC, HarmonicConv, HPPNetSettings, pitch_filters
from scoresep.models.layers import FrequencyMixing, Stretch
from scoresep.models.model import Model
from scoresep.models.networks import NETWORKS, Architecture
from scoresep.models.scnet import BANDS, Down, SCNetSettings, band_heights, compressed_heights
from scoresep.models.streaming import network_blocks
from scoresep.models.tcn import TCNSettings
from scoresep.models.unet import UNetSettings

SMALL = {
    "tcn": TCNSettings(8, 16, 2, 1),
    "unet": UNetSettings(4, 4, 2, 8, 16, 2),
    "scnet": SCNetSettings(4, 2, 8, 16, 2),
    "hppnet": HPPNetSettings(4, 2),
}
COUNT = 3
NAMES = ["piano", "guitar", "bass"]
SEPARATORS = [name for name, row in NETWORKS.items() if row.separator]
TRANSCRIPTORS = [name for name, row in NETWORKS.items() if "keys" in row.critics]


def separator(name: str, bins: int = 129, mask: str = "softmax", seed: int = 0) -> Any:
    torch.manual_seed(seed)
    make = NETWORKS[name].separator
    assert make is not None
    return make(bins, COUNT, SMALL[name], mask)


def transcriptor(name: str, bins: int = 1025, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return NETWORKS[name].critics["keys"](bins, COUNT, SMALL[name])


def all_networks() -> list[Any]:
    made = [pytest.param(lambda name=name: separator(name), 129, id=f"{name}, separator") for name in SEPARATORS]
    return made + [pytest.param(lambda name=name: transcriptor(name), 1025, id=name) for name in TRANSCRIPTORS]


def output(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Masks, or the logits of both rolls on top of each other."""
    found = network(x)
    return found if isinstance(found, torch.Tensor) else torch.cat(list(found), dim=1)


def test_no_network_is_left_out() -> None:
    assert {type(settings) for settings in SMALL.values()} == {row.settings for row in NETWORKS.values()}


@pytest.mark.parametrize("bins", [33, 129, 1025])
@pytest.mark.parametrize("mask", ["softmax", "sigmoid"])
@pytest.mark.parametrize("name", SEPARATORS)
def test_masks_have_the_shape_of_the_magnitudes(name: str, mask: str, bins: int) -> None:
    masks = separator(name, bins, mask)(torch.rand(2, bins, 7))
    assert masks.shape == (2, COUNT, bins, 7) and masks.dtype == torch.float32
    assert masks.min() >= 0 and masks.max() <= 1
    if mask == "softmax":
        torch.testing.assert_close(masks.sum(1), torch.ones(2, bins, 7))


@pytest.mark.parametrize("name", TRANSCRIPTORS)
def test_rolls_have_a_row_for_every_key(name: str) -> None:
    rolls = transcriptor(name)(torch.rand(2, 1025, 7))
    assert rolls.frame.shape == rolls.onset.shape == (2, COUNT, PITCHES, 7)
    assert torch.sigmoid(rolls.frame).mean() < 0.1  # a new network expects silence


@pytest.mark.parametrize(("make", "bins"), all_networks())
def test_context_is_the_reach_of_an_output_frame(make: Callable[[], Any], bins: int) -> None:
    network = make().eval()
    middle = network.context + 3
    x = torch.rand(1, bins, 2 * middle + 1, requires_grad=True)
    output(network, x)[..., middle].square().sum().backward()
    assert x.grad is not None
    touched = x.grad.abs().sum((0, 1)).nonzero().flatten()
    assert (middle - int(touched.min()), int(touched.max()) - middle) == (network.context, network.context)


@pytest.mark.parametrize("block", [1, 6, 200])
@pytest.mark.parametrize(("make", "bins"), all_networks())
def test_blocks_equal_the_whole(make: Callable[[], Any], bins: int, block: int) -> None:
    network = make().eval()
    magnitude = np.random.default_rng(1).random((50, bins), dtype=np.float32)
    with torch.inference_mode():
        whole = output(network, torch.from_numpy(magnitude.T[None].copy()))[0].numpy()

    def forward(x: torch.Tensor) -> torch.Tensor:
        return output(network, x)[0]

    blocks = network_blocks(iter([magnitude]), forward, network.context, block, 50, torch.device("cpu"))
    np.testing.assert_allclose(np.concatenate([out for _, out in blocks], axis=-1), whole, atol=1e-4)


@pytest.mark.parametrize(("make", "bins"), all_networks())
def test_clips_of_a_batch_do_not_meet_in_evaluation(make: Callable[[], Any], bins: int) -> None:
    network, x = make().eval(), torch.rand(3, bins, 9)
    torch.testing.assert_close(output(network, x)[1:2], output(network, x[1:2]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("make", "bins"), all_networks())
def test_every_weight_learns_and_silence_has_a_finite_gradient(make: Callable[[], Any], bins: int) -> None:
    network = make()
    x = torch.cat([torch.rand(1, bins, 9), torch.zeros(1, bins, 9)]).requires_grad_()
    output(network, x).square().sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("name", NETWORKS)
def test_memory_is_bounded_by_what_the_settings_say(name: str) -> None:
    """No layer's output is larger than `width`, or `width_per_bin` on the grid, or what goes in and comes out."""
    bins, settings = 1025, SMALL[name]
    network = separator(name, bins) if name in SEPARATORS else transcriptor(name, bins)
    sizes: list[int] = []

    def record(module: nn.Module, inputs: tuple[torch.Tensor, ...], result: torch.Tensor) -> None:
        sizes.extend(value.numel() for value in (*inputs, result))

    for module in network.modules():
        if not list(module.children()):
            module.register_forward_hook(record)
    network.eval()(torch.rand(1, bins, 1))
    bound = max(settings.width, getattr(settings, "width_per_bin", 0) * bins, 1.1 * COUNT * bins)
    assert len(sizes) > 5 and max(sizes) <= bound


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "tcn"])
def test_a_checkpoint_keeps_it(tmp_path: Any, name: str, small: bool) -> None:
    both = Architecture(SMALL["hppnet" if name == "hppnet" else "tcn"], SMALL["tcn" if name == "hppnet" else name])
    model = Model(Grid(), choose(NAMES), both, "softmax").eval()
    save_checkpoint(tmp_path / "c.pt", Checkpoint(model, 2, 1, True, {}, "", ""), small=small)
    again = load_checkpoint(tmp_path / "c.pt").model
    assert again.architecture == both
    x = torch.rand(1, 1025, 20)
    with torch.inference_mode():
        for found, expected in ((again.separator, model.separator), (again.transcriptor, model.transcriptor)):
            torch.testing.assert_close(output(found, x), output(expected, x), rtol=0, atol=0.05 if small else 0)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (UNetSettings, {"channels": 0}),
        (UNetSettings, {"levels": 40}),
        (UNetSettings, {"features": 2048, "hidden": 10**9}),
        (UNetSettings, {"blocks": 99}),
        (SCNetSettings, {"layers": -1}),
        (SCNetSettings, {"channels": True}),
        (HPPNetSettings, {"channels": 1.5}),
        (HPPNetSettings, {"blocks": 20}),
    ],
)
def test_impossible_sizes_are_refused(kind: type, settings: dict[str, Any], refused: Any) -> None:
    with refused(InvalidValue) as fault:
        kind(**settings)
    assert any(name in str(fault.value) for name in settings)


def test_a_network_of_another_sample_rate_is_refused(refused: Any) -> None:
    both = Architecture(HPPNetSettings(4, 2, 44100), SMALL["tcn"])
    with refused(InvalidValue) as fault:
        Model(Grid(), choose(NAMES), both, "softmax")
    assert "transcriptor.sample_rate=16000" in fault.value.remedy


@pytest.mark.parametrize("name", SEPARATORS)
def test_a_separator_learns_to_tell_bands_apart(name: str) -> None:
    """Low bins are of the first instrument, middle ones of the second, high ones of the third, wherever sound is."""
    network = separator(name, 65)
    truth = (torch.arange(65) * COUNT // 65)[None, :, None].expand(4, 65, 12)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.02)
    losses = []
    for _ in range(30):
        loss = nn.functional.cross_entropy(network.logits(torch.rand(4, 65, 12)), truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_pitch_filters_find_the_key_of_a_tone() -> None:
    grid = Grid()
    filters = pitch_filters(grid.bins, grid.sample_rate, torch.device("cpu"))
    for pitch in range(60, 100):  # below, the grid's bins are wider than semitones
        hertz = 440.0 * 2.0 ** ((pitch - 69) / 12)
        samples = torch.sin(2 * torch.pi * hertz * torch.arange(grid.n_fft) / grid.sample_rate)
        spectrum = torch.fft.rfft(samples * torch.hann_window(grid.n_fft)).abs()
        key = (int((filters @ spectrum).argmax()) - FINE // 2) / FINE + LOWEST_PITCH
        assert abs(key - pitch) <= 1 / FINE
    sums = filters.sum(1)
    assert ((sums - 1).abs() < 1e-4).logical_or(sums == 0).all() and (sums[: FINE * PITCHES] > 0).all()


def test_partials_are_where_physics_has_them() -> None:
    assert HARMONICS == (0, 12, 19, 24, 28, 31, 34, 36)


def test_harmonic_convolution_is_a_sum_over_partials() -> None:
    torch.manual_seed(0)
    layer, x = HarmonicConv(2, 3), torch.randn(1, 2, PITCHES + 36, 4)
    expected = torch.zeros(1, 3, PITCHES, 4)
    for place, distance in enumerate((SUBHARMONIC, *HARMONICS)):
        weight = layer.conv.weight[:, 2 * place : 2 * place + 2, 0, 0]
        for key in range(PITCHES):
            if key + distance >= 0:
                expected[:, :, key] += torch.einsum("oc,bct->bot", weight, x[:, :, key + distance])
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("height", [3, 9, 33, 308, 1025])
def test_bands_cover_the_spectrum_and_the_higher_are_compressed_more(height: int) -> None:
    heights = band_heights(height)
    assert sum(heights) == height and min(heights) >= 1
    assert compressed_heights(height) == [-(-part // stride) for part, stride in zip(heights, (1, 4, 16), strict=True)]
    if height == 1025:  # the paper's shares
        assert np.allclose(np.array(heights) / height, [0.175, 0.392, 0.433], atol=1e-3)
    x = torch.rand(1, 2, height, 5)
    assert Down(2, 4, height)(x).shape == (1, 4, sum(compressed_heights(height)), 5)
    assert [band.depth for band in BANDS] == sorted((band.depth for band in BANDS), reverse=True)


def test_stretched_positions_lie_side_by_side() -> None:
    layer = Stretch(1, 1, 3)
    with torch.no_grad():
        layer.conv.weight.copy_(torch.tensor([1.0, 10.0, 100.0]).view(3, 1, 1, 1))
        layer.conv.bias.zero_()
    found = layer(torch.tensor([1.0, 2.0]).view(1, 1, 2, 1))
    assert found.flatten().tolist() == [1, 10, 100, 2, 20, 200]


def test_mixing_reaches_every_frequency_and_no_other_frame() -> None:
    torch.manual_seed(0)
    layer = FrequencyMixing(2, 24, 8).eval()
    x = torch.rand(1, 2, 24, 5, requires_grad=True)
    layer(x)[0, :, 3, 2].sum().backward()
    assert x.grad is not None
    assert (x.grad.abs().sum((0, 1, 3)) > 0).sum() > 20 and x.grad.abs().sum(
        (0, 1, 2)
    ).nonzero().flatten().tolist() == [2]
