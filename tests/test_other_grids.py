"""Grids besides the default one: they travel from `prepare` to the notes, and whatever is meant in seconds stays so."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from scoresep.audio.source import ArraySource
from scoresep.cache.build import prepare
from scoresep.cache.reader import Cache
from scoresep.cache.schema import CacheSettings
from scoresep.cli.prepare import read_grid
from scoresep.datasets.slakh import open_slakh
from scoresep.errors import InvalidValue, Mismatch
from scoresep.evaluation.evaluate import evaluate, open_subject
from scoresep.executor import Engine
from scoresep.grid import LOWEST_PITCH, PITCHES, Grid
from scoresep.instruments import choose
from scoresep.models.base import Rolls, Transcriptor
from scoresep.models.checkpoint import load_checkpoint, model_from_dict, model_to_dict
from scoresep.models.model import Model
from scoresep.models.networks import Architecture
from scoresep.models.tcn import TCNSettings
from scoresep.separation.separate import Options, separate_array
from scoresep.studio.analysis import analyse, masks_again, open_analysis
from scoresep.training.config import DataConfig
from scoresep.training.log import RunLog
from scoresep.training.run import Run
from scoresep.transcription.note_decoder import decode_notes
from scoresep.transcription.transcribe import transcribe_array

FULL_BAND, HALF_BAND = Grid(44100, 4096, 1024), Grid(22050, 2048, 512)
SIZES = TCNSettings(8, 16, 2, 1)
NAMES = ("piano", "guitar", "bass")


def trained(cache: Cache, folder: Path, make: Any, *settings: str) -> Path:
    """A checkpoint of all three stages, of two steps each."""
    steps = (f"stage{number}.steps=2" for number in (1, 2, 3))
    log = RunLog(folder / "run")
    Run(cache, make.config(*steps, "data.transpose=2", *settings), folder / "run", folder / "c.pt", log).train()
    log.close()
    return folder / "c.pt"


@pytest.fixture(scope="module", params=[FULL_BAND, HALF_BAND], ids=str)
def prepared_there(request: Any, tmp_path_factory: pytest.TempPathFactory, make: Any) -> Cache:
    """Four songs at the rate of another grid, prepared on it."""
    grid: Grid = request.param
    folder = tmp_path_factory.mktemp("there")
    for number, split in enumerate(("train", "train", "validation", "test")):
        stems = make.usual_stems(number, 2.0)
        make.track(folder / "corpus" / split / f"Track0000{number}", stems, 2.0, grid.sample_rate)
    report = prepare(open_slakh(folder / "corpus"), folder / "c.h5", CacheSettings(grid), Engine(1))
    assert not [finding for finding in report.findings if finding.kind == "rate"]
    return Cache(folder / "c.h5")


@pytest.mark.integration
def test_the_grid_travels_from_the_cache_to_the_figures(prepared_there: Cache, tmp_path: Path, make: Any) -> None:
    cache, grid = prepared_there, prepared_there.grid
    mixture, hann = cache.mixture(0), torch.hann_window(grid.n_fft)
    spectrum = torch.stft(
        torch.from_numpy(mixture), grid.n_fft, grid.hop, window=hann, pad_mode="constant", return_complex=True
    )
    expected = spectrum.abs().numpy().T * (2 / hann.sum().item())
    np.testing.assert_allclose(cache.magnitude(0).astype(np.float32), expected, atol=1e-4)
    path = trained(cache, tmp_path, make)
    model = load_checkpoint(path).model
    assert model.grid == grid
    result = evaluate(open_subject(path))
    assert result.about["grid"] == grid.to_dict()
    for name in NAMES:
        assert math.isfinite(result.summary["separation"][name]["si_sdr"])
        assert math.isfinite(result.summary["transcription"][name]["note_f1"])


@pytest.mark.parametrize("rate", [16000, 22050, 44100, 48000])
@pytest.mark.parametrize("grid", [FULL_BAND, HALF_BAND], ids=str)
def test_a_model_separates_any_recording_on_its_grid(grid: Grid, rate: int, tmp_path: Path) -> None:
    """Stems add up, blocks equal the whole, and what refines or is kept for the page knows the same frames."""
    torch.manual_seed(0)
    model = Model(grid, choose(NAMES), Architecture.both(SIZES), "softmax").eval()
    mixture = np.random.default_rng(1).normal(0, 0.1, (rate, 2)).astype(np.float32)
    whole = separate_array(mixture, rate, model)
    assert list(whole) == list(NAMES)
    np.testing.assert_allclose(sum(whole.values()), mixture, atol=1e-6)
    blocks = separate_array(mixture, rate, model, Options(block_seconds=0.2))
    for name, stem in whole.items():
        np.testing.assert_allclose(blocks[name], stem, atol=1e-6)
    refined = separate_array(mixture, rate, model, Options(refine=True))
    np.testing.assert_allclose(sum(refined.values()), mixture, atol=1e-6)
    analyse(ArraySource(mixture, rate), model, tmp_path)
    kept = open_analysis(tmp_path)
    assert kept.magnitude.shape == (grid.frames(grid.sample_rate), grid.bins)
    assert sum(masks.shape[2] for _, masks in masks_again(kept, model, {}, span=(3, 20))) == 17


class Listening(Transcriptor):
    """A key sounds where its fundamental is loud, and begins where that rises."""

    def __init__(self, grid: Grid, instruments: int) -> None:
        super().__init__(context=1)
        hertz = 440.0 * 2.0 ** ((np.arange(PITCHES) + LOWEST_PITCH - 69) / 12)
        self.bins, self.count = np.rint(hertz / grid.bin_width), instruments

    def forward(self, magnitude: Tensor) -> Rolls:
        heard = magnitude[:, self.bins.astype(int)]
        rise = heard - torch.nn.functional.pad(heard, (1, 0))[..., :-1]
        frame, onset = (20 * (values - 0.2)[:, None].expand(-1, self.count, -1, -1) for values in (heard, rise))
        return Rolls(frame, onset)


@pytest.mark.parametrize("rate", [22050, 44100])
@pytest.mark.parametrize("grid", [FULL_BAND, HALF_BAND], ids=str)
def test_notes_are_found_when_they_sound(grid: Grid, rate: int, make: Any) -> None:
    notes = [(0.5, 0.9, 69), (1.0, 1.6, 74), (1.5, 1.9, 65), (2.2, 2.7, 71)]  # no partial of one is another
    model = Model(grid, choose(NAMES), Architecture.both(SIZES), "softmax").eval()
    model.transcriptor = Listening(grid, len(NAMES))
    sound = make.play(notes, 3.0, rate).astype(np.float32)
    found = transcribe_array(sound, rate, model, block_seconds=0.3).notes["piano"]
    found = found[np.isin(found[:, 2], [pitch for *_, pitch in notes])]  # partials are heard as notes, too
    assert [int(pitch) for pitch in found[:, 2]] == [pitch for *_, pitch in notes]
    for heard, (onset, offset, _) in zip(found, notes, strict=True):
        assert heard[0] == pytest.approx(onset, abs=0.05) and heard[1] == pytest.approx(offset, abs=0.06)


def test_rolls_become_the_notes_that_they_are_of(prepared_there: Cache) -> None:
    cache, grid = prepared_there, prepared_there.grid
    roll, onset = (values[:, 0].astype(np.float32) for values in (cache.roll(0), cache.onset(0)))
    found, notes = decode_notes(roll, onset, 0.5, 0.5, grid), cache.notes(0)
    notes = notes[notes[:, 4] == 0]
    assert len(found) == len(notes) > 2 and np.array_equal(found[:, 2], notes[:, 2])
    np.testing.assert_allclose(found[:, :2], notes[:, :2], atol=grid.hop / grid.sample_rate)


@pytest.mark.integration
def test_other_grids_are_refused_by_name(cache: Cache, prepared_there: Cache, tmp_path: Path, make: Any, refused: Any):
    checkpoint = make.checkpoint(tmp_path / "c.pt", prepared_there)
    with refused(Mismatch, cache.path) as fault:
        open_subject(checkpoint, cache.path)
    assert str(cache.grid) in fault.value.problem and str(prepared_there.grid) in fault.value.problem
    trained(prepared_there, tmp_path, make)
    with refused(Mismatch, tmp_path / "run" / "stage1.pt") as fault:
        trained(cache, tmp_path, make)
    assert str(cache.grid) in fault.value.problem and str(prepared_there.grid) in fault.value.problem


def test_networks_too_large_on_a_grid_are_refused_before_a_step(cache: Cache, tmp_path, make, refused, monkeypatch):
    monkeypatch.setattr("scoresep.training.run.MAX_ACTIVATION", 1000 * len(NAMES) * cache.grid.bins)
    with refused(InvalidValue, cache.path) as fault:
        trained(cache, tmp_path, make)
    assert str(cache.grid) in fault.value.problem and not (tmp_path / "c.pt").exists()


def test_steps_that_are_not_given_are_those_of_the_default_grid():
    assert read_grid(16000) == Grid()
    assert read_grid(44100) == Grid(44100, 5760, 1440)
    assert read_grid(44100, 4096) == read_grid(44100, None, 1024) == FULL_BAND
    assert read_grid(44100, 6144, 1024) == Grid(44100, 6144, 1024)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((44100, 4096, 3000), "window 4096, hop 3000"),
        ((44100, 8, 2), "22050 frames a second"),
        ((44100, 400, 100), "bins of 110 Hz"),
        ((44100, 4096, 2048), "even number of hops"),
        ((44100, 1000, None), None),
        ((0, None, None), "0 Hz"),
        ((2_000_000, 4096, 1024), "no audio has that rate"),
        ((16000, 65536, 512), "the window is too long"),
        ((8000, None, None), "highest key's 4186 Hz"),
        ((16000, 8192, 2048), "every 128 ms"),
    ],
)
def test_impossible_grids_are_refused(values: Any, words: str | None, refused: Any):
    if words is None:
        assert read_grid(*values) == Grid(44100, 1000, 250)
        return
    with refused(InvalidValue) as fault:
        read_grid(*values)
    assert words in str(fault.value)


def test_prepare_says_where_the_recordings_end_below_the_grid(command: Any, corpus: Path, tmp_path: Path):
    out = tmp_path / "c.h5"
    status, text, _ = command(f"scoresep prepare slakh {corpus} --rate 22050 --out {out} --teacher none --jobs 1")
    assert status == 0 and text.count("16000 Hz: the grid, 22050 Hz, window 2880, hop 720, is empty above 8000 Hz") == 5
    assert "22050 Hz, window 2880" in command(f"scoresep info {out}")[1]
    status, _, error = command(f"scoresep prepare slakh {corpus} --rate 8000 --out {tmp_path / 'd.h5'} --jobs 1")
    assert status == 2 and error.startswith("error: ") and error.count("\n") == 1


def test_clips_last_as_long_on_every_grid():
    data = DataConfig(clip_frames=64)
    assert data.frames_on(Grid()) == 64
    for grid in (FULL_BAND, HALF_BAND, Grid(hop=256), Grid(44100, 5632, 1408)):
        assert data.frames_on(grid) * grid.hop / grid.sample_rate == pytest.approx(2.048, abs=0.5 / grid.frame_rate)


def narrow_model(grid: Grid, conditioned: bool = False, mask: str = "softmax") -> Model:
    torch.manual_seed(0)
    groups = choose(NAMES)
    return Model(grid, groups, Architecture.both(SIZES), mask, conditioned=conditioned, bandwidth=8000).eval()


@pytest.mark.parametrize("conditioned", [False, True])
def test_a_narrow_separator_sees_its_band_and_shares_out_the_rest(conditioned: bool):
    network = narrow_model(FULL_BAND, conditioned).separator
    x = torch.rand(2, FULL_BAND.bins, 9)
    seen = int(8000 / FULL_BAND.bin_width) + 1
    masks = network(x)
    assert masks.shape == (2, 3, FULL_BAND.bins, 9) and network.seen == seen == 744
    torch.testing.assert_close(masks.sum(1), torch.ones_like(x))
    louder = x.clone()
    louder[:, seen:] *= 9
    assert torch.equal(network(louder), masks)
    top = slice(int(0.7 * seen), seen)
    mean = (masks[:, :, top] * x[:, None, top]).sum(2) / x[:, None, top].sum(2)
    torch.testing.assert_close(masks[:, :, seen], mean, atol=1e-4, rtol=0)
    assert torch.equal(masks[:, :, seen], masks[:, :, -1])
    told = network(x, torch.tensor([True, False, True]))
    assert not told[:, 1].any()
    torch.testing.assert_close(told.sum(1), torch.ones_like(x))


@pytest.mark.parametrize("bandwidth", [8000.0, 22020.0])
def test_a_narrow_trunk_begins_as_the_wide_one_without_the_bins_above(bandwidth: float):
    """Also where as many inputs are told who plays as there are bins above the band."""
    groups, both = choose(NAMES), Architecture.both(SIZES)
    model = Model(FULL_BAND, groups, both, "softmax", conditioned=True, bandwidth=bandwidth).eval()
    assert both.inherit(model.separator, model.transcriptor)
    seen, x = model.separator.seen, torch.rand(1, FULL_BAND.bins, 6)
    rows = torch.cat([x[:, :seen], torch.ones(1, 3, 6)], dim=1)
    with torch.no_grad():
        model.transcriptor.trunk.bottleneck.weight[:, seen:] = 0
    torch.testing.assert_close(model.separator.trunk(rows), model.transcriptor.trunk(x))


@pytest.mark.integration
def test_a_narrow_separator_is_trained_and_kept(prepared_there: Cache, tmp_path: Path, make: Any, refused: Any):
    path = trained(prepared_there, tmp_path, make, "bandwidth=6000", "presence=0.5")
    model = load_checkpoint(path).model
    assert model.bandwidth == 6000 and model.separator.seen == prepared_there.grid.bins_up_to(6000)
    again = model_from_dict(model_to_dict(model)).eval()
    x = torch.rand(1, model.grid.bins, 5)
    assert torch.equal(again.separator(x), model.separator(x))
    values = model_to_dict(load_checkpoint(make.checkpoint(tmp_path / "plain.pt", prepared_there)).model)
    del values["bandwidth"]
    assert model_from_dict(values).bandwidth == 0  # what was saved before there was one
    with refused(Mismatch, tmp_path / "run" / "stage2.pt"):
        trained(prepared_there, tmp_path, make, "bandwidth=7000", "presence=0.5")
    with refused(InvalidValue):
        make.config("bandwidth=10")
